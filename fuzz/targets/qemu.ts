// What QEMU and the guest say: monitor, agent, console.
import { PassThrough } from 'node:stream'
import { VirError } from '../../src/conf/error.ts'
import { parseJson } from '../../src/conf/json.ts'
import type { Agent } from '../../src/drivers/qemu/agent/channel.ts'
import { disksIn, filesystemsIn } from '../../src/drivers/qemu/agent/filesystems.ts'
import { GUEST_INFO_TYPES, guestInfo, hostnameIn } from '../../src/drivers/qemu/agent/guest-info.ts'
import { interfacesIn } from '../../src/drivers/qemu/agent/interfaces.ts'
import { guestVcpus } from '../../src/drivers/qemu/agent/vcpus.ts'
import { queryBlockNodes } from '../../src/drivers/qemu/block/bitmaps.ts'
import { SCROLLBACK_BYTES, Scrollback } from '../../src/drivers/qemu/console/scrollback.ts'
import { loadDomain } from '../../src/drivers/qemu/definition/passes.ts'
import { QmpMonitor } from '../../src/drivers/qemu/monitor/qmp.ts'
import { testContext } from '../../test/helper/definition.ts'
import { bareGuest } from '../../test/helper/shim.ts'
import { Fault, type Target } from '../target.ts'

const GREETING = '{"QMP": {"version": {"qemu": {"micro": 0, "minor": 2, "major": 7}}, "capabilities": ["oob"]}}\r\n'
const SAID = [
  `${GREETING}{"return": {}, "id": "libvirt-1"}\r\n{"return": {"status": "running"}, "id": "libvirt-2"}\r\n`,
  `${GREETING}{"return": {}, "id": "libvirt-1"}\r\n{"error": {"class": "GenericError", "desc": "no"}, "id": "libvirt-2"}\r\n`,
  `${GREETING}{"return": {}, "id": "libvirt-1"}\r\n{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "STOP"}\r\n` +
    '{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "RTC_CHANGE", "data": {"offset": 78}}\r\n'
]

/** Says lines to a monitor, one more for each command, and hangs up: every call must have ended then. */
async function converse(bytes: Buffer): Promise<string> {
  const lines = bytes.toString('latin1').split(/(?<=\n)/)
  const fromQemu = new PassThrough()
  const toQemu = new PassThrough()
  const say = () => {
    const line = lines.shift()
    if (line === undefined || fromQemu.writableEnded) return void fromQemu.end()
    fromQemu.write(Buffer.from(line, 'latin1'))
  }
  const monitor = new QmpMonitor(fromQemu, toQemu)
  const events: string[] = []
  monitor.on('event', ({ event, timestampUs }) => events.push(`${event} ${Number.isFinite(timestampUs)}`))
  const closed = new Promise<void>(resolve => monitor.on('close', () => resolve()))
  const ended = (call: Promise<unknown>) =>
    call.then(
      () => 'answered',
      error => {
        if (!(error instanceof VirError)) throw error
        return error.message
      }
    )
  const calls = ended(monitor.handshake()).then(async first => [
    first,
    await ended(monitor.execute('query-status')),
    await ended(monitor.execute('stop'))
  ])
  toQemu.on('data', say)
  say()
  // what is left is said without being asked for
  const rest = setInterval(say, 0)
  await closed
  clearInterval(rest)
  return [...(await calls), ...events].join()
}

const NODES = JSON.stringify([
  {
    'node-name': 'libvirt-1-format',
    ro: false,
    drv: 'qcow2',
    file: '/tmp/a',
    'dirty-bitmaps': [{ name: 'b', busy: false, recording: true, persistent: true, granularity: 65536, count: 0 }],
    image: {
      filename: '/tmp/a',
      format: 'qcow2',
      'virtual-size': 1048576,
      'actual-size': 4096,
      snapshots: [{ name: 's', id: '1', 'vm-state-size': 0, 'date-sec': 1, 'date-nsec': 2 }]
    }
  },
  {
    'node-name': 'libvirt-1-storage',
    ro: true,
    drv: 'file',
    file: '/tmp/a',
    image: { filename: '/tmp/a', format: 'file' }
  }
])

