import t from 'tap'
import type { QemuDomain } from '../../../../src/drivers/qemu/domain/domain.ts'
import { settingsFor } from '../../../../src/drivers/qemu/migration/params.ts'
import { disableTls, dropTls, enableTls, tlsHostname } from '../../../../src/drivers/qemu/migration/tls.ts'
import { define, TEST_CONFIG, testContext } from '../../../helper/definition.ts'
import { failureOf } from '../../../helper/stand-in-guest.ts'

const UUID = '7b1c5a5e-0000-4000-8000-00000000000b'
const TLS = { 'tls-creds': '' }

interface Parts {
  secret?: boolean
  /** commands that QEMU refuses, with the id that is meant */
  refused?: string[]
  isActive?: boolean
}

/** A guest with these credentials, and what its QEMU is told. */
async function guest({ secret = false, refused = ['object-del'], isActive = true }: Parts = {}) {
  const orders: string[] = []
  const told: Record<string, unknown>[] = []
  const execute = async (command: string, args: Record<string, unknown>) => {
    orders.push(`${command} ${args.id}`)
    told.push(args)
    if (refused.some(one => `${command} ${args.id}`.startsWith(one))) throw new Error('QEMU refuses')
  }
  const config = { ...TEST_CONFIG, migrateTlsX509CertDir: '/certs', ...(secret && { migrateTlsX509SecretUuid: UUID }) }
  const domain = {
    def: await define(''),
    context: testContext({ config, secrets: { value: () => Buffer.from('geheim') } }),
    running: { masterKey: Buffer.alloc(32), ended: new Promise(() => {}) },
    qmp: { execute },
    log: { warn() {} },
    isActive
  } as unknown as QemuDomain
  return { domain, orders, told }
}

t.test('credentials of either side', async t => {
  for (const party of ['source', 'destination'] as const) {
    const { domain, orders, told } = await guest()
    const settings = settingsFor({}, 0, party)
    t.equal(await enableTls(domain, settings, TLS, 'two'), 'objlibvirt_migrate_tls0')
    t.same(orders, ['object-del objlibvirt_migrate_tls0', 'object-add objlibvirt_migrate_tls0'])
    t.match(told[1], {
      'qom-type': 'tls-creds-x509',
      dir: '/certs',
      endpoint: party === 'source' ? 'client' : 'server',
      'verify-peer': true,
      passwordid: undefined
    })
    t.match(settings.parameters, { 'tls-creds': 'objlibvirt_migrate_tls0', 'tls-hostname': 'two' })
    t.equal(tlsHostname(settings), 'two')
  }
})

t.test('a name that is asked for comes first', async t => {
  const { domain } = await guest()
  const settings = settingsFor({ 'tls.destination': 'three' }, 0, 'source')
  await enableTls(domain, settings, TLS, 'two')
  t.equal(settings.parameters['tls-hostname'], 'three')
  const open = settingsFor({}, 0, 'source')
  await enableTls(domain, open, TLS)
  t.equal(open.parameters['tls-hostname'], '')
  t.equal(tlsHostname(open), undefined)
})

t.test('a key that needs a secret', async t => {
  const { domain, orders, told } = await guest({ secret: true })
  await enableTls(domain, settingsFor({}, 0, 'source'), TLS)
  const [tls, secret] = ['objlibvirt_migrate_tls0', 'libvirt_migrate-secret0']
  t.same(orders.splice(0), [`object-del ${tls}`, `object-del ${secret}`, `object-add ${secret}`, `object-add ${tls}`])
  t.match(told[3], { passwordid: secret })
  await dropTls(domain)
  t.same(orders, [`object-del ${tls}`, `object-del ${secret}`])
})

t.test('credentials that cannot be had leave nothing', async t => {
  const { domain, orders } = await guest({ secret: true, refused: ['object-add obj'] })
  const settings = settingsFor({}, 0, 'source')
  t.match(await failureOf(() => enableTls(domain, settings, TLS)), 'QEMU refuses')
  t.same(orders.at(-1), 'object-del libvirt_migrate-secret0')
  t.same(settings.parameters, {})
  t.equal(
    await failureOf(() => enableTls(domain, settings, {})),
    'VIR_ERR_OPERATION_UNSUPPORTED VIR_FROM_QEMU: Operation not supported: TLS migration is not supported with this QEMU binary'
  )
})

t.test('without', async t => {
  const settings = settingsFor({ 'tls.destination': 'three' }, 0, 'source')
  disableTls(settings, {})
  t.same(settings.parameters, { 'tls-hostname': 'three' })
  disableTls(settings, TLS)
  t.same(settings.parameters, { 'tls-creds': '', 'tls-hostname': '' })
  const { domain, orders } = await guest({ isActive: false })
  await dropTls(domain)
  t.same(orders, [])
})
