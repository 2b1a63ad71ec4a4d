// The dry run of a migration between two aggregators: each kind of finding is provoked, a guest that nothing speaks against
// then really moves, and nothing is left of a look.
import { execFile } from 'node:child_process'
import { mkdirSync, readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { Finding } from '../../../src/drivers/migration.ts'
import { processesNaming } from '../../helper/processes.ts'
import { TwoRoots } from '../../helper/two-roots.ts'

t.setTimeout(300_000)

const NAME = `t-check-${process.pid}`
const UUID = '7b1c5a5e-0000-4000-8000-0000000000e1'
const RUNNING = 1

interface Parts {
  name?: string
  uuid?: string
  memory?: string
  machine?: string
  os?: string
  cpu?: string
  emulator?: string
  devices?: string
}

const xmlOf = ({ name = NAME, uuid = UUID, memory = '64', machine = 'pc', os = '', ...more }: Parts = {}) => {
  const { cpu = '', emulator = '/usr/bin/qemu-system-x86_64', devices = '' } = more
  return `<domain type='qemu'><name>${name}</name><uuid>${uuid}</uuid><memory unit='MiB'>${memory}</memory><vcpu>1</vcpu>
  <os><type arch='x86_64' machine='${machine}'>hvm</type>${os}</os>${cpu}<devices><emulator>${emulator}</emulator>
  <memballoon model='none'/>${devices}</devices></domain>`
}

const roots = await TwoRoots.make(t)
const { from, to, dir } = roots
const file = join(dir, 'guest.xml')

interface Ran {
  status: number
  out: string
  err: string
}

function virshim(...words: string[]): Promise<Ran> {
  return new Promise(done => {
    const child = execFile('bin/virshim', ['-q', '-c', from.socket, ...words], (_, out, err) =>
      done({ status: child.exitCode ?? -1, out, err })
    )
  })
}

const create = async (xml: string, side = from) => {
  const created = await side.call('virDomainCreateXML', { xmlDesc: xml, flags: 0 })
  if (created.status !== 200) throw new Error(JSON.stringify(created.body))
}

async function destroy(name: string, side = from): Promise<void> {
  await side.call(`domains/${name}/virDomainDestroy`, {})
  await side.until(name, entry => entry === undefined)
}

/** What of a host is to be as it was: files, processes, claims. */
async function stateOf(side: typeof from) {
  const files = readdirSync(side.root, { recursive: true, encoding: 'utf8' }).filter(name => !name.endsWith('.log'))
  return {
    files: files.sort(),
    processes: processesNaming(`${side.root}/`).sort(),
    allocations: (await side.call('allocations')).body.allocations
  }
}

const ask = (...words: string[]) => virshim('migrate', NAME, roots.uri('to'), '--check', '--live', ...words)

/** What a look finds, a line each; nothing is left of it. */
async function look(t: Test, ...words: string[]): Promise<string[]> {
  const before = [await stateOf(from), await stateOf(to)]
  const { status, out, err } = await ask('--json', ...words)
  t.equal(err, '')
  const { findings } = JSON.parse(out) as { findings: Finding[] }
  t.equal(status, findings.some(({ severity }) => severity === 'error') ? 1 : 0)
  t.same([await stateOf(from), await stateOf(to)], before, 'nothing is left')
  return findings.map(({ side, severity, about, codeName, message }) =>
    [side, severity, about, codeName, message].join(' ')
  )
}

/** Looks with another definition for the other side, which is none that the guest could have. */
function instead(t: Test, parts: Parts): Promise<string[]> {
  writeFileSync(file, xmlOf(parts))
  return look(t, '--xml', file)
}

/** Each of these is found. */
function finds(t: Test, lines: readonly string[], ...patterns: RegExp[]): void {
  for (const pattern of patterns) {
    t.ok(
      lines.some(line => pattern.test(line)),
      `${pattern}: ${JSON.stringify(lines)}`
    )
  }
}

t.test('a guest that nothing speaks against moves', async t => {
  const cpu = "<cpu mode='custom' match='exact'><model>Nehalem</model></cpu>"
  await create(xmlOf({ cpu, devices: "<graphics type='vnc' autoport='yes'/><interface type='user'/>" }))
  for (const words of [[], ['--p2p'], ['--copy-storage-all', '--suspend']]) {
    t.same(await look(t, ...words), [], words.join(' '))
  }
  t.same(await ask(), { status: 0, out: '', err: '' })
  t.equal((await from.entry(NAME)).state, RUNNING)
  t.same(await virshim('migrate', NAME, to.socket, '--live'), { status: 0, out: '', err: '' })
  await to.until(NAME, entry => entry?.state === RUNNING)
  await destroy(NAME, to)
  await from.until(NAME, entry => entry === undefined)
})

t.test('what its source has against it', async t => {
  const image = join(dir, 'a.raw')
  writeFileSync(image, '')
  truncateSync(image, 1024 * 1024)
  const disk = `<disk type='file'><driver name='qemu' type='raw'/><source file='${image}'/><target dev='vda'/></disk>`
  await create(xmlOf({ devices: `${disk}<shmem name='s-${process.pid}'><model type='ivshmem-plain'/></shmem>` }))
  const words = ['--postcopy', '--suspend', '--zerocopy', '--auto-converge-initial', '7', '--tls', '--disks-port', '7']
  finds(
    t,
    await look(t, ...words, '--disks-uri', 'tcp://x'),
    /^source error flags VIR_ERR_ARGUMENT_UNSUPPORTED .*post-copy/,
    /^source error flags VIR_ERR_OPERATION_INVALID .*zero-copy/,
    /^source error flags VIR_ERR_INVALID_ARG .*Both port and URI/,
    /^source error guest VIR_ERR_OPERATION_INVALID .*shmem/,
    /^source error disks VIR_ERR_MIGRATE_UNSAFE /,
    /^source error parameters VIR_ERR_INVALID_ARG .*auto convergence/,
    /^source error certificates VIR_ERR_INTERNAL_ERROR .*ca-cert.pem/,
    /^destination error certificates VIR_ERR_INTERNAL_ERROR .*server-cert.pem/
  )
  t.match(await virshim('migrate', NAME, to.socket, '--check'), {
    status: 1,
    out: /^ source +error +disks +vda +Unsafe migration: /m,
    err: ''
  })
  await destroy(NAME)
})

t.test('what its destination has against it', async t => {
  await create(xmlOf())
  for (const api of [`domains/${NAME}/virDomainQemuMigrateCheckBegin`, 'virDomainQemuMigrateCheckPrepare']) {
    const { body } = await (api.startsWith('domains') ? from : to).call(api, { flags: 1 }, 'api-ro.sock')
    t.equal(body.codeName, 'VIR_ERR_OPERATION_DENIED', api)
  }
  const images = join(dir, 'images')
  mkdirSync(images)
  const held = join(images, 'held.raw')
  writeFileSync(held, '')
  truncateSync(held, 1024 * 1024)
  const disk = (path: string, dev: string) =>
    `<disk type='file'><driver name='qemu' type='raw'/><source file='${path}'/><target dev='${dev}' bus='virtio'/></disk>`
  const mac = '52:54:00:7a:33:0e'
  const nic = `<interface type='user'><mac address='${mac}'/></interface>`
  await create(xmlOf({ name: `${NAME}-b`, uuid: UUID.replace('e1', 'e2'), devices: `${disk(held, 'vda')}${nic}` }), to)
  t.same(await look(t), [])
  finds(
    t,
    await look(t, '--dname', `${NAME}-b`),
    new RegExp(`^destination error name VIR_ERR_OPERATION_FAILED .*'${NAME}-b' already exists with uuid`)
  )
  finds(
    t,
    await instead(t, { devices: `${disk(held, 'vda')}${disk(join(images, 'none'), 'vdb')}${nic}` }),
    /^source error definition VIR_ERR_CONFIG_UNSUPPORTED /
  )
  const dry = async (parts: Parts, flags = 1) => {
    const before = await stateOf(to)
    const params = { destination_xml: xmlOf(parts) }
    const { status, body } = await to.call('virDomainQemuMigrateCheckPrepare', { params, flags })
    t.equal(status, 200, JSON.stringify(body))
    t.same(await stateOf(to), before, 'nothing is left')
    return body.findings.map(({ severity, about, codeName, message }: Finding) =>
      [severity, about, codeName, message].join(' ')
    ) as string[]
  }
  t.same(await dry({}), [])
  finds(
    t,
    await dry({
      devices: `${disk(held, 'vda')}${disk(join(images, 'none'), 'vdb')}${nic}
        <interface type='bridge'><source bridge='nobridge'/></interface>
        <interface type='network'><source network='nonet'/></interface>
        <hostdev mode='subsystem' type='usb'><source><vendor id='0x1234'/><product id='0x5678'/></source></hostdev>`,
      memory: String(2 ** 30),
      os: `<kernel>${images}/kernel</kernel>`
    }),
    /^error resources VIR_ERR_RESOURCE_BUSY .*disk '.*held.raw' is in use by domain/,
    new RegExp(`^error resources VIR_ERR_RESOURCE_BUSY .*mac '${mac}' is in use by domain`),
    /^error disks VIR_ERR_SYSTEM_ERROR .*none.*No such file/,
    /^error devices VIR_ERR_SYSTEM_ERROR .*nobridge/,
    /^error devices VIR_ERR_NO_SUPPORT /,
    /^error devices VIR_ERR_\w+ .*(Did not find USB device|sys.bus.usb)/,
    /^error definition VIR_ERR_SYSTEM_ERROR .*kernel/,
    /^warning memory VIR_ERR_RESOURCE_BUSY /,
    /^warning resources VIR_ERR_RESOURCE_BUSY .*budget/
  )
  finds(t, await dry({ machine: 'pc-i440fx-99.0' }), /^error definition VIR_ERR_\w+ .*pc-i440fx-99.0/)
  finds(t, await dry({ emulator: '/usr/bin/no-qemu' }), /^error definition VIR_ERR_SYSTEM_ERROR .*no-qemu/)
  finds(
    t,
    await dry({ cpu: "<cpu mode='custom' match='exact' check='partial'><model>SapphireRapids</model></cpu>" }),
    /^error devices VIR_ERR_CPU_INCOMPATIBLE /
  )
  finds(
    t,
    await dry({ cpu: "<cpu mode='custom' match='exact' check='full'><model>SapphireRapids</model></cpu>" }),
    /^error devices VIR_ERR_OPERATION_FAILED .*missing features: /
  )
  await destroy(`${NAME}-b`, to)
  await destroy(NAME)
  rmSync(images, { recursive: true })
})
