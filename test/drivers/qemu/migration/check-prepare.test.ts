// The dry run of a migration at its destination: everything is found at once, and nothing is made.
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { virDomainMigrateFlags } from '../../../../src/conf/enums.ts'
import { errorsFrom } from '../../../../src/conf/error.ts'
import type { MigrationParams } from '../../../../src/drivers/migration.ts'
import type { QemuContext } from '../../../../src/drivers/qemu/context.ts'
import { type ArrivalHost, checkPreparePhase } from '../../../../src/drivers/qemu/migration/check-prepare.ts'
import { encodeCookie, formatCookie, type MigrationCookie } from '../../../../src/drivers/qemu/migration/cookie.ts'
import type { SecondaryDrivers } from '../../../../src/drivers/secondary-drivers.ts'
import { type ClaimedResource, ResourceTaken } from '../../../../src/state/claim.ts'
import { guestRoot } from '../../../../src/state/root.ts'
import { guestXml, TEST_CONFIG, testContext } from '../../../helper/definition.ts'

/** The text of the error's code, in front of what there is to say. */
const CODE_TEXT =
  /^(internal error|invalid argument|operation failed|resource busy|Requested operation is not valid|argument unsupported|Operation not supported|unsupported configuration|Unsafe migration|Timed out during operation|Hook script execution failed|Secret not found|Storage pool not found): /

const FLAGS = virDomainMigrateFlags
const { VIR_MIGRATE_LIVE, VIR_MIGRATE_NON_SHARED_DISK, VIR_MIGRATE_NON_SHARED_INC, VIR_MIGRATE_TLS } = FLAGS
const UUID = '6dfc3c2b-7a4e-4f6e-9f0b-0000000000c1'
const MIB = 1024n * 1024n

const dir = mkdtempSync(join(tmpdir(), 'virshim-arrival-'))
t.teardown(() => rmSync(dir, { recursive: true, force: true }))
// far from the ports guests of other tests use
const config = { ...TEST_CONFIG, migrationPortMin: 28500, migrationPortMax: 28509, remotePortMin: 28510 }

interface Parts {
  devices?: string
  outside?: string
  os?: string
  flags?: number
  params?: MigrationParams
  cookie?: Partial<MigrationCookie>
  context?: Partial<QemuContext>
  host?: Partial<ArrivalHost>
}

/** What is found, a line each, and what would be claimed. */
async function arriving({ devices = '', outside = '', os = '', ...given }: Parts = {}) {
  const { flags = VIR_MIGRATE_LIVE, params, cookie = {}, context, host } = given
  const xml = guestXml(devices, { outside: `<uuid>${UUID}</uuid>${outside}`, os })
  const claimed: ClaimedResource[] = []
  const findings = await checkPreparePhase(
    {
      contextFor: async () => testContext({ config, pretend: false, ...context }),
      hookDirs: [],
      rootOf: () => guestRoot(join(dir, 'guest')),
      checkIdentity: () => undefined,
      look: async (_, resources) => {
        claimed.push(...resources)
        return []
      },
      log: { warn: () => undefined },
      ...host
    },
    {
      params: { destination_xml: xml, migrate_uri: 'tcp:host-b', ...params },
      flags,
      cookie: encodeCookie(
        formatCookie({
          name: 'guest',
          uuid: UUID,
          hostname: 'a',
          hostUuid: '8b3f4dc4-6a8e-5f9b-94a5-4c35babd8d95',
          ...cookie
        })
      )
    }
  )
  const lines = findings.map(({ side, severity, about, device, codeName, message }) => {
    t.equal(side, 'destination')
    return `${severity} ${about}${device ? ` ${device}` : ''} ${codeName}: ${message.replace(CODE_TEXT, '')}`
  })
  return { lines, claimed }
}

const found = async (parts: Parts) => (await arriving(parts)).lines

t.test('one that nothing speaks against', async t => {
  const before = readdirSync(dir)
  const { lines, claimed } = await arriving({ devices: "<graphics type='vnc' autoport='yes'/>" })
  t.same(lines, [])
  t.match(claimed.slice(0, 2), [
    { kind: 'name', key: 'guest' },
    { kind: 'uuid', key: UUID }
  ])
  t.same(
    claimed.filter(({ kind }) => kind === 'tcp-port').map(one => 'auto' in one && one.auto.min),
    [28510, 28500, 28500, 28500]
  )
  t.same(readdirSync(dir), before)
})

