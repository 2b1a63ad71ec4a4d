// The dry run of a migration at its source: everything is found at once, and QEMU is told nothing.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { virDomainMigrateFlags } from '../../../../src/conf/enums.ts'
import type { MigrationParams, Peer } from '../../../../src/drivers/migration.ts'
import type { QemuDomain } from '../../../../src/drivers/qemu/domain/domain.ts'
import { checkBeginPhase } from '../../../../src/drivers/qemu/migration/check-begin.ts'
import { type Answers, bareDomain } from '../../../helper/bare-domain.ts'
import { define } from '../../../helper/definition.ts'
import { promised } from '../../../helper/promised.ts'

/** The text of the error's code, in front of what there is to say. */
const CODE_TEXT =
  /^(internal error|invalid argument|operation failed|resource busy|Requested operation is not valid|argument unsupported|Operation not supported|unsupported configuration|Unsafe migration|Timed out during operation|Hook script execution failed|Secret not found|Storage pool not found): /

const FLAGS = virDomainMigrateFlags
const { VIR_MIGRATE_LIVE, VIR_MIGRATE_OFFLINE, VIR_MIGRATE_PEER2PEER, VIR_MIGRATE_PERSIST_DEST } = FLAGS

/** Only questions: anything else would be an order. */
const QUESTIONS: Answers = {
  'query-migrate': () => ({}),
  'query-migrate-capabilities': () =>
    ['return-path', 'zero-copy-send', 'postcopy-ram'].map(capability => ({ capability, state: false })),
  'query-migrate-parameters': () => ({ 'tls-creds': '' }),
  'query-named-block-nodes': () => []
}

async function guest(t: Test, devices = '', answers: Answers = {}) {
  const { domain } = await bareDomain(t.testdir({}), { answers: { ...QUESTIONS, ...answers } })
  domain.def.devices = (await define(devices)).devices
  return domain
}

const lines = async (
  domain: QemuDomain,
  flags: number = VIR_MIGRATE_LIVE,
  params: MigrationParams = {},
  dconnuri?: string
) => {
  const { findings } = await checkBeginPhase(domain, { params, flags }, dconnuri)
  return findings.map(({ side, severity, about, device, codeName, message }) => {
    t.equal(side, 'source')
    return `${severity} ${about}${device ? ` ${device}` : ''} ${codeName}: ${message.replace(CODE_TEXT, '')}`
  })
}

t.test('one that nothing speaks against', async t => {
  const domain = await guest(t)
  const { findings, xml, cookie } = await checkBeginPhase(domain, { params: {}, flags: VIR_MIGRATE_LIVE }, undefined)
  t.same(findings, [])
  t.match(xml, /<name>t-bare<\/name>/)
  t.match(cookie, /<qemu-migration>/)
  t.equal(domain.jobs.async, undefined)
  t.equal(domain.run?.departure, undefined)
})

const shmem = (name: string) => `<shmem name='${name}'><model type='ivshmem-plain'/><size unit='M'>4</size></shmem>`

const DISKS = ['vda', 'vdb']
  .map(dev => `<disk type='file'><source file='/nowhere/${dev}'/><target dev='${dev}'/></disk>`)
  .join('')

t.test('everything at once', async t => {
  const domain = await guest(t, `${DISKS}${shmem('s')}${shmem('z')}`, {
    'query-migrate': () => ({ 'blocked-reasons': ['a device', 'another'] })
  })
  domain.running.autoDestroy = true
  const flags = VIR_MIGRATE_LIVE | FLAGS.VIR_MIGRATE_PAUSED | FLAGS.VIR_MIGRATE_POSTCOPY | FLAGS.VIR_MIGRATE_ZEROCOPY
  const params: MigrationParams = {
    migrate_disks: ['vda'],
    'auto_converge.initial': 10,
    migrate_uri: 'rdma://x',
    disks_port: 4,
    disks_uri: 'tcp://x',
    destination_xml: '<domain/>'
  }
  const unsafe = 'error disks vda VIR_ERR_MIGRATE_UNSAFE: Migration without shared storage is unsafe'
  t.same(await lines(domain, flags, params), [
    'error flags VIR_ERR_ARGUMENT_UNSUPPORTED: post-copy migration is not supported with non-live or paused migration',
    'error flags VIR_ERR_OPERATION_INVALID: zero-copy is only available for parallel migration',
    "error flags VIR_ERR_OPERATION_UNSUPPORTED: use of 'VIR_MIGRATE_PARAM_MIGRATE_DISKS' requires use of " +
      "'VIR_MIGRATE_NON_SHARED_DISK' or 'VIR_MIGRATE_NON_SHARED_INC' flag",
    'error flags VIR_ERR_INVALID_ARG: Both port and URI requested for disk migration while being mutually exclusive',
    'error guest VIR_ERR_OPERATION_INVALID: cannot migrate domain: a device; another',
    'error guest VIR_ERR_OPERATION_INVALID: domain is marked for auto destroy',
    ...['s', 'z'].map(
      name =>
        `error guest VIR_ERR_OPERATION_INVALID: shmem device '${name}' cannot be migrated, only shmem with role='default' can be migrated`
    ),
    unsafe,
    unsafe.replace('vda', 'vdb'),
    'error parameters VIR_ERR_INVALID_ARG: Turn auto convergence on to tune it',
    'error parameters VIR_ERR_OPERATION_UNSUPPORTED: outgoing RDMA migration is not supported with this QEMU binary',
    'error definition VIR_ERR_NO_NAME: missing name information'
  ])
})

