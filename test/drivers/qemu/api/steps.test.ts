// Every call that asks QEMU for something, and each way QEMU can fail it: the call ends in libvirt's error, the guest is
// what it was or what QEMU's end has made of it, and the next call finds nobody in its way.
import t, { type Test } from 'tap'
import { Clock } from '../../../helper/clock.ts'
import { eightAtATime, type GuestParts, StandInGuest } from '../../../helper/stand-in-guest.ts'
import { dies, hangsUp, refuses, says, silent } from '../../../helper/stand-in-qemu.ts'

const PARTS: GuestParts = {
  files: { 'disk.img': 'x'.repeat(4096) },
  outside: `<vcpu current='1'>2</vcpu><iothreads>1</iothreads><throttlegroups><throttlegroup><group_name>old</group_name><read_iops_sec>9</read_iops_sec></throttlegroup>
    </throttlegroups>`,
  devices: `<disk type='file' device='disk'><source file='@/disk.img'/><target dev='vda' bus='virtio'/></disk>
    <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
    <video><model type='vga'/></video>`
}

interface Step {
  api: string
  args?: object
  /** what it tells QEMU, each of which may fail */
  commands: string[]
  /** the guest before */
  paused?: boolean
  /** the limit of a call that only reads, ms */
  limitMs?: number
}

const READS = { limitMs: 2000 }
const VCPUS = ['query-hotpluggable-cpus', 'query-cpus-fast']
const STEPS: Step[] = [
  { api: 'virDomainSuspend', commands: ['stop'] },
  { api: 'virDomainResume', commands: ['cont'], paused: true },
  { api: 'virDomainReset', commands: ['system_reset'] },
  { api: 'virDomainShutdownFlags', args: { flags: 1 }, commands: ['system_powerdown'] },
  { api: 'virDomainReboot', args: { flags: 1 }, commands: ['system_powerdown'] },
  { api: 'virDomainInjectNMI', commands: ['inject-nmi'] },
  { api: 'virDomainPMWakeup', commands: ['system_wakeup'] },
  { api: 'virDomainSetLifecycleAction', args: { type: 1, action: 0 }, commands: ['set-action'] },
  { api: 'virDomainPMSuspendForDuration', args: { target: 0 }, commands: ['query-current-machine'] },
  { api: 'virDomainSendKey', args: { codeset: 0, holdtime: 5, keycodes: [28] }, commands: ['send-key'] },
  { api: 'virDomainScreenshot', commands: ['screendump'] },
  { api: 'virDomainSetTime', args: { seconds: 1 }, commands: ['rtc-reset-reinjection'] },
  { api: 'virDomainQemuMonitorCommand', args: { cmd: 'info', flags: 1 }, commands: ['human-monitor-command'] },
  {
    api: 'virDomainSetVcpus',
    args: { nvcpus: 2 },
    commands: ['query-hotpluggable-cpus', 'device_add', ...VCPUS]
  },
  { api: 'virDomainAddIOThread', args: { iothread_id: 7 }, commands: ['object-add', 'query-iothreads'] },
  {
    api: 'virDomainSetIOThreadParams',
    args: { iothread_id: 1, params: { poll_max_ns: 5 } },
    commands: ['qom-get', 'qom-set']
  },
  { api: 'virDomainSetMemory', args: { memory: 32768 }, commands: ['balloon'] },
  { api: 'virDomainMemoryPeek', args: { start: 0, size: 16, flags: 1 }, commands: ['memsave'] },
  { api: 'virDomainStartDirtyRateCalc', args: { seconds: 1 }, commands: ['calc-dirty-rate'] },
  { api: 'virDomainBlockStats', args: { path: 'vda' }, commands: ['query-blockstats', 'query-block'], ...READS },
  { api: 'virDomainBlockStatsFlags', args: { path: '' }, commands: ['query-blockstats', 'query-block'], ...READS },
  { api: 'virDomainGetBlockInfo', args: { disk: 'vda' }, commands: ['query-blockstats', 'query-block'], ...READS },
  { api: 'virDomainGetDiskErrors', commands: ['query-block'], ...READS },
  { api: 'virDomainGetBlockIoTune', args: { disk: 'vda' }, commands: ['query-block'] },
  {
    api: 'virDomainSetBlockIoTune',
    args: { disk: 'vda', params: { total_bytes_sec: 4096 } },
    commands: ['block_set_io_throttle']
  },
  {
    api: 'virDomainSetThrottleGroup',
    args: { group: 'slow', params: { total_iops_sec: 5 } },
    commands: ['object-add']
  },
  { api: 'virDomainSetThrottleGroup', args: { group: 'old', params: { total_iops_sec: 5 } }, commands: ['qom-set'] },
  { api: 'virDomainDelThrottleGroup', args: { group: 'old' }, commands: ['object-del'] },
  {
    api: 'virDomainSetBlockThreshold',
    args: { dev: 'vda', threshold: 4096 },
    commands: ['block-set-write-threshold']
  },
  { api: 'virDomainBlockResize', args: { disk: 'vda', size: 8 }, commands: ['block_resize'] },
  { api: 'virDomainGraphicsReload', args: { type: 1 }, commands: ['display-reload'] },
  { api: 'virDomainAnnounceInterface', args: { params: { rounds: 1 } }, commands: ['announce-self'] }
]

