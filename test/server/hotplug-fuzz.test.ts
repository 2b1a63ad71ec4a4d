// Devices that come and go and settings that change, at random, in a guest that has booted, while its shim is killed
// again and again: what the shim, its file and QEMU say of the guest stays the same, and nothing is left behind.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import t from 'tap'
import { BootedGuest, DIRECT_BOOT, makeGuestFiles } from '../helper/booted-guest.ts'
import { processesNaming } from '../helper/processes.ts'

t.setTimeout(1_200_000)

/** Steps and kills in all; `FUZZ_STEPS=2000` is the long form. */
const STEPS = Number(process.env.FUZZ_STEPS ?? 300)
const STEPS_A_KILL = Math.min(STEPS / 10, 40)
const RUNNING = 1
const SETTLE_LIMIT_MS = 60_000
const NAME = `t-fuzz-${process.pid}`

/** Numbers below 1 with a fixed seed. */
function numbers(seed: number): () => number {
  let x = seed
  return () => {
    x = (x * 1103515245 + 12345) % 2 ** 31
    return x / 2 ** 31
  }
}

const random = numbers(Number(process.env.FUZZ_SEED ?? 20171219))
const below = (limit: number) => Math.floor(random() * limit)
const oneOf = <T>(list: readonly T[]): T => list[below(list.length)]!

interface Call {
  api: string
  args: object
}

const LIVE = ['VIR_DOMAIN_AFFECT_LIVE']

makeGuestFiles()
const guest = await BootedGuest.boot(`<domain type='qemu'><name>${NAME}</name><memory unit='MiB'>256</memory>
  <vcpu current='1'>2</vcpu><os><type arch='x86_64' machine='pc'>hvm</type>${DIRECT_BOOT}</os><features><acpi/></features>
  <devices><controller type='scsi' index='0' model='virtio-scsi'/>
    <disk type='file' device='cdrom'><target dev='hdc' bus='ide'/></disk>
    <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
    <interface type='user'><mac address='52:54:00:0f:00:ff'/><model type='virtio'/></interface>
    <memballoon model='virtio'/></devices></domain>`)
t.teardown(() => guest.end())
const { shim } = guest

const image = (name: string) => join(shim.dir, `${name}.img`)
const files = ['vdb', 'vdc', 'vdd', 'sdb', 'sdc', 'sdd', 'one', 'two']
for (const name of files) writeFileSync(image(name), Buffer.alloc(64 * 1024))

const disk = (target: string) =>
  `<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='${image(target)}'/><target dev='${target}' bus='${target.startsWith('v') ? 'virtio' : 'scsi'}'/></disk>`
const card = (n: number, link = 'up') =>
  `<interface type='user'><mac address='52:54:00:0f:00:0${n}'/><model type='virtio'/><link state='${link}'/></interface>`

/** Every device there may be beside those of the definition. */
const DEVICES: string[] = [
  ...['vdb', 'vdc', 'vdd', 'sdb', 'sdc', 'sdd'].map(disk),
  ...[1, 2, 3].map(n => card(n)),
  "<rng model='virtio'><backend model='builtin'/></rng>",
  "<input type='tablet' bus='usb'/>"
]

const cdrom = (source: string) =>
  `<disk type='file' device='cdrom'><driver name='qemu' type='raw'/>${source}<target dev='hdc' bus='ide'/><readonly/></disk>`

const plug = () => ({ api: 'virDomainAttachDeviceFlags', args: { xml: oneOf(DEVICES), flags: LIVE } })
const unplug = () => ({ api: 'virDomainDetachDeviceFlags', args: { xml: oneOf(DEVICES), flags: LIVE } })
/** Several cards may have one address: their names tell them apart. */
const unplugCard = () => ({ api: 'virDomainDetachDeviceAlias', args: { alias: `net${1 + below(9)}`, flags: LIVE } })