t.test('who has its name, and what it is', async t => {
  const failDomain = errorsFrom('VIR_FROM_DOMAIN')
  const taken = {
    checkIdentity: () => {
      throw failDomain('VIR_ERR_OPERATION_FAILED', `domain 'guest' already exists with uuid x`)
    }
  }
  const name = "error name VIR_ERR_OPERATION_FAILED: domain 'guest' already exists with uuid x"
  t.same(await found({ host: taken }), [name])
  const noQemu = {
    ...taken,
    contextFor: async () => {
      throw errorsFrom('VIR_FROM_QEMU')(
        'VIR_ERR_SYSTEM_ERROR',
        'Cannot check QEMU binary /x: No such file or directory'
      )
    }
  }
  t.same(await found({ host: noQemu }), [
    'error definition VIR_ERR_SYSTEM_ERROR: Cannot check QEMU binary /x: No such file or directory',
    name
  ])
  t.match(await found({ cookie: { uuid: UUID.replace('6', '7') } }), [/^error cookie VIR_ERR_INTERNAL_ERROR/])
})

t.test('flags and parameters', async t => {
  const flags = FLAGS.VIR_MIGRATE_POSTCOPY | FLAGS.VIR_MIGRATE_OFFLINE | VIR_MIGRATE_NON_SHARED_DISK
  t.same(
    await found({
      flags,
      params: { 'compression.mt.level': 3, migrate_uri: 'ftp://x', listen_address: '::1' }
    }),
    [
      'error parameters VIR_ERR_INVALID_ARG: Turn multithread compression on to tune it',
      'error flags VIR_ERR_OPERATION_INVALID: offline migration cannot handle non-shared storage',
      'error flags VIR_ERR_OPERATION_INVALID: offline migration must be specified with the persistent flag set',
      'error flags VIR_ERR_ARGUMENT_UNSUPPORTED: post-copy migration is not supported with non-live or paused migration',
      'error parameters VIR_ERR_ARGUMENT_UNSUPPORTED: unsupported scheme ftp in migration URI ftp://x'
    ]
  )
  const old = testContext({ missing: ['migration.multifd', 'migration.return-path'] })
  t.same(
    await found({ flags: VIR_MIGRATE_LIVE | FLAGS.VIR_MIGRATE_PARALLEL, context: { qemu: old.qemu } }),
    ['multifd', 'return-path'].map(
      name =>
        `error parameters VIR_ERR_ARGUMENT_UNSUPPORTED: Migration option '${name}' is not supported by QEMU binary`
    )
  )
  t.match(await found({ context: { config: { ...config, migrateTlsForce: true } } }), [/only with VIR_MIGRATE_TLS/])
})

const disk = (dev: string, more = '') =>
  `<disk type='file'><driver name='qemu' type='raw'/><source file='${join(dir, dev)}'/><target dev='${dev}' bus='virtio'/>${more}</disk>`

t.test('devices, disks and files that are not there', async t => {
  const lines = await found({
    devices: `${disk('vda')}${disk('vdb')}<interface type='bridge'><source bridge='nobridge'/></interface>
      <interface type='network'><source network='nonet'/></interface>
      <video><model type='qxl'/></video><sound model='usb'/>`,
    os: `<kernel>${dir}/kernel</kernel><initrd>${dir}/initrd</initrd>`,
    context: { ...testContext({ missing: ['qxl', 'usb-audio'] }), config, pretend: false }
  })
  for (const pattern of [
    /^error definition .*qxl/,
    /^error definition VIR_ERR_SYSTEM_ERROR: .*kernel.*No such file/,
    /^error definition VIR_ERR_SYSTEM_ERROR: .*initrd.*No such file/,
    /^error disks vda VIR_ERR_SYSTEM_ERROR: .*vda.*No such file/,
    /^error disks vdb VIR_ERR_SYSTEM_ERROR: .*vdb.*No such file/,
    /^error devices VIR_ERR_SYSTEM_ERROR: .*nobridge.*No such device/,
    /^error devices VIR_ERR_NO_SUPPORT: .*network driver/
  ]) {
    t.ok(
      lines.some(line => pattern.test(line)),
      `${pattern} in ${lines.join('\n')}`
    )
  }
})

