// What only QEMU knows of its guest, learnt at a start and by who takes the guest over.
import t, { type Test } from 'tap'
import { failureOf, type GuestParts, StandInGuest } from '../../../helper/stand-in-guest.ts'

const CHANNELS: GuestParts = {
  devices: `<serial type='pty'/><console type='pty'><target type='virtio'/></console>
    <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>`
}

const chardev = (label: string, filename: string, open = true) => ({ label, filename, 'frontend-open': open })
const xmlOf = async (guest: StandInGuest): Promise<string> => (await guest.call('virDomainGetXMLDesc')).xml

/** A start with this answer. */
async function startedWith(t: Test, command: string, answer: unknown, parts: GuestParts = CHANNELS) {
  const guest = await StandInGuest.make(t, { ...parts, answers: { [command]: answer } })
  return { guest, failure: await failureOf(() => guest.start()) }
}

t.test('ptys and ports', async t => {
  const { guest, failure } = await startedWith(t, 'query-chardev', [
    chardev('charserial0', 'pty:/dev/pts/90'),
    chardev('charconsole1', 'pty:/dev/pts/91'),
    chardev('charchannel0', 'unix:/x,server=on', false),
    chardev('charmonitor', 'unix:/y,server=on')
  ])
  t.equal(failure, '')
  const xml = await xmlOf(guest)
  t.match(xml, /<serial type='pty'>\s*<source path='\/dev\/pts\/90'\/>/)
  t.match(xml, /<console type='pty'>\s*<source path='\/dev\/pts\/91'\/>/)
  t.match(xml, /guest_agent.0' state='disconnected'/)
  t.match(await guest.failureOf('virDomainGetTime'), /^VIR_ERR_AGENT_UNRESPONSIVE /)
  t.match((await guest.status())?.xml, /\/dev\/pts\/90/, 'it is saved')
  guest.leave()
  guest.qemu.answers['query-chardev'] = [
    chardev('charserial0', 'pty:/dev/pts/92'),
    chardev('charchannel0', 'unix:/x,server=on', true)
  ]
  guest.qemu.agent.answers['guest-get-time'] = 5
  await guest.takeOver()
  t.match(await xmlOf(guest), /<source path='\/dev\/pts\/92'\/>/, 'who takes it over asks again')
  t.same(await guest.call('virDomainGetTime'), { seconds: 0n, nseconds: 5 })
})

t.test('vCPUs', async t => {
  const two = [0, 1].map(i => ({
    'cpu-index': i,
    'thread-id': process.pid,
    'qom-path': `/machine/unattached/device[${i}]`
  }))
  const { guest } = await startedWith(t, 'query-cpus-fast', two, { outside: '<vcpu>2</vcpu>' })
  t.match(await guest.call('virDomainGetInfo'), { nrVirtCpu: 2 })
  t.match((await guest.call('virDomainGetVcpus')).info, [{ number: 0 }, { number: 1 }])
  const none = await startedWith(t, 'query-cpus-fast', [], { outside: '<vcpu>2</vcpu>' })
  t.equal(none.failure, '')
  t.match(await none.guest.call('virDomainGetInfo'), { nrVirtCpu: 2 }, 'a QEMU that tells of none has those asked for')
})

t.test('places for vCPUs', async t => {
  const outside = `<vcpu current='1'>2</vcpu><vcpus><vcpu id='0' enabled='yes' hotpluggable='no'/>
    <vcpu id='1' enabled='yes' hotpluggable='yes'/></vcpus>`
  const place = (core: number, path?: string) => ({
    type: 'qemu64-x86_64-cpu',
    props: { 'socket-id': core, 'core-id': 0, 'thread-id': 0 },
    ...(path !== undefined && { 'qom-path': path })
  })
  const full = await startedWith(t, 'query-hotpluggable-cpus', [place(1), place(0, '/machine/x')], { outside })
  t.equal(full.failure, '')
  t.match(full.guest.qemu.peer.orders.find(({ command }) => command === 'device_add')?.args, {
    driver: 'qemu64-x86_64-cpu',
    id: 'vcpu1',
    'socket-id': 1
  })
  const taken = await startedWith(t, 'query-hotpluggable-cpus', [place(1, '/machine/y'), place(0, '/machine/x')], {
    outside
  })
  t.equal(taken.failure, '')
  t.notOk(taken.guest.qemu.peer.commands.includes('device_add'), 'what is there is not plugged again')
  const short = await startedWith(t, 'query-hotpluggable-cpus', [place(0, '/machine/x')], { outside })
  t.equal(
    short.failure,
    "VIR_ERR_INTERNAL_ERROR VIR_FROM_QEMU: internal error: qemu didn't report a place for vcpu '1'"
  )
  t.same(short.guest.leftovers, [])
})

t.test('trays', async t => {
  const devices = `<disk type='file' device='cdrom'><source file='@/cd.iso'/><target dev='hdc' bus='ide'/></disk>`
  const drive = { qdev: 'ide0-1-0', device: '', removable: true, locked: false, type: 'unknown' }
  const medium = { inserted: { image: { 'virtual-size': 0 } } }
  const cases: [what: string, answer: unknown[], xml: RegExp, told: object[]][] = [
    ['closed', [{ ...drive, ...medium, tray_open: false }], /cd\.iso/, []],
    [
      'open',
      [{ ...drive, ...medium, tray_open: true }],
      /cd\.iso.*tray='open'/s,
      [{ devAlias: 'ide0-1-0', reason: 0 }]
    ],
    ['of nothing we know', [{ ...drive, qdev: 'mine', tray_open: true }], /cd\.iso/, []],
    ['of nothing at all', [{ device: 'x', removable: true }], /cd\.iso/, []],
    ['without a medium', [{ ...drive, tray_open: false }], /device='cdrom'>(?!.*cd\.iso)/s, []]
  ]
  for (const [what, answer, xml, told] of cases) {
    const { guest, failure } = await startedWith(t, 'query-block', answer, { devices, files: { 'cd.iso': '' } })
    t.equal(failure, '', what)
    t.match(await xmlOf(guest), xml, what)
    t.same(
      guest.told.filter(([event]) => event === 'TRAY_CHANGE').map(([, fields]) => fields),
      told,
      what
    )
  }
})

t.test('an answer of another kind fails the start, and leaves nothing of it', async t => {
  for (const command of ['query-cpus-fast', 'query-chardev']) {
    for (const answer of [null, 7, 'x', {}, [null]]) {
      const { guest, failure } = await startedWith(t, command, answer)
      const what = `${command}: ${JSON.stringify(answer)}`
      t.match(failure, /^VIR_ERR_INTERNAL_ERROR VIR_FROM_QEMU: internal error: /, what)
      await guest.qemu.gone()
      t.same(guest.leftovers, [], what)
      t.equal(await guest.state(), 'SHUTOFF FAILED', what)
      await guest.end()
    }
  }
})