/** Kinds of steps; those that are likelier stand here more than once. */
const MOVES: (() => Call)[] = [
  plug,
  plug,
  plug,
  unplug,
  unplug,
  unplugCard,
  () => ({
    api: 'virDomainUpdateDeviceFlags',
    args: { xml: card(1 + below(3), oneOf(['up', 'down'])), flags: LIVE }
  }),
  () => ({
    api: 'virDomainUpdateDeviceFlags',
    args: {
      xml: cdrom(oneOf(['', `<source file='${image('one')}'/>`, `<source file='${image('two')}'/>`])),
      flags: LIVE
    }
  }),
  () => ({ api: oneOf(['virDomainSuspend', 'virDomainResume', 'virDomainResume']), args: {} }),
  () => ({ api: 'virDomainSetMemoryFlags', args: { memory: (160 + below(96)) * 1024, flags: LIVE } }),
  // QEMU 7.2 under TCG does not survive a vCPU that comes again
  () => ({ api: 'virDomainSetVcpusFlags', args: { nvcpus: 2, flags: LIVE } }),
  () => ({
    api: 'virDomainSetBlockIoTune',
    args: { disk: oneOf(['vdb', 'sdb']), params: { total_iops_sec: 100 + below(900) }, flags: LIVE }
  })
]

/** Refusals that a guest in the wrong state, or without the device, gives; the rest would be a defect. */
const REFUSALS = new Set([
  'VIR_ERR_OPERATION_FAILED',
  'VIR_ERR_OPERATION_INVALID',
  'VIR_ERR_DEVICE_MISSING',
  'VIR_ERR_INVALID_ARG',
  'VIR_ERR_CONFIG_UNSUPPORTED',
  'VIR_ERR_OPERATION_UNSUPPORTED'
])
/** QEMU's words where the guest has not given a device up yet whose place or image is wanted again. */
const QEMU_REFUSES =
  /already in the process of unplug|duplicated|no device found with alias|No free USB ports|No more available PCI slots/

const monitor = async (execute: string, args?: object) => {
  const cmd = JSON.stringify({ execute, ...(args && { arguments: args }) })
  const { body } = await shim.call('virDomainQemuMonitorCommand', { cmd, flags: 0 })
  return JSON.parse(body.result).return
}
const names = async (path: string): Promise<string[]> =>
  (await monitor('qom-list', { path })).map(({ name }: { name: string }) => name).sort()

/** What QEMU has of devices and of their parts. */
async function ofQemu() {
  const nodes: { 'node-name': string }[] = await monitor('query-named-block-nodes', { flat: true })
  const chardevs: { label: string }[] = await monitor('query-chardev')
  const network: string = await monitor('human-monitor-command', { 'command-line': 'info network' })
  return {
    devices: (await names('/machine/peripheral')).filter(name => !/^vcpu\d+$/.test(name)),
    objects: await names('/objects'),
    nodes: nodes.map(node => node['node-name']).sort(),
    chardevs: chardevs.map(({ label }) => label).sort(),
    netdevs: [...network.matchAll(/^ \\ (host\w+)/gm)].map(([, name]) => name!).sort()
  }
}

const xmlOf = async (): Promise<string> => (await shim.call('virDomainGetXMLDesc?flags=0')).body.xml
const aliasesOf = (xml: string) => [...xml.matchAll(/<alias name='([^']+)'\/>/g)].map(([, alias]) => alias!).sort()

/** Numbers of the images that the definition has. */
const imagesOf = (xml: string) => [...xml.matchAll(/<source [^>]*index='(\d+)'/g)].map(([, number]) => number!)

/**
 * Aliases the definition has of what is no device of QEMU's, and devices of QEMU's without one; block nodes and ends of
 * cards that nothing in the definition has.
 */
async function differences() {
  const xml = await xmlOf()
  const [aliases, images, { devices, nodes, netdevs }] = [aliasesOf(xml), imagesOf(xml), await ofQemu()]
  return {
    only: aliases.filter(alias => !devices.includes(alias)),
    more: devices.filter(id => !aliases.includes(id)),
    nodes: nodes.filter(name => !images.includes(/^libvirt-(\d+)-/.exec(name)?.[1] ?? '')),
    netdevs: netdevs.filter(name => !aliases.includes(name.replace(/^host/, '')))
  }
}