const CASES = STEPS.flatMap(step => step.commands.map(command => ({ ...step, command })))
const titleOf = ({ api, command, args }: (typeof CASES)[number]) => `${api} ${JSON.stringify(args ?? {})}: ${command}`

/** A guest as the step finds it, with an agent and answers in which it can succeed. */
async function guestFor(t: Test, { paused = false }: Partial<Step> = {}): Promise<StandInGuest> {
  const guest = await StandInGuest.running(t, { ...PARTS, answers: { ...DRIVES } })
  Object.assign(guest.qemu.agent.answers, { 'guest-set-time': {}, 'guest-suspend-ram': {} })
  if (paused) await guest.call('virDomainSuspend')
  guest.forget()
  return guest
}

/** What QEMU tells of the guest's one disk. */
const QDEV = '/machine/peripheral/virtio-disk0/virtio-backend'
const NO_LIMITS = { bps: 0, bps_rd: 0, bps_wr: 0, iops: 0, iops_rd: 0, iops_wr: 0 }
const DRIVE = { qdev: QDEV, device: '', removable: false, locked: false, type: 'unknown', 'io-status': 'ok' }
const DRIVES = {
  'query-block': [{ ...DRIVE, inserted: NO_LIMITS }],
  'query-blockstats': [{ qdev: QDEV, stats: { rd_operations: 1, rd_bytes: 2, wr_operations: 4, wr_bytes: 5 } }]
}

/** The files of a run. */
const FILES = ['channel', 'master-key.aes', 'qemu.out', 'qmp.sock', 'status.json']

/** What can be asked of a guest at any time. */
const READING = [
  ...['virDomainGetState', 'virDomainGetInfo', 'virDomainGetXMLDesc', 'virDomainGetControlInfo', 'virDomainGetID'],
  ...['virDomainGetVcpus', 'virDomainGetMaxMemory', 'virDomainIsActive', 'virDomainGetMessages', 'virDomainGetJobInfo']
]

t.test('what each of them tells QEMU', async t => {
  for (const step of STEPS) {
    const guest = await guestFor(t, step)
    const failure = await guest.failureOf(step.api, step.args)
    // the stand-in draws no picture
    t.match(failure, step.api === 'virDomainScreenshot' ? /QEMU has made no picture/ : /^$/, step.api)
    t.same(guest.qemu.peer.commands, step.commands, step.api)
    await guest.end()
  }
})

t.test('QEMU refuses', async t => {
  for (const step of CASES) {
    const guest = await guestFor(t, step)
    const before = { state: await guest.state(), xml: (await guest.call('virDomainGetXMLDesc')).xml }
    guest.qemu.answers[step.command] = refuses('no')
    t.equal(
      await guest.failureOf(step.api, step.args),
      `VIR_ERR_INTERNAL_ERROR VIR_FROM_QEMU: internal error: unable to execute QEMU command '${step.command}': no`,
      titleOf(step)
    )
    const after = { state: await guest.state(), xml: (await guest.call('virDomainGetXMLDesc')).xml }
    t.same(after, before, 'nothing has changed')
    t.same(guest.told, [], 'nothing is told')
    t.equal((await guest.call('virDomainGetControlInfo')).state, 0, 'no job is left')
    t.same(guest.leftovers.sort(), [...FILES, guest.qemu.pid].sort(), 'no file is left')
    await guest.end()
  }
})

