// Limits that QEMU took and that cannot be saved: QEMU has the former ones again, and nothing is told.
import { mkdirSync, rmSync } from 'node:fs'
import t, { type Test } from 'tap'
import { StandInGuest } from '../../../helper/stand-in-guest.ts'
import { refuses } from '../../../helper/stand-in-qemu.ts'

const LIVE_AND_CONFIG = 3

/** A kept guest that runs, with some limits already. */
const running = (t: Test) =>
  StandInGuest.running(t, {
    persistent: true,
    files: { 'a.img': 'x'.repeat(4096), 'b.img': 'x'.repeat(4096) },
    outside: `<throttlegroups><throttlegroup><group_name>old</group_name><read_iops_sec>9</read_iops_sec></throttlegroup>
      </throttlegroups>`,
    devices: `<disk type='file' device='disk'><source file='@/a.img'/><target dev='vda' bus='virtio'/>
        <iotune><total_bytes_sec>1000</total_bytes_sec></iotune></disk>
      <disk type='file' device='disk'><source file='@/b.img'/><target dev='vdb' bus='virtio'/></disk>`
  })

/** The definition's place taken by what cannot be replaced. */
function blockDefinition({ root }: StandInGuest): void {
  rmSync(root.definition, { force: true })
  mkdirSync(`${root.definition}/full`, { recursive: true })
}

const xmls = async (guest: StandInGuest) => [
  (await guest.call('virDomainGetXMLDesc')).xml,
  (await guest.call('virDomainGetXMLDesc', { flags: 2 })).xml
]

t.test('a disk', async t => {
  const guest = await running(t)
  blockDefinition(guest)
  const before = await xmls(guest)
  const args = { disk: 'vda', params: { total_bytes_sec: 5 }, flags: LIVE_AND_CONFIG }
  t.match(await guest.failureOf('virDomainSetBlockIoTune', args), /^VIR_ERR_SYSTEM_ERROR/)
  t.same(
    guest.qemu.peer.orders.map(({ command, args }) => [command, Number(args.bps)]),
    [
      ['block_set_io_throttle', 5],
      ['block_set_io_throttle', 1000]
    ]
  )
  t.same(await xmls(guest), before)
  t.same(guest.told, [])
})

t.test('groups, made, changed and removed', async t => {
  const guest = await running(t)
  blockDefinition(guest)
  const before = await xmls(guest)
  const set = (group: string) => ({ group, params: { read_iops_sec: 5 }, flags: LIVE_AND_CONFIG })
  t.match(await guest.failureOf('virDomainSetThrottleGroup', set('new')), /^VIR_ERR_SYSTEM_ERROR/)
  t.match(await guest.failureOf('virDomainSetThrottleGroup', set('old')), /^VIR_ERR_SYSTEM_ERROR/)
  const remove = { group: 'old', flags: LIVE_AND_CONFIG }
  t.match(await guest.failureOf('virDomainDelThrottleGroup', remove), /^VIR_ERR_SYSTEM_ERROR/)
  t.same(
    guest.qemu.peer.orders.map(({ command, args }) => {
      const reads = (args.limits ?? args.value)?.['iops-read']
      return [command, args.id ?? args.path, ...(reads === undefined ? [] : [Number(reads)])]
    }),
    [
      ['object-add', 'throttle-new', 5],
      ['object-del', 'throttle-new'],
      ['qom-set', 'throttle-old', 5],
      ['qom-set', 'throttle-old', 9],
      ['object-del', 'throttle-old'],
      ['object-add', 'throttle-old', 9]
    ]
  )
  t.same(await xmls(guest), before)
  t.same(guest.told, [])
})

t.test('a threshold by number is remembered by the next shim', async t => {
  const guest = await running(t)
  const said = () =>
    guest.told.filter(([event]) => event === 'BLOCK_THRESHOLD').map(([, fields]) => (fields as { dev: string }).dev)
  const exceed = async () => {
    guest.qemu.peer.event('BLOCK_WRITE_THRESHOLD', {
      'node-name': 'libvirt-2-storage',
      'amount-exceeded': 1,
      'write-threshold': 4096
    })
    await guest.untilTold('BLOCK_THRESHOLD')
  }
  t.equal(await guest.failureOf('virDomainSetBlockThreshold', { dev: 'vda[2]', threshold: 4096 }), '')
  t.same((await guest.status())?.indexedThresholds, ['libvirt-2-storage'])
  guest.leave()
  t.ok(await guest.takeOver())
  await exceed()
  t.same(said(), ['vda[2]'])
  guest.forget()
  t.equal(await guest.failureOf('virDomainSetBlockThreshold', { dev: 'vda', threshold: 4096 }), '')
  await exceed()
  t.same(said(), ['vda', 'vda[2]'])
  guest.forget()
  guest.qemu.answers['block-set-write-threshold'] = refuses('no')
  t.match(await guest.failureOf('virDomainSetBlockThreshold', { dev: 'vda[2]', threshold: 1 }), /no$/)
  t.same((await guest.status())?.indexedThresholds, undefined)
})
