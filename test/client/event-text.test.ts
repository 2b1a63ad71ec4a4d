// Events in virsh's words: one of each kind, every word of each enumeration, and numbers nobody knows.
import { spawnSync } from 'node:child_process'
import t from 'tap'
import { EVENT_NAMES, EVENT_TEXTS } from '../../src/client/event-text.ts'
import * as names from '../../src/client/names.ts'
import * as enums from '../../src/conf/enums.ts'

const address = (family: number) => ({ family, node: '::1', service: '5900' })
const graphics = { phase: 1, local: address(1), remote: address(0), authScheme: 'vnc' }
const params = {
  name: { type: 'string', value: 'vda' },
  whole: { type: 'ullong', value: 18446744073709551615n },
  part: { type: 'double', value: 1 / 3 },
  yes: { type: 'boolean', value: true },
  no: { type: 'boolean', value: false }
}
const memoryFailure = (recipient: number, action: number, flags: number) => ({ recipient, action, flags })

const CASES: [name: string, data: Record<string, unknown>, text: string][] = [
  ['lifecycle', { event: 2, detail: 0 }, ': Started Booted'],
  ['lifecycle', { event: 5, detail: 5 }, ': Stopped Failed'],
  ['lifecycle', { event: 2, detail: 99 }, ': Started unknown'],
  ['lifecycle', { event: 99, detail: 0 }, ': unknown unknown'],
  ['lifecycle', { event: -1, detail: -1 }, ': unknown unknown'],
  ['reboot', {}, ''],
  ['rtc-change', { utcoffset: -9223372036854775808n }, ': -9223372036854775808'],
  ['watchdog', { action: 6 }, ': inject-nmi'],
  ['watchdog', { action: 7 }, ': unknown'],
  ['io-error', { srcPath: '/a', devAlias: 'virtio-disk0', action: 1 }, ': /a (virtio-disk0) pause'],
  ['graphics', { ...graphics, subject: [] }, ': initialize local[IPv6 ::1 5900] remote[IPv4 ::1 5900] vnc'],
  [
    'graphics',
    { ...graphics, phase: 9, local: address(9), subject: [{ type: 'x509dname', name: 'CN=a' }] },
    ': unknown local[unknown ::1 5900] remote[IPv4 ::1 5900] vnc\n\tx509dname=CN=a'
  ],
  ['io-error-reason', { srcPath: '', devAlias: '', action: 2, reason: 'enospc' }, ':  () report due to enospc'],
  ['control-error', {}, ''],
  ['block-job', { path: '/a', type: 2, status: 3 }, ': Block Copy for /a ready'],
  ['block-job', { path: '/a', type: 17, status: 17 }, ': Unknown job for /a unknown'],
  ['disk-change', { devAlias: 'd', oldSrcPath: '/a', reason: 1 }, ' disk d: /a -> <null>: dropped'],
  ['disk-change', { devAlias: 'd', newSrcPath: '/b', reason: 0 }, ' disk d: <null> -> /b: changed'],
  ['tray-change', { devAlias: 'd', reason: 1 }, ' disk d: closed'],
  ['pm-wakeup', { reason: 0 }, ''],
  ['pm-suspend', { reason: 0 }, ''],
  ['balloon-change', { actual: 65536 }, ': 65536KiB'],
  ['pm-suspend-disk', { reason: 0 }, ''],
  ['device-removed', { devAlias: 'net0' }, ': net0'],
  ['block-job-2', { dst: 'vda', type: 4, status: 1 }, ': Active Block Commit for vda failed'],
  ['tunable', { params }, ':\n\tname: vda\n\twhole: 18446744073709551615\n\tpart: 0.333333\n\tyes: 1\n\tno: 0'],
  ['agent-lifecycle', { state: 1, reason: 2 }, ": state: 'connected' reason: 'channel event'"],
  ['agent-lifecycle', { state: 9, reason: 9 }, ": state: 'unsupported value' reason: 'unsupported value'"],
  ['device-added', { devAlias: 'net0' }, ': net0'],
  ['migration-iteration', { iteration: 3 }, ": iteration: '3'"],
  ['job-completed', { params: {} }, ':'],
  ['device-removal-failed', { devAlias: 'net0' }, ': net0'],
  ['metadata-change', { type: 2, nsuri: 'http://x' }, ': type element, uri http://x'],
  ['metadata-change', { type: 3 }, ': type unsupported value, uri <null>'],
  [
    'block-threshold',
    { dev: 'vda', threshold: 18446744073709551615n, excess: 1n },
    ': dev: vda(<null>) 18446744073709551615 1'
  ],
  ['block-threshold', { dev: 'vda', path: '/a', threshold: 5n, excess: 1n }, ': dev: vda(/a) 5 1'],
  [
    'memory-failure',
    memoryFailure(1, 2, 3),
    ':\nrecipient: guest\naction: fatal\nflags:\n\taction required: 1\n\trecursive: 1'
  ],
  [
    'memory-failure',
    memoryFailure(5, 5, 0),
    ':\nrecipient: unsupported value\naction: unsupported value\nflags:\n\taction required: 0\n\trecursive: 0'
  ],
  ['memory-device-size-change', { alias: 'ua-m', size: 1024 }, ':\nalias: ua-m\nsize: 1024'],
  [
    'nic-mac-change',
    { alias: 'net0', oldMAC: '52:54:00:00:00:01', newMAC: '52:54:00:00:00:02' },
    ':\nalias: net0\noldMAC: 52:54:00:00:00:01\nnewMAC: 52:54:00:00:00:02'
  ],
  ['vcpu-removed', { vcpuid: 3 }, ': vcpu 3'],
  [
    'channel-lifecycle',
    { channelName: 'mine', state: 2, reason: 1 },
    ": channel name: 'mine' state: 'disconnected' reason: 'domain started'"
  ]
]