t.test('QEMU does not answer', async t => {
  const clock = new Clock(t)
  for (const step of CASES) {
    const guest = await guestFor(t, step)
    const before = await guest.state()
    guest.qemu.answers[step.command] = silent
    const failed = guest.failureOf(step.api, step.args)
    const order = await guest.qemu.peer.told(step.command)
    for (const api of READING) t.equal(await guest.failureOf(api), '', `${titleOf(step)}: ${api} meanwhile`)
    const limitMs = step.limitMs ?? 30_000
    clock.pass(limitMs)
    // what was asked beside it may not have been answered yet, either
    const late = `QEMU monitor did not answer '(${step.commands.join('|')})' within ${limitMs} ms`
    t.match(
      await failed,
      new RegExp(`^VIR_ERR_OPERATION_TIMEOUT VIR_FROM_QEMU: Timed out during operation: ${late}$`),
      titleOf(step)
    )
    order.reply()
    guest.qemu.behave()
    t.equal(await guest.state(), before)
    t.equal(await guest.failureOf('virDomainInjectNMI'), '', `${titleOf(step)}: the next call goes on`)
    await guest.end()
  }
})

t.test('QEMU dies', async t => {
  for (const step of CASES) {
    const guest = await guestFor(t, step)
    const ended = guest.ended()
    guest.qemu.answers[step.command] = dies(guest.qemu)
    t.match(
      await guest.failureOf(step.api, step.args),
      /^VIR_ERR_(INTERNAL_ERROR|OPERATION_FAILED) VIR_FROM_QEMU: (internal error: (End of file from qemu monitor|Unable to read from monitor: .*)|operation failed: the QEMU monitor is not connected)$/,
      titleOf(step)
    )
    t.match(await ended, { failed: true })
    t.equal(await guest.state(), 'SHUTOFF CRASHED', titleOf(step))
    t.same(guest.lifecycle, ['STOPPED FAILED'])
    t.same(guest.leftovers, [])
    guest.qemu.behave()
    await guest.start()
    t.equal(await guest.state(), 'RUNNING BOOTED', `${titleOf(step)}: it can be started again`)
    await guest.end()
  }
})

t.test('the connection does not survive the answer', async t => {
  const ways = [
    { what: 'end', answer: hangsUp, error: /End of file from qemu monitor$/ },
    { what: 'nonsense', answer: says('hello\n'), error: /cannot parse json hello: not a QEMU monitor message$/ }
  ]
  const cases = ways.flatMap(way => CASES.map(step => ({ ...way, ...step })))
  await eightAtATime(cases, async ({ what, answer, error, ...step }) => {
    const guest = await guestFor(t, step)
    const { peer } = guest.qemu
    const before = peer.connections
    guest.qemu.answers[step.command] = answer
    t.match(await guest.failureOf(step.api, step.args), error, `${titleOf(step)}: ${what}`)
    guest.qemu.behave()
    await peer.connected(before + 1)
    await peer.told('query-status')
    t.equal(await guest.failureOf('virDomainInjectNMI'), '', `${titleOf(step)}: it is made again`)
    await guest.end()
  })
})

t.test('QEMU answers something else', async t => {
  const values = [null, true, 'x', -1, 7, 2n ** 64n, [], {}, [[]], [null], [{}], [{ qdev: 7, stats: null }]]
  for (const step of CASES) {
    const guest = await guestFor(t, step)
    const before = await guest.state()
    for (const value of values) {
      guest.qemu.answers[step.command] = value
      t.match(
        await guest.failureOf(step.api, step.args),
        /^$|^VIR_ERR_(INTERNAL_ERROR|SYSTEM_ERROR) VIR_FROM_QEMU: |^VIR_ERR_OPERATION_INVALID .* (domain is (already running|not running))$/,
        `${titleOf(step)} answered ${JSON.stringify(value, (_, v) => (typeof v === 'bigint' ? String(v) : v))}`
      )
      t.equal((await guest.state()).split(' ')[0], before.split(' ')[0])
    }
    t.equal(await guest.failureOf('virDomainDestroy'), '')
    t.same(guest.leftovers, [])
    await guest.end()
  }
})