const AGENT = [
  '[{"name":"vda1","mountpoint":"/","type":"ext4","used-bytes":1,"total-bytes":2,"disk":[{"bus-type":"virtio","bus":0,"unit":0,' +
    '"target":0,"serial":"x","dev":"/dev/vda","pci-controller":{"bus":0,"slot":5,"domain":0,"function":0}}]}]',
  '[{"name":"/dev/vda","partition":false,"dependencies":["x"],"alias":"a","address":{"bus-type":"sata","bus":0,"unit":0,"target":0,' +
    '"pci-controller":{"bus":0,"slot":5,"domain":0,"function":0}}}]',
  '[{"name":"eth0","hardware-address":"52:54:00:00:00:01","ip-addresses":[{"ip-address-type":"ipv4","ip-address":"10.0.2.15","prefix":24},' +
    '{"ip-address-type":"ipv6","ip-address":"fe80::1","prefix":64}],"statistics":{"tx-packets":1}}]',
  '{"host-name":"guest"}',
  '[{"logical-id":0,"online":true,"can-offline":false},{"logical-id":1,"online":true,"can-offline":true}]',
  '[{"user":"root","login-time":1712000000.25,"domain":"d"}]',
  '{"id":"debian","kernel-release":"6.1","pretty-name":"x","version-id":"12","machine":"x86_64"}',
  '{"zone":"UTC","offset":0}',
  '{"load1m":0.5,"load5m":1,"load15m":2}'
]

const def = (await loadDomain(bareGuest('t-fuzz'), async () => testContext())).def

/** An agent that gives one answer to everything. */
const answering = (value: unknown) =>
  ({ execute: async () => value, executeIfKnown: async () => value, raw: async () => value }) as unknown as Agent

const READERS: ((value: unknown) => unknown)[] = [
  filesystemsIn,
  disksIn,
  interfacesIn,
  hostnameIn,
  value => guestVcpus(answering(value)),
  value => guestInfo(answering(value), GUEST_INFO_TYPES, () => def),
  // each kind of information by itself: all of them end with the first that is wrong
  ...[...Array(12).keys()].map(bit => (value: unknown) => guestInfo(answering(value), 1 << bit, () => def))
]

export const QEMU_TARGETS: Target[] = [
  {
    name: 'qemu/monitor',
    kind: 'text',
    corpus: () => SAID,
    words: [
      '\r\n',
      '"return"',
      '"error"',
      '"event"',
      '"id"',
      '"libvirt-2"',
      '"libvirt-1"',
      '{',
      '}',
      '[',
      ']',
      '"data"'
    ],
    run: input => converse(input)
  },
  {
    name: 'qemu/block-nodes',
    kind: 'text',
    corpus: () => [NODES],
    words: ['"node-name"', '"dirty-bitmaps"', '"image"', '"snapshots"', '"backing-image"'],
    refusals: [SyntaxError],
    run: async input => {
      const answer = parseJson(input.toString('utf8'))
      return (await queryBlockNodes({ execute: async <T>() => answer as T })).size
    }
  },
  {
    name: 'qemu/agent',
    kind: 'text',
    corpus: () => AGENT,
    words: ['"name"', '"disk"', '"ip-addresses"', '"logical-id"', '"pci-controller"', '"user"', '1e400'],
    refusals: [SyntaxError],
    async run(input) {
      const answer = parseJson(input.toString('utf8'))
      const ways: string[] = []
      for (const reader of READERS) {
        try {
          await reader(answer)
          ways.push('y')
        } catch (error) {
          if (!(error instanceof VirError)) throw error
          ways.push('n')
        }
      }
      return ways.join('')
    }
  },
  {
    name: 'console/scrollback',
    kind: 'bytes',
    corpus: () => [Buffer.alloc(3, 1), Buffer.from('boot\r\n'), Buffer.alloc(70_000, 7)],
    run(input) {
      const scrollback = new Scrollback()
      const all: Buffer[] = []
      for (let at = 0, i = 0; at < input.length; i++) {
        const step = 1 + (input[i % input.length]! << (i % 8))
        const piece = input.subarray(at, at + step)
        scrollback.add(piece)
        all.push(piece)
        at += step
      }
      if (!scrollback.bytes.equals(Buffer.concat(all).subarray(-SCROLLBACK_BYTES)))
        throw new Fault('not what came last')
    }
  }
]