t.test('what stands behind an event', async t => {
  for (const [name, data, text] of CASES) t.equal(EVENT_TEXTS[name]!(data), text, name)
  t.same(
    Object.keys(EVENT_TEXTS).filter(name => !CASES.some(([known]) => known === name)),
    [],
    'every kind is among them'
  )
})

t.test("every event id of libvirt's has its name, and the list is virsh's", async t => {
  const ids = Object.keys(enums.virDomainEventID)
  t.same([...EVENT_NAMES.keys()], ids)
  const { stdout } = spawnSync('virsh', ['event', '--list'], { encoding: 'utf8' })
  const names = stdout.trim().split('\n')
  t.same([...EVENT_NAMES.values()].slice(0, names.length), names)
  t.same([...EVENT_NAMES.values()].slice(names.length), ['vcpu-removed', 'channel-lifecycle'], 'of libvirt 12.4')
})

t.test('as many words as libvirt has values', async t => {
  const lists: [words: readonly unknown[], values: Record<string, number>][] = [
    [names.STATES, enums.virDomainState],
    [names.CONTROL_STATES, enums.virDomainControlState],
    [names.CONTROL_ERRORS, enums.virDomainControlErrorReason],
    [names.VCPU_STATES, enums.virVcpuState],
    [names.LIFECYCLE_EVENTS, enums.virDomainEventType],
    [names.WATCHDOG_ACTIONS, enums.virDomainEventWatchdogAction],
    [names.IO_ERROR_ACTIONS, enums.virDomainEventIOErrorAction],
    [names.METADATA_TYPES, enums.virDomainMetadataType],
    [names.GRAPHICS_PHASES, enums.virDomainEventGraphicsPhase],
    [names.GRAPHICS_FAMILIES, enums.virDomainEventGraphicsAddressType],
    [names.TRAY_CHANGES, enums.virDomainEventTrayChangeReason],
    [names.AGENT_STATES, enums.virConnectDomainEventAgentLifecycleState],
    [names.AGENT_REASONS, enums.virConnectDomainEventAgentLifecycleReason],
    [names.MEMORY_FAILURE_RECIPIENTS, enums.virDomainMemoryFailureRecipientType],
    [names.MEMORY_FAILURE_ACTIONS, enums.virDomainMemoryFailureActionType]
  ]
  const details = [
    enums.virDomainEventDefinedDetailType,
    enums.virDomainEventUndefinedDetailType,
    enums.virDomainEventStartedDetailType,
    enums.virDomainEventSuspendedDetailType,
    enums.virDomainEventResumedDetailType,
    enums.virDomainEventStoppedDetailType,
    enums.virDomainEventShutdownDetailType,
    enums.virDomainEventPMSuspendedDetailType,
    enums.virDomainEventCrashedDetailType
  ]
  details.forEach((values, event) => {
    lists.push([names.LIFECYCLE_EVENTS[event]![1], values])
  })
  for (const [words, values] of lists) {
    t.equal(words.length, Math.max(...Object.values(values)) + 1, Object.keys(values)[0]!)
  }
})

t.test('every reason of every state has words of its own', async t => {
  const reasons = [
    enums.virDomainNostateReason,
    enums.virDomainRunningReason,
    enums.virDomainBlockedReason,
    enums.virDomainPausedReason,
    enums.virDomainShutdownReason,
    enums.virDomainShutoffReason,
    enums.virDomainCrashedReason,
    enums.virDomainPMSuspendedReason
  ]
  reasons.forEach((values, state) => {
    const words = Object.values(values).map(reason => names.stateReason(state, reason))
    t.equal(new Set(words).size, words.length, words.join())
    t.equal(names.stateReason(state, words.length), 'unknown')
  })
  t.equal(names.stateReason(99, 0), 'unknown')
  t.equal(names.stateName(99), 'no state')
})
