// kill -9 of the shim while disks come and go and media change: what the next one says the guest has is what QEMU has.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { bareGuest, Shim } from '../helper/shim.ts'

t.setTimeout(240_000)

const ROUNDS = 24
/** Calls that are to be cut short; where they are over too soon for that, rounds are added, up to the second figure. */
const CUT = ROUNDS / 4
const MAX_ROUNDS = 4 * ROUNDS
const RUNNING = 1
const LIVE = 1
/** Longer than any of these calls takes on an idle machine. */
const LONGEST_MS = 60

/** A small generator with a fixed seed: the moments differ, the test does not. */
function* moments(seed: number): Generator<number> {
  for (let x = seed; ; ) {
    x = (x * 1103515245 + 12345) % 2 ** 31
    yield x / 2 ** 31
  }
}

const dir = t.testdir({ 'a.iso': 'a'.repeat(4096), 'b.iso': 'b'.repeat(4096) })
for (const name of ['one', 'two', 'three']) writeFileSync(join(dir, `${name}.img`), '\0'.repeat(65536))
const cdrom = (file?: string) =>
  `<disk type='file' device='cdrom'>${file ? `<source file='${join(dir, file)}'/>` : ''}<target dev='hdc' bus='ide'/><readonly/></disk>`
const disk = (name: string, target: string) =>
  `<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='${join(dir, name)}.img'/><target dev='${target}' bus='scsi'/></disk>`
const DISKS = [disk('one', 'sdb'), disk('two', 'sdc'), disk('three', 'sdd')]
const MEDIA = [cdrom('a.iso'), cdrom('b.iso'), cdrom()]

t.test(`${ROUNDS} kills and more`, async t => {
  const inside = `<controller type='scsi' index='0' model='virtio-scsi'/>${cdrom('a.iso')}`
  const shim = new Shim(bareGuest(`t-plug-kill-${process.pid}`, inside))
  t.teardown(() => shim.end())
  let exited = shim.start()
  await shim.untilState(RUNNING)
  const random = moments(20171219)
  const next = () => random.next().value!
  const pick = <T>(list: readonly T[]): T => list[Math.floor(next() * list.length)]!

  const qmp = async (execute: string, args: object = {}) => {
    const { body } = await shim.call('virDomainQemuMonitorCommand', {
      cmd: JSON.stringify({ execute, arguments: args })
    })
    return JSON.parse(body.result).return
  }
  /** Aliases of disks and names of nodes, in the live definition and in QEMU. */
  const views = async () => {
    const { xml } = (await shim.call('virDomainGetXMLDesc?flags=0')).body as { xml: string }
    const disks = xml.match(/<disk [\s\S]*?<\/disk>/g) ?? []
    const said = disks.flatMap(one => [
      /<alias name='([^']*)'/.exec(one)![1]!,
      ...(/<source file/.test(one) ? [`libvirt-${/ index='(\d+)'/.exec(one)![1]}-format`] : [])
    ])
    const devices: { name: string }[] = await qmp('qom-list', { path: '/machine/peripheral' })
    const nodes: { 'node-name': string }[] = await qmp('query-named-block-nodes')
    const there = [
      ...devices.map(({ name }) => name).filter(name => /^(scsi0-|ide0-)/.test(name)),
      ...nodes.map(node => node['node-name']).filter(name => name.endsWith('-format'))
    ]
    const storage = nodes.map(node => node['node-name']).filter(name => name.endsWith('-storage'))
    return { said: said.sort(), there: there.sort(), storage }
  }

  let cut = 0
  for (let round = 0; round < ROUNDS || (cut <= CUT && round < MAX_ROUNDS); round++) {
    const [api, xml] = pick([
      ['virDomainAttachDeviceFlags', pick(DISKS)],
      ['virDomainDetachDeviceFlags', pick(DISKS)],
      ['virDomainUpdateDeviceFlags', pick(MEDIA)]
    ] as const)
    let answered = false
    const done = shim.call(api, { xml, flags: LIVE }).then(
      () => {
        answered = true
      },
      () => undefined
    )
    await sleep(next() * LONGEST_MS)
    if (!answered) cut++
    shim.child?.kill('SIGKILL')
    await Promise.all([exited, done])
    exited = shim.run('bin/virshimd', ['--root', shim.root])
    await shim.untilState(RUNNING)
    const { said, there, storage } = await views()
    t.same(said, there, `round ${round}: ${api}`)
    t.equal(storage.length, there.filter(name => name.endsWith('-format')).length, `round ${round}: no node is left`)
    const status = JSON.parse(readFileSync(join(shim.root, 'status.json'), 'utf8'))
    t.equal(status.media, undefined, `round ${round}: nothing is under way`)
  }
  t.ok(cut > CUT, `${cut} calls were cut short`)
  await shim.call('virDomainDestroy', {})
  t.equal(await exited, 0)
})
