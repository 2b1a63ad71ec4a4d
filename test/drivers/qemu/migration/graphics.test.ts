import t from 'tap'
import type { QemuDomain } from '../../../../src/drivers/qemu/domain/domain.ts'
import type { CookieGraphics } from '../../../../src/drivers/qemu/migration/cookie.ts'
import { clientsMoved, relocateGraphics } from '../../../../src/drivers/qemu/migration/graphics.ts'
import { Jobs } from '../../../../src/state/job.ts'
import { failureOf } from '../../../helper/stand-in-guest.ts'

const GUEST = { name: 'guest', uuid: '', hostname: 'two', hostUuid: '' }

/** What QEMU is told. */
async function told(graphics: CookieGraphics | undefined, uri?: string): Promise<object | undefined> {
  let order: object | undefined
  const execute = async (command: string, args: object) => {
    t.equal(command, 'client_migrate_info')
    order = args
  }
  const domain = { qmp: { execute } } as unknown as QemuDomain
  const follow = await relocateGraphics(domain, { ...GUEST, ...(graphics && { graphics }) }, uri)
  t.equal(follow, order !== undefined)
  return order
}

const SPICE: CookieGraphics = { type: 'spice', port: 5900, tlsPort: -1, listen: '10.0.0.2' }
const order = (hostname: string, port: number, tls: number, subject?: string) => ({
  protocol: 'spice',
  hostname,
  port,
  'tls-port': tls,
  ...(subject !== undefined && { 'cert-subject': subject })
})

t.test('clients are told of the server the destination tells of', async t => {
  t.same(await told(SPICE), order('10.0.0.2', 5900, -1))
  t.same(await told({ ...SPICE, listen: '0.0.0.0' }), order('two', 5900, -1))
  t.same(
    await told({ ...SPICE, listen: '::', tlsPort: 5901, tlsSubject: 'CN=two' }),
    order('two', 5900, 5901, 'CN=two')
  )
})

t.test('or of that which a caller names', async t => {
  t.same(await told(SPICE, 'spice://proxy'), order('proxy', 5900, -1))
  t.same(await told(undefined, 'spice://[::1]:7'), order('::1', 7, -1))
  t.same(await told(undefined, 'spice:?TLSPORT=8'), order('two', -1, 8))
  t.same(await told(SPICE, 'spice://proxy:7?tlsPort=8&tlsSubject=C%3DGB,O=a+b'), order('proxy', 7, 8, 'C=GB,O=a+b'))
})

t.test('of no other', async t => {
  t.equal(await told(undefined), undefined)
  t.equal(await told({ type: 'vnc', port: 5900, listen: '::' }), undefined)
  t.equal(await told(SPICE, 'vnc://proxy:7'), undefined)
  t.equal(await told({ ...SPICE, port: 0 }), undefined)
})

t.test('a URI that is none', async t => {
  const failure = (uri: string) => failureOf(() => told(SPICE, uri))
  t.equal(await failure('none://a'), 'VIR_ERR_INVALID_ARG VIR_FROM_QEMU: invalid argument: unknown graphics type none')
  t.match(await failure('spice://a?tlsPort=x'), 'invalid tlsPort number: x')
  t.match(await failure('://'), 'Unable to parse URI ://')
  t.same(await told(SPICE, 'spice://a?tlsSubject=%zz').catch(() => undefined), undefined)
})

t.test('the guest is not ended before its clients have gone', async t => {
  await new Jobs().run({ async: 'migration-out' }, { api: 'a' }, async job => {
    const moved = clientsMoved(job)
    job.tell('SPICE_MIGRATE_COMPLETED', {})
    await moved
    await clientsMoved(job)
  })
  await new Jobs().run({ async: 'migration-out' }, { api: 'a' }, async job => {
    const moved = clientsMoved(job)
    job.guestGone()
    await moved
  })
  t.pass()
})