t.test('images for disks that are copied', async t => {
  for (const [name, size] of Object.entries({ vda: MIB, vdb: 2n * MIB })) {
    writeFileSync(join(dir, name), '')
    truncateSync(join(dir, name), Number(size))
  }
  const nbd = (capacity: bigint, ...targets: string[]) => ({
    nbd: { disks: targets.map(target => ({ target, capacity })) }
  })
  const devices = `${disk('vda')}${disk('vdb')}${disk('vdc')}`
  const both = { devices: `${disk('vda')}${disk('vdb')}`, flags: VIR_MIGRATE_LIVE | VIR_MIGRATE_NON_SHARED_DISK }
  t.same(await found({ ...both, cookie: nbd(MIB, 'vda', 'vdb', 'vdx') }), [
    `error disks vdb VIR_ERR_OPERATION_FAILED: migration of disk vdb failed: '${dir}/vdb' is of 2097152 bytes, the disk of 1048576`,
    "error disks vdx VIR_ERR_INTERNAL_ERROR: unable to find disk target 'vdx' for non-shared-storage migration"
  ])
  const all = (flags: number, drivers?: Partial<SecondaryDrivers>) =>
    found({
      devices,
      flags: VIR_MIGRATE_LIVE | flags,
      cookie: { nbd: { disks: [{ target: 'vdc', capacity: MIB }] } },
      ...(drivers && { context: { drivers: async () => drivers as SecondaryDrivers } })
    })
  t.same(await all(VIR_MIGRATE_NON_SHARED_DISK), [
    `error disks vdc VIR_ERR_NO_STORAGE_POOL: no storage pool with matching target path '${dir}'`
  ])
  t.same(await all(VIR_MIGRATE_NON_SHARED_INC), [
    "error disks vdc VIR_ERR_OPERATION_UNSUPPORTED: pre-creation of storage target for incremental storage migration of disk 'vdc' is not supported"
  ])
  const asked: unknown[] = []
  const left = (bytes: bigint | undefined) => ({
    roomFor: async (volume: unknown) => {
      asked.push(volume)
      return bytes
    }
  })
  t.same(await all(VIR_MIGRATE_NON_SHARED_DISK, left(MIB)), [])
  t.same(asked, [{ directory: dir, name: 'vdc', format: 'raw', capacity: MIB }])
  t.same(await all(VIR_MIGRATE_NON_SHARED_DISK, left(MIB - 1n)), [
    'warning disks vdc VIR_ERR_OPERATION_FAILED: copies of disks may take 1048576 bytes more, its storage pool has 1048575 left'
  ])
  truncateSync(join(dir, 'vda'), 2 ** 42)
  t.match(await found({ ...both, devices: disk('vda'), cookie: nbd(2n ** 42n, 'vda') }), [
    /^warning disks VIR_ERR_OPERATION_FAILED: copies of disks may take 4398046511104 bytes more/
  ])
})

t.test('ports, and what others hold', async t => {
  const server = createServer()
  await new Promise<void>(done => server.listen(28520, () => done()))
  t.teardown(() => server.close())
  const conflict = (kind: string, key: string) => ({
    kind,
    key,
    mode: 'exclusive' as const,
    holder: 'other',
    uuid: 'u'
  })
  const lines = await found({
    devices: "<graphics type='vnc' port='28520'/>",
    params: { migrate_uri: 'tcp:host-b:28520' },
    host: {
      look: async (_def, _resources, refuse) => {
        refuse(new ResourceTaken([conflict('pci', '0000:01:00.0'), conflict('mac', '52:54:00:00:00:01')]))
        return ['memory: 1 more beside the 2 in use is beyond the host’s budget of 2']
      }
    }
  })
  t.same(lines, [
    'error resources VIR_ERR_OPERATION_INVALID: PCI device 0000:01:00.0 is in use by driver QEMU, domain other',
    "error resources VIR_ERR_RESOURCE_BUSY: mac '52:54:00:00:00:01' is in use by domain 'other'",
    'warning resources VIR_ERR_RESOURCE_BUSY: memory: 1 more beside the 2 in use is beyond the host’s budget of 2',
    "error resources VIR_ERR_RESOURCE_BUSY: tcp-port '28520' is in use on this host"
  ])
  const full = { context: { config: { ...config, migrationPortMin: 28520, migrationPortMax: 28520 } } }
  t.match(await found(full), [/^error resources VIR_ERR_INTERNAL_ERROR: .*range 'migration' \(28520-28520\)/])
})

t.test('memory', async t => {
  t.match(
    await found({
      params: {
        destination_xml: guestXml('')
          .replace("<memory unit='MiB'>64", "<memory unit='TiB'>4")
          .replace('<os>', `<uuid>${UUID}</uuid><os>`)
      }
    }),
    [/^warning memory VIR_ERR_RESOURCE_BUSY: 4294967296 KiB of memory are wanted, \d+ KiB are available/]
  )
})

t.test('huge pages, and programs that serve devices', async t => {
  const outside = `<memoryBacking><hugepages><page size='2048' unit='KiB'/></hugepages></memoryBacking>`
  const many = {
    outside,
    params: { destination_xml: guestXml('', { outside: `<uuid>${UUID}</uuid>${outside}` }).replace('64', '67108864') }
  }
  t.match(
    (await found(many)).filter(line => /pages of/.test(line)),
    [/^error memory VIR_ERR_RESOURCE_BUSY: 33554432 pages of 2048 KiB are wanted, \d+ are free/]
  )
  const virtiofs = `<filesystem type='mount'><driver type='virtiofs'/><binary path='${dir}/none'/><source dir='/tmp'/><target dir='tag'/></filesystem>`
  const shared = '<memoryBacking><source type="memfd"/><access mode="shared"/></memoryBacking>'
  t.ok((await found({ devices: virtiofs, outside: shared })).some(line => /^error devices .*virtiofsd|none/.test(line)))
})