t.test('a guest that does not run, and another job', async t => {
  const { domain } = await bareDomain(t.testdir({}), { active: false })
  t.same(await lines(domain), ['error guest VIR_ERR_OPERATION_INVALID: domain is not running'])
  t.same(await lines(domain, VIR_MIGRATE_OFFLINE | VIR_MIGRATE_PERSIST_DEST), [])
  t.same(await lines(domain, VIR_MIGRATE_OFFLINE), [
    'error flags VIR_ERR_OPERATION_INVALID: offline migration must be specified with the persistent flag set'
  ])
  const held = promised<void>()
  const dump = domain.jobs.run({ async: 'dump' }, { api: 'virDomainCoreDump' }, () => held.promise)
  t.same(await lines(domain, VIR_MIGRATE_OFFLINE | VIR_MIGRATE_PERSIST_DEST), [
    'warning guest VIR_ERR_OPERATION_TIMEOUT: cannot acquire state change lock (held by virDomainCoreDump)'
  ])
  held.resolve()
  await dump
})

t.test('settings that this QEMU does not have', async t => {
  const domain = await guest(t)
  t.same(await lines(domain, VIR_MIGRATE_LIVE | FLAGS.VIR_MIGRATE_PARALLEL), [
    "error parameters VIR_ERR_ARGUMENT_UNSUPPORTED: Migration option 'multifd' is not supported by QEMU binary"
  ])
})

t.test('certificates', async t => {
  const domain = await guest(t)
  const dir = mkdtempSync(join(tmpdir(), 'virshim-certs-'))
  t.teardown(() => rmSync(dir, { recursive: true, force: true }))
  domain.context.config = { ...domain.context.config, migrateTlsX509CertDir: dir }
  const flags = VIR_MIGRATE_LIVE | FLAGS.VIR_MIGRATE_TLS | FLAGS.VIR_MIGRATE_TUNNELLED | VIR_MIGRATE_PEER2PEER
  writeFileSync(join(dir, 'client-cert.pem'), 'none')
  const found = await lines(domain, flags, {}, 'qemu+unix:///system?socket=/x')
  t.same(
    found.filter(line => line.includes('certificates')),
    [
      `error certificates VIR_ERR_INTERNAL_ERROR: Unable to access credentials ${dir}/ca-cert.pem: No such file or directory`,
      `error certificates VIR_ERR_INTERNAL_ERROR: Unable to access credentials ${dir}/client-key.pem: No such file or directory`,
      `error certificates VIR_ERR_INTERNAL_ERROR: Unable to import certificate ${dir}/client-cert.pem`
    ]
  )
})

t.test('a guest that would go by itself', async t => {
  const features: number[] = []
  let closed = 0
  const peer = (has: number[]): Peer =>
    ({
      supports: async (feature: number) => {
        features.push(feature)
        return has.includes(feature)
      },
      close: () => closed++
    }) as unknown as Peer
  const domain = await guest(t)
  const uri = 'qemu+unix:///system?socket=/x'
  const flags = VIR_MIGRATE_LIVE | VIR_MIGRATE_PEER2PEER
  const opened = (openPeer: QemuDomain['openPeer']) => Object.assign(domain, { openPeer })
  opened(async () => peer([4, 6, 13]))
  t.same(await lines(domain, flags, {}, uri), [])
  t.same(features, [4, 6, 13])
  opened(async () => peer([]))
  t.same(await lines(domain, flags, {}, uri), [
    'error destination VIR_ERR_OPERATION_FAILED: Destination libvirt does not support peer-to-peer migration protocol'
  ])
  t.equal(closed, 2)
  opened(undefined)
  t.match(await lines(domain, flags, {}, uri), [/^error destination VIR_ERR_NO_CONNECT/])
  t.match(await lines(domain, flags), [/dconnuri in virDomainMigrateToURI3 must not be NULL/])
})
