// Events a QEMU here cannot be made to send: what they change, and what is told. Those it can are in events.test.ts.
import t from 'tap'
import { loadDomain } from '../../../../src/drivers/qemu/definition/passes.ts'
import type { QemuDomain } from '../../../../src/drivers/qemu/domain/domain.ts'
import { handleQmpEvent } from '../../../../src/drivers/qemu/events/index.ts'
import { EventLog } from '../../../../src/state/events.ts'
import { testContext } from '../../../helper/definition.ts'

const XML = `<domain type='qemu'><name>t</name><maxMemory slots='2' unit='MiB'>512</maxMemory>
  <memory unit='MiB'>192</memory><currentMemory unit='MiB'>128</currentMemory><vcpu>1</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <cpu><numa><cell id='0' cpus='0' memory='128' unit='MiB'/></numa></cpu>
  <devices>
    <memory model='virtio-mem'><target><size unit='MiB'>64</size><node>0</node><block unit='MiB'>2</block>
      <requested unit='MiB'>32</requested></target></memory>
  </devices></domain>`

/** A running guest of which nothing but its definition is there. */
async function guest() {
  const { def } = await loadDomain(XML, async () => testContext())
  def.devices.memories[0]!.alias = 'virtiomem0'
  def.currentMemoryKiB = 128 * 1024
  const events = new EventLog()
  const told: [string, object][] = []
  events.listen(({ event, data }) => told.push([event.replace('VIR_DOMAIN_EVENT_ID_', ''), data]))
  const failures: unknown[] = []
  const log = { debug() {}, info() {}, warn() {}, error: (values: { err: Error }) => failures.push(values.err.message) }
  const lifecycle = (event: number, detail: number) => told.push(['LIFECYCLE', { event, detail }])
  const domain = { def, events, log, lifecycle, isActive: true, changed() {} } as unknown as QemuDomain
  const send = (event: string, data: Record<string, unknown> = {}) => {
    told.length = 0
    failures.length = 0
    handleQmpEvent(domain, { event, data, timestampUs: 1 })
    return [...told]
  }
  return { def, send, failures }
}

const SERVER = { family: 'ipv4', host: '127.0.0.1' }
const CLIENT = { family: 'ipv6', host: '::1' }

t.test('memory that fails', async t => {
  const { send } = await guest()
  const flags = { 'action-required': true, recursive: true }
  t.same(send('MEMORY_FAILURE', { recipient: 'guest', action: 'inject', flags }), [
    ['MEMORY_FAILURE', { recipient: 1, action: 1, flags: 3 }]
  ])
  t.same(send('MEMORY_FAILURE', { recipient: 'hypervisor', action: 'fatal' }), [
    ['MEMORY_FAILURE', { recipient: 0, action: 2, flags: 0 }]
  ])
})

t.test('memory plugged by the guest counts as current memory, and the balloon comes on top', async t => {
  const { def, send } = await guest()
  t.same(send('MEMORY_DEVICE_SIZE_CHANGE', { id: 'virtiomem0', size: 32 * 1024 * 1024 }), [
    ['MEMORY_DEVICE_SIZE_CHANGE', { alias: 'virtiomem0', size: 32768 }]
  ])
  t.equal(def.devices.memories[0]!.target.currentKiB, 32768)
  t.equal(def.currentMemoryKiB, 128 * 1024 + 32768)
  t.same(send('BALLOON_CHANGE', { actual: 100 * 1024 * 1024 - 1 }), [['BALLOON_CHANGE', { actual: 102400 }]])
  t.equal(def.currentMemoryKiB, 102400 + 32768)
  t.same(send('MEMORY_DEVICE_SIZE_CHANGE', { id: 'nosuch', size: 1 }), [])
})

t.test('devices a guest does not give up', async t => {
  const { send } = await guest()
  const ost = (source: number, status: number, more = {}) =>
    send('ACPI_DEVICE_OST', { info: { device: 'dimm0', slot: '0', 'slot-type': 'DIMM', source, status, ...more } })
  const refused = [['DEVICE_REMOVAL_FAILED', { devAlias: 'dimm0' }]]
  t.same(ost(3, 1), refused)
  t.same(ost(0x103, 0x83), refused)
  t.same(ost(0x103, 0x84), [], 'the guest is at it')
  t.same(ost(3, 0), [], 'it went well')
  t.same(ost(3, 1, { 'slot-type': 'CPU' }), [])
  t.same(ost(3, 1, { device: undefined }), [])
  t.same(send('DEVICE_UNPLUG_GUEST_ERROR', { device: 'net0', path: '/machine/x' }), [
    ['DEVICE_REMOVAL_FAILED', { devAlias: 'net0' }]
  ])
  t.same(send('DEVICE_UNPLUG_GUEST_ERROR', { path: '/machine/x' }), [])
  t.same(send('DEVICE_DELETED', { path: '/machine/x' }), [])
})

t.test('viewers', async t => {
  const { send } = await guest()
  const local = { family: 0, node: '127.0.0.1', service: '5900' }
  const remote = { family: 1, node: '::1', service: '4711' }
  t.same(
    send('SPICE_CONNECTED', {
      server: { ...SERVER, port: '5900', auth: 'spice' },
      client: { ...CLIENT, port: '4711' }
    }),
    [['GRAPHICS', { phase: 0, local, remote, authScheme: '', subject: [] }]]
  )
  t.same(
    send('SPICE_INITIALIZED', {
      server: { ...SERVER, port: '5900', auth: 'spice' },
      client: { ...CLIENT, port: '4711' }
    }),
    [['GRAPHICS', { phase: 1, local, remote, authScheme: 'spice', subject: [] }]]
  )
  const client = { ...CLIENT, service: '4711', x509_dname: 'CN=me', sasl_username: 'me' }
  t.same(send('VNC_INITIALIZED', { server: { ...SERVER, service: '5900', auth: 'sasl' }, client }), [
    [
      'GRAPHICS',
      {
        phase: 1,
        local,
        remote,
        authScheme: 'sasl',
        subject: [
          { type: 'x509dname', name: 'CN=me' },
          { type: 'saslUsername', name: 'me' }
        ]
      }
    ]
  ])
})

t.test('a kernel that boots another one to make a dump', async t => {
  const { send } = await guest()
  t.same(send('GUEST_CRASHLOADED', { action: 'run' }), [['LIFECYCLE', { event: 8, detail: 1 }]])
})

t.test('events that make no sense change nothing and are logged', async t => {
  const { send, failures } = await guest()
  for (const [event, data] of [
    ['MEMORY_FAILURE', { recipient: 'nobody', action: 'inject' }],
    ['MEMORY_FAILURE', { recipient: 'toString', action: 'inject' }],
    ['MEMORY_DEVICE_SIZE_CHANGE', { id: 'virtiomem0', size: 'big' }],
    ['BALLOON_CHANGE', {}],
    ['ACPI_DEVICE_OST', { info: 7 }],
    ['VNC_CONNECTED', { server: SERVER }],
    ['BLOCK_WRITE_THRESHOLD', { 'node-name': 'x' }],
    ['RTC_CHANGE', { offset: 1.5 }]
  ] as const) {
    t.same(send(event, data), [], event)
    t.equal(failures.length, 1, `${event} is logged`)
  }
  for (const event of ['NOSUCH', 'constructor', '__proto__']) {
    t.same(send(event, {}), [])
    t.same(failures, [], `${event} is nobody's`)
  }
})