const before = await ofQemu()
const devicesBefore = aliasesOf(await xmlOf())
/** Names of the devices that have come. */
const plugged = async () => aliasesOf(await xmlOf()).filter(alias => !devicesBefore.includes(alias))
const builtIn = await differences()

/** The same, once what the guest has just given up is gone from the definition, too. */
async function settled() {
  const deadline = Date.now() + SETTLE_LIMIT_MS
  for (;;) {
    const found = await differences()
    if (isDeepStrictEqual(found, builtIn) || Date.now() > deadline) return found
    await sleep(50)
  }
}

/** What its shims have warned of. */
const warnings = () =>
  shim.stderr
    .split('\n')
    .filter(line => line.includes('"level":40'))
    .join('\n')

async function restarted(): Promise<void> {
  void shim.run('bin/virshimd', ['--root', shim.root])
  for (const deadline = Date.now() + SETTLE_LIMIT_MS; ; await sleep(20)) {
    const answer = await shim.call('virDomainGetState').catch(() => undefined)
    if (answer?.status === 200) return
    if (Date.now() > deadline) throw new Error(`no shim takes the guest over: ${shim.stderr}`)
  }
}

t.test(`${STEPS} steps`, async t => {
  let kills = 0
  const unexpected: string[] = []
  const did: Record<string, number> = {}
  const last: string[] = []
  for (let step = 0; step < STEPS; step++) {
    const { api, args } = oneOf(MOVES)()
    last.push(`${step} ${api} ${JSON.stringify(args)}`)
    const isLast = step % STEPS_A_KILL === STEPS_A_KILL - 1
    const called = shim.call(api, args).catch(() => undefined)
    if (isLast) {
      await sleep(random() * 60)
      const child = shim.child!
      const gone = new Promise(resolve => child.once('exit', resolve))
      child.kill('SIGKILL')
      await gone
      await called
      await restarted()
      kills++
      t.same(await settled(), builtIn, `after kill ${kills}, in ${api}`)
      continue
    }
    const answer = await called
    if (!answer) throw new Error(`not answered: ${last.slice(-8).join('\n')}\n${shim.stderr}`)
    const { status, body } = answer
    const outcome = `${api} ${status === 200 ? 'done' : body.codeName}`
    did[outcome] = (did[outcome] ?? 0) + 1
    if (status !== 200 && !REFUSALS.has(body.codeName) && !QEMU_REFUSES.test(body.message)) {
      unexpected.push(`${step} ${api} ${JSON.stringify(args)}: ${body.codeName} ${body.message}`)
    }
  }
  t.comment(JSON.stringify(did, null, 1))
  t.comment(warnings())
  t.same(unexpected, [])
  t.ok(kills >= 5)
})

t.test('the definition, the file and QEMU say the same, and nothing is left', async t => {
  await shim.call('virDomainResume', {})
  await shim.untilState(RUNNING)
  t.same(await settled(), builtIn)
  const status = JSON.parse(readFileSync(join(shim.root, 'status.json'), 'utf8'))
  t.same(aliasesOf(status.xml), aliasesOf(await xmlOf()))
  const deadline = Date.now() + SETTLE_LIMIT_MS
  for (let left = await plugged(); left.length > 0 && Date.now() < deadline; left = await plugged()) {
    for (const alias of left) await shim.call('virDomainDetachDeviceAlias', { alias, flags: LIVE })
    await sleep(100)
  }
  const ejected = await shim.call('virDomainUpdateDeviceFlags', {
    xml: cdrom(''),
    flags: ['VIR_DOMAIN_AFFECT_LIVE', 'VIR_DOMAIN_DEVICE_MODIFY_FORCE']
  })
  t.equal(ejected.status, 200, ejected.body.message)
  t.same(await ofQemu(), before, 'QEMU has what it had')
  t.equal(processesNaming(`${shim.root}/`).length, 1, 'nothing but its QEMU runs for the guest')
})