t.test('networks', async t => {
  const devices = "<interface type='network'><source network='nonet'/></interface>"
  const noNetwork = errorsFrom('VIR_FROM_NETWORK')('VIR_ERR_NO_NETWORK', "no network with matching name 'nonet'")
  const drivers = async () =>
    ({
      checkNetwork: async () => {
        throw noNetwork
      }
    }) as unknown as SecondaryDrivers
  t.match(await found({ devices, context: { drivers } }), [/^error devices VIR_ERR_NO_NETWORK: /])
  const active = async () => ({ checkNetwork: async () => undefined }) as unknown as SecondaryDrivers
  t.same(await found({ devices, context: { drivers: active } }), [])
})

t.test('hooks, firmware and secrets', async t => {
  const hooks = join(dir, 'hooks')
  mkdirSync(hooks)
  writeFileSync(join(hooks, 'qemu'), '#!/bin/sh\n', { mode: 0o755 })
  t.same(await found({ host: { hookDirs: [hooks] } }), [
    `warning hooks VIR_ERR_HOOK_SCRIPT_FAILED: '${hooks}/qemu' is run, and may refuse the guest`
  ])
  const loader = `<loader readonly='yes' type='pflash'>${dir}/code.fd</loader><nvram template='${dir}/none.fd'>${dir}/vars.fd</nvram>`
  t.match(await found({ os: loader, outside: '<features><acpi/></features>' }), [
    /^error firmware VIR_ERR_SYSTEM_ERROR: .*none.fd/
  ])
  const luks = `<disk type='file'><driver name='qemu' type='raw'/><source file='${join(dir, 'vdb')}'>
    <encryption format='luks'><secret type='passphrase' uuid='${UUID}'/></encryption></source><target dev='vdb'/></disk>`
  const secrets = {
    value: () => {
      throw errorsFrom('VIR_FROM_SECRET')('VIR_ERR_NO_SECRET', `no secret with matching uuid '${UUID}'`)
    }
  }
  t.match(await found({ devices: luks, context: { secrets } }), [/VIR_ERR_NO_SECRET: .*no secret with matching uuid/])
})

const openssl = (...words: string[]) => execFileSync('openssl', words, { cwd: dir, stdio: 'ignore' })

t.test('certificates', async t => {
  const certs = join(dir, 'certs')
  mkdirSync(certs)
  const tls = {
    flags: VIR_MIGRATE_LIVE | VIR_MIGRATE_TLS,
    context: { config: { ...config, migrateTlsX509CertDir: certs } }
  }
  const missing = (name: string) =>
    `error certificates VIR_ERR_INTERNAL_ERROR: Unable to access credentials ${certs}/${name}.pem: No such file or directory`
  t.same(await found(tls), ['ca-cert', 'server-cert', 'server-key'].map(missing))
  const key = ['req', '-newkey', 'rsa:2048', '-nodes', '-x509']
  const own = (name: string, days: string, subject: string) =>
    openssl(
      ...key,
      '-days',
      days,
      '-subj',
      `/CN=${subject}`,
      '-addext',
      `subjectAltName=DNS:${subject}`,
      '-keyout',
      `certs/${name}-key.pem`,
      '-out',
      `certs/${name}-cert.pem`
    )
  own('ca', '2', 'authority')
  own('server', '2', 'host-c')
  t.same(await found(tls), [
    `error certificates VIR_ERR_INTERNAL_ERROR: Unable to verify server certificate ${certs}/server-cert.pem against CA certificate ${certs}/ca-cert.pem: it is not issued by that`
  ])
  openssl(
    'req',
    '-newkey',
    'rsa:2048',
    '-nodes',
    '-subj',
    '/CN=host-c',
    '-keyout',
    'certs/server-key.pem',
    '-out',
    'r.csr'
  )
  writeFileSync(join(dir, 'r.ext'), 'subjectAltName=DNS:host-c')
  openssl(
    'x509',
    '-req',
    '-in',
    'r.csr',
    '-CA',
    'certs/ca-cert.pem',
    '-CAkey',
    'certs/ca-key.pem',
    '-CAcreateserial',
    '-days',
    '2',
    '-extfile',
    'r.ext',
    '-out',
    'certs/server-cert.pem'
  )
  t.same(await found(tls), [
    'error certificates VIR_ERR_INTERNAL_ERROR: Certificate does not match the hostname host-b'
  ])
  t.same(await found({ ...tls, params: { 'tls.destination': 'host-c' } }), [])
  t.same(await found({ ...tls, params: { migrate_uri: 'tcp:host-c' } }), [])
})
