// The real libvirt-python on a guest of libvirtd and on an equal one of a shim: the same values, types and errors.
import { spawnSync } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { Daemons } from '../../helper/libvirtd.ts'
import {
  type Call,
  codeOf,
  compareCalls,
  conn,
  dom,
  elementsOf,
  python,
  qemu,
  typesOf
} from '../../helper/python-calls.ts'
import { makeDisks } from '../../helper/serial-guest.ts'
import { Shim } from '../../helper/shim.ts'

t.setTimeout(240_000)

const RUNNING = 1
const SHUTOFF = 5
const VIR_CONNECT_CLOSE_REASON_EOF = 1
const NAME = 't-python'
const UUID = '2f0f7b5c-51a4-4a4f-b6f7-0a2f55d6a9c3'
const MAC = '52:54:00:7a:22:01'
const APP = 'http://example.org/app'

const dir = mkdtempSync(join(tmpdir(), 'virshim-python-'))
// libvirtd's QEMU is another user
chmodSync(dir, 0o755)
const disks = makeDisks(dir)
const LIBVIRTD_XML = guestXml(disks.boot, disks.sound)
const shimDir = mkdtempSync(join(tmpdir(), 'virshim-python-'))
const shimDisks = makeDisks(shimDir)
for (const disk of [disks.boot, disks.sound]) chmodSync(disk, 0o666)

function guestXml(boot: string, second: string): string {
  return `<domain type='qemu'><name>${NAME}</name><uuid>${UUID}</uuid><title>A title</title>
  <metadata><app:note xmlns:app='${APP}'>kept</app:note></metadata>
  <memory unit='MiB'>64</memory><vcpu current='1'>2</vcpu><iothreads>2</iothreads>
  <os><type arch='x86_64' machine='pc'>hvm</type></os><features><acpi/></features>
  <devices>
    <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='${boot}'/>
      <target dev='hda' bus='ide'/></disk>
    <disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='${second}'/>
      <target dev='hdb' bus='ide'/></disk>
    <disk type='file' device='cdrom'><target dev='hdc' bus='ide'/></disk>
    <interface type='user'><mac address='${MAC}'/><model type='virtio'/></interface>
    <serial type='pty'/>
    <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
    <channel type='unix'><target type='virtio' name='org.example.0'/></channel>
    <video><model type='vga'/></video>
  </devices></domain>`
}

const STATS = {
  state: 1,
  cpu: 2,
  balloon: 4,
  vcpu: 8,
  interface: 16,
  block: 32,
  perf: 64,
  iothread: 128,
  memory: 256,
  dirtyrate: 512,
  vm: 1024
}

/** Lists and look-ups of what a guest without moments, saved images and jobs has none of, running or not. */
const nothingYet: Call[] = [
  dom('snapshotNum'),
  dom('snapshotNum', 0x7ff),
  dom('snapshotNum', 0x800),
  dom('snapshotListNames'),
  dom('snapshotListNames', 0x800),
  dom('listAllSnapshots'),
  dom('listAllSnapshots', 'VIR_DOMAIN_SNAPSHOT_LIST_EXTERNAL'),
  dom('listAllSnapshots', 0x800),
  dom('snapshotLookupByName', 'none'),
  dom('snapshotLookupByName', ''),
  dom('snapshotLookupByName', 'none', 1),
  dom('hasCurrentSnapshot'),
  dom('hasCurrentSnapshot', 1),
  dom('snapshotCurrent'),
  dom('snapshotCurrent', 1),
  dom('listAllCheckpoints'),
  dom('listAllCheckpoints', 15),
  dom('listAllCheckpoints', 16),
  dom('checkpointLookupByName', 'none'),
  dom('checkpointLookupByName', 'none', 1),
  dom('backupGetXMLDesc'),
  dom('backupGetXMLDesc', 1),
  dom('hasManagedSaveImage', 1),
  codeOf(dom('managedSaveRemove')),
  dom('managedSaveGetXMLDesc'),
  dom('managedSaveGetXMLDesc', 2),
  dom('ioThreadInfo'),
  dom('ioThreadInfo', 'VIR_DOMAIN_AFFECT_LIVE'),
  dom('ioThreadInfo', 3),
  dom('ioThreadInfo', 4),
  dom('interfaceAddresses', 'VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_LEASE')
]

/** vCPUs, IOThreads and memory: what is changed is changed back. */
const resizing: Call[] = [
  dom('setVcpus', 1),
  dom('setVcpus', 9),
  dom('setVcpus', 0),
  dom('setVcpusFlags', 1, 'VIR_DOMAIN_VCPU_MAXIMUM'),
  dom('setVcpusFlags', 1, 'VIR_DOMAIN_VCPU_GUEST'),
  dom('setVcpusFlags', 1, 'VIR_DOMAIN_AFFECT_CONFIG'),
  dom('setVcpusFlags', 1, 10),
  dom('setVcpusFlags', 1, 1024),
  dom('setVcpu', '0', 0),
  dom('setVcpu', '0', 0, 'VIR_DOMAIN_AFFECT_CONFIG'),
  dom('setVcpu', '0', 2),
  dom('setVcpu', 'x', 1),
  dom('setVcpu', '7', 1),
  dom('setVcpu', '0', 1, 1024),
  dom('addIOThread', 3),
  dom('addIOThread', 3),
  dom('addIOThread', 0),
  dom('addIOThread', 4, 4),
  dom('setIOThreadParams', 3, { poll_max_ns: 5, poll_grow: 2, poll_shrink: 3 }),
  dom('setIOThreadParams', 3, { thread_pool_min: 9 }),
  dom('setIOThreadParams', 0, { poll_grow: 1 }),
  dom('setIOThreadParams', 3, { nosuch: 1 }),
  dom('delIOThread', 3),
  dom('delIOThread', 3),
  dom('delIOThread', 0),
  dom('setMemory', 1 << 30),
  dom('setMemory', 0),
  dom('setMemoryFlags', 1 << 15, 'VIR_DOMAIN_AFFECT_LIVE'),
  dom('setMemoryFlags', 1 << 15, 8),
  dom('setMaxMemory', 0),
  dom('setMemoryStatsPeriod', 5),
  dom('setMemoryStatsPeriod', -1),
  dom('setMemoryStatsPeriod', 5, 4),
  typesOf(dom('memoryPeek', 0, 16, 'VIR_MEMORY_PHYSICAL')),
  dom('memoryPeek', 0, 16, 0),
  dom('memoryPeek', 0, 16, 3),
  dom('memoryPeek', 0, 0, 'VIR_MEMORY_VIRTUAL'),
  dom('startDirtyRateCalc', 1, 0),
  dom('startDirtyRateCalc', 0, 0),
  dom('startDirtyRateCalc', 61, 0),
  dom('startDirtyRateCalc', 1, 3),
  dom('startDirtyRateCalc', 1, 2),
  dom('startDirtyRateCalc', 1, 4)
]

/** What a guest is asked by its agent, which is not there or does not listen. */
const inside: Call[] = [
  dom('fsFreeze'),
  dom('fsFreeze', ['/']),
  dom('fsFreeze', null, 1),
  dom('fsThaw'),
  dom('fsThaw', ['/']),
  dom('fSTrim', null, 0),
  dom('fSTrim', '/', 0),
  dom('fsInfo'),
  dom('fsInfo', 1),
  dom('guestInfo'),
  dom('guestInfo', 0xff),
  dom('guestInfo', 0x100),
  dom('guestInfo', 0, 1),
  dom('guestVcpus'),
  dom('guestVcpus', 1),
  dom('setGuestVcpus', '0', 1),
  dom('setGuestVcpus', '0', 2),
  dom('setGuestVcpus', 'x', 1),
  dom('setUserPassword', 'root', 'x'),
  dom('setUserPassword', 'root', 'x', 2),
  dom('authorizedSSHKeysGet', 'root'),
  dom('authorizedSSHKeysSet', 'root', ['k']),
  dom('authorizedSSHKeysSet', 'root', ['k'], 3),
  dom('authorizedSSHKeysSet', 'root', [], 1),
  dom('authorizedSSHKeysSet', 'root', ['k'], 4),
  dom('agentSetResponseTimeout', 5),
  dom('agentSetResponseTimeout', -3),
  dom('agentSetResponseTimeout', -2, 1),
  dom('pMSuspendForDuration', 0, 0)
]

const calls: Call[] = [
  // identity and lookups
  dom('name'),
  dom('UUIDString'),
  dom('UUID'),
  typesOf(dom('ID')),
  dom('OSType'),
  dom('connect'),
  dom('isActive'),
  dom('isPersistent'),
  dom('isUpdated'),
  dom('autostart'),
  dom('setAutostart', 1),
  dom('hasManagedSaveImage'),
  conn('lookupByName', NAME),
  conn('lookupByUUIDString', UUID),
  conn('lookupByUUIDString', 'nonsense'),
  conn('lookupByUUID', 'nonsense'),
  conn('lookupByName', 't-python-nobody'),
  conn('lookupByName', ''),
  conn('lookupByID', 99_999_999),
  conn('lookupByID', -1),
  conn('lookupByUUIDString', '00000000-1111-2222-3333-444444444444'),
  // state
  dom('state'),
  dom('state', 1),
  typesOf(dom('info')),
  dom('maxMemory'),
  dom('maxVcpus'),
  dom('vcpusFlags'),
  dom('vcpusFlags', 'VIR_DOMAIN_VCPU_MAXIMUM'),
  dom('vcpusFlags', 'VIR_DOMAIN_AFFECT_CONFIG'),
  dom('vcpusFlags', 1024),
  dom('vcpusFlags', 'VIR_DOMAIN_VCPU_HOTPLUGGABLE'),
  dom('vcpusFlags', 'VIR_DOMAIN_VCPU_GUEST'),
  dom('controlInfo'),
  dom('controlInfo', 1),
  typesOf(dom('getCPUStats', true)),
  typesOf(dom('memoryStats')),
  dom('jobInfo'),
  dom('jobStats'),
  dom('jobStats', 4),
  dom('abortJob'),
  dom('messages'),
  dom('messages', 4),
  dom('diskErrors'),
  typesOf(dom('XMLDesc')),
  dom('XMLDesc', 4096),
  elementsOf(dom('XMLDesc', 'VIR_DOMAIN_XML_INACTIVE')),
  elementsOf(dom('XMLDesc', 0)),
  elementsOf(dom('XMLDesc', 'VIR_DOMAIN_XML_MIGRATABLE')),
  dom('metadata', 'VIR_DOMAIN_METADATA_TITLE', null),
  dom('metadata', 'VIR_DOMAIN_METADATA_DESCRIPTION', null),
  dom('metadata', 'VIR_DOMAIN_METADATA_ELEMENT', APP),
  dom('metadata', 'VIR_DOMAIN_METADATA_ELEMENT', 'http://example.org/none'),
  dom('metadata', 77, null),
  dom('metadata', -1, null),
  dom('metadata', 'VIR_DOMAIN_METADATA_TITLE', null, 16),
  dom('setMetadata', 77, 'x', 'k', 'u', 16),
  dom('setMetadata', 'VIR_DOMAIN_METADATA_ELEMENT', '<one/>', '', 'http://example.org/two'),
  dom('setMetadata', 'VIR_DOMAIN_METADATA_TITLE', 'Two\nlines', null, null),
  dom('setMetadata', 'VIR_DOMAIN_METADATA_DESCRIPTION', 'Words', null, null),
  dom('metadata', 'VIR_DOMAIN_METADATA_DESCRIPTION', null),
  codeOf(dom('setMetadata', 'VIR_DOMAIN_METADATA_ELEMENT', '<broken', 'k', 'http://example.org/two')),
  dom('setMetadata', 'VIR_DOMAIN_METADATA_ELEMENT', '<one/>', 'k', 'http://example.org/two'),
  dom('metadata', 'VIR_DOMAIN_METADATA_ELEMENT', 'http://example.org/two'),
  dom('setMetadata', 'VIR_DOMAIN_METADATA_ELEMENT', null, null, 'http://example.org/two'),
  dom('metadata', 'VIR_DOMAIN_METADATA_ELEMENT', 'http://example.org/two'),
  // devices
  dom('blockInfo', 'hdx'),
  dom('blockInfo', 'hdc'),
  typesOf(dom('blockInfo', 'hda')),
  typesOf(dom('blockStats', 'hda')),
  dom('blockStats', 'hdx'),
  typesOf(dom('blockStatsFlags', 'hda')),
  dom('interfaceStats', 'vnet-none'),
  dom('openConsole', 'nosuch', 'STREAM'),
  dom('screenshot', 'STREAM', 9),
  dom('sendKey', 0, 0, [30], 1),
  dom('sendKey', 0, 0, [30], 1, 5),
  dom('sendKey', 99, 0, [30], 1),
  dom('injectNMI'),
  dom('injectNMI', 1),
  typesOf(dom('securityLabelList')),
  // what there is none of
  ...nothingYet,
  ...inside,
  dom('managedSaveRemove', 1),
  dom('blockJobInfo', 'hda'),
  dom('blockJobInfo', 'hda', 1),
  dom('blockJobInfo', 'hda', 2),
  dom('blockJobInfo', 'hdx'),
  dom('blockJobAbort', 'hda'),
  dom('blockJobAbort', 'hda', 2),
  dom('blockJobAbort', 'hda', 4),
  dom('blockJobAbort', 'hdx'),
  dom('blockJobSetSpeed', 'hda', 1),
  dom('blockJobSetSpeed', 'hda', 2 ** 44),
  dom('blockJobSetSpeed', 'hda', 2 ** 44, 1),
  dom('blockJobSetSpeed', 'hdx', 1),
  dom('interfaceAddresses', 'VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_LEASE', 1),
  dom('interfaceAddresses', 'VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_AGENT'),
  dom('interfaceAddresses', 3),
  dom('hostname', 'VIR_DOMAIN_GET_HOSTNAME_LEASE'),
  // the guest's agent does not answer
  dom('getTime'),
  dom('setTime', { seconds: 1, nseconds: 0 }),
  dom('hostname'),
  dom('hostname', 'VIR_DOMAIN_GET_HOSTNAME_AGENT'),
  dom('hostname', 3),
  dom('shutdownFlags', 'VIR_DOMAIN_SHUTDOWN_GUEST_AGENT'),
  dom('shutdownFlags', 1024),
  dom('reboot', 'VIR_DOMAIN_REBOOT_GUEST_AGENT'),
  dom('reboot', 1024),
  ...inside,
  dom('pMWakeup'),
  dom('pMSuspendForDuration', 3, 0),
  dom('pMSuspendForDuration', 0, 1),
  dom('setLifecycleAction', 0, 1, 1),
  dom('setLifecycleAction', 1, 0, 1),
  dom('setLifecycleAction', 0, 0, 1),
  dom('setLifecycleAction', 1, 4, 1),
  dom('setLifecycleAction', 3, 0),
  dom('setLifecycleAction', 0, 6),
  dom('setLifecycleAction', 0, 0, 4),
  dom('launchSecurityInfo'),
  dom('setLaunchSecurityState', { 'sev-secret': 'x' }),
  dom('setLaunchSecurityState', { nosuch: 'x' }),
  dom('sendProcessSignal', 1, 15),
  // life cycle
  dom('resume'),
  dom('suspend'),
  dom('suspend'),
  dom('state'),
  // a guest that stands still hears nobody
  dom('shutdownFlags', 'VIR_DOMAIN_SHUTDOWN_GUEST_AGENT'),
  dom('shutdownFlags', 'VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN'),
  dom('reboot', 'VIR_DOMAIN_REBOOT_GUEST_AGENT'),
  dom('vcpusFlags', 'VIR_DOMAIN_VCPU_GUEST'),
  dom('getTime'),
  qemu('qemuAgentCommand', '{"execute":"guest-ping"}', -3, 0),
  dom('resume'),
  dom('state'),
  dom('reset'),
  dom('reset', 1),
  dom('create'),
  dom('createWithFlags', 1024),
  dom('undefine'),
  dom('destroyFlags', 1024),
  // the connection
  conn('getType'),
  conn('getVersion'),
  conn('getLibVersion'),
  conn('getHostname'),
  conn('getMaxVcpus', null),
  conn('getMaxVcpus', 'kvm'),
  conn('getMaxVcpus', 'nosuch'),
  conn('isAlive'),
  conn('isEncrypted'),
  conn('isSecure'),
  conn('getInfo'),
  typesOf(conn('getFreeMemory')),
  typesOf(conn('getCellsFreeMemory', 0, 1)),
  typesOf(conn('getCPUStats', -1)),
  conn('getCPUStats', 9999),
  conn('getCPUStats', -1, 4),
  typesOf(conn('getMemoryStats', -1)),
  conn('getMemoryStats', 99),
  conn('getCPUMap'),
  conn('getCPUMap', 1),
  conn('getMemoryStats', -1, 1),
  conn('getMemoryParameters', 2),
  conn('getSEVInfo', 1),
  conn('getFreePages', [3], 0, 1),
  conn('baselineCPU', [], 0),
  conn('baselineHypervisorCPU', null, null, null, null, [], 0),
  typesOf(conn('getMemoryParameters')),
  typesOf(conn('getFreePages', [4], 0, 1)),
  typesOf(conn('getCPUModelNames', 'x86_64')),
  conn('getCPUModelNames', 'nosuch'),
  typesOf(conn('numOfDomains')),
  typesOf(conn('getAllDomainStats', STATS.state, 128)),
  conn('getAllDomainStats', 1 << 20, 'VIR_CONNECT_GET_ALL_DOMAINS_STATS_ENFORCE_STATS'),
  conn('domainListGetStats', ['DOM'], STATS.state),
  typesOf(conn('domainListGetStats', ['DOM'], STATS.balloon)),
  typesOf(conn('domainListGetStats', ['DOM'], STATS.vcpu)),
  typesOf(conn('domainListGetStats', ['DOM'], STATS.block)),
  typesOf(conn('domainListGetStats', ['DOM'], STATS.cpu)),
  conn('domainListGetStats', ['DOM'], STATS.iothread),
  conn('domainListGetStats', ['DOM'], STATS.perf),
  conn('domainListGetStats', ['DOM'], STATS.memory),
  conn('domainListGetStats', ['DOM'], STATS.dirtyrate),
  conn('domainListGetStats', ['DOM'], STATS.vm),
  typesOf(conn('domainListGetStats', ['DOM'])),
  conn('domainListGetStats', ['DOM'], 1 << 20, 'VIR_CONNECT_GET_ALL_DOMAINS_STATS_ENFORCE_STATS'),
  conn('domainEventDeregisterAny', 77),
  conn('setKeepAlive', 5, 3),
  conn('nosuch'),
  // each release of libxml2 has words of its own for no document
  codeOf(conn('createXML', '', 0)),
  codeOf(conn('createXML', '<broken', 0)),
  // past the daemon; it remembers
  qemu('qemuMonitorCommand', '{"execute":"query-name"}', 8),
  qemu('qemuMonitorCommand', '{"execute":"query-name","id":"mine"}', 0),
  codeOf(qemu('qemuMonitorCommand', '{', 0)),
  qemu('qemuAgentCommand', '{"execute":"guest-ping"}', -1, 0),
  dom('messages'),
  dom('messages', 'VIR_DOMAIN_MESSAGE_TAINTING'),
  dom('messages', 'VIR_DOMAIN_MESSAGE_DEPRECATION')
]

/** Calls on a guest that is defined and does not run. */
const inactiveCalls: Call[] = [
  dom('isActive'),
  dom('isPersistent'),
  dom('ID'),
  dom('state'),
  dom('info'),
  dom('maxVcpus'),
  dom('maxMemory'),
  dom('vcpusFlags'),
  dom('vcpusFlags', 'VIR_DOMAIN_AFFECT_LIVE'),
  dom('vcpusFlags', 'VIR_DOMAIN_VCPU_GUEST'),
  dom('vcpus'),
  dom('controlInfo'),
  dom('getCPUStats', true),
  dom('memoryStats'),
  dom('messages'),
  dom('jobInfo'),
  dom('jobStats'),
  dom('jobStats', 'VIR_DOMAIN_JOB_STATS_COMPLETED'),
  dom('abortJob'),
  dom('diskErrors'),
  dom('suspend'),
  dom('resume'),
  dom('shutdown'),
  dom('shutdownFlags', 'VIR_DOMAIN_SHUTDOWN_GUEST_AGENT'),
  dom('shutdownFlags', 3),
  dom('reboot'),
  dom('reboot', 'VIR_DOMAIN_REBOOT_GUEST_AGENT'),
  dom('reset'),
  dom('injectNMI'),
  dom('destroy'),
  dom('destroyFlags', 3),
  dom('destroyFlags', 4),
  typesOf(dom('blockInfo', 'hda')),
  dom('blockStats', 'hda'),
  dom('interfaceStats', 'vnet0'),
  dom('openConsole', null, 'STREAM'),
  dom('screenshot', 'STREAM', 0),
  dom('sendKey', 0, 0, [30], 1),
  dom('getTime'),
  dom('hostname'),
  ...nothingYet,
  ...inside,
  dom('ioThreadInfo', 'VIR_DOMAIN_AFFECT_CONFIG'),
  dom('blockJobInfo', 'hda'),
  dom('blockJobAbort', 'hda'),
  dom('blockJobSetSpeed', 'hda', 2 ** 44),
  dom('hostname', 'VIR_DOMAIN_GET_HOSTNAME_LEASE'),
  dom('autostart'),
  dom('setAutostart', 1),
  dom('autostart'),
  dom('setAutostart', 0),
  dom('setMetadata', 'VIR_DOMAIN_METADATA_TITLE', 'Off', null, null, 'VIR_DOMAIN_AFFECT_LIVE'),
  dom('setMetadata', 'VIR_DOMAIN_METADATA_TITLE', 'Off', null, null, 'VIR_DOMAIN_AFFECT_CONFIG'),
  dom('metadata', 'VIR_DOMAIN_METADATA_TITLE', null),
  dom('metadata', 'VIR_DOMAIN_METADATA_TITLE', null, 'VIR_DOMAIN_AFFECT_LIVE'),
  elementsOf(dom('XMLDesc', 'VIR_DOMAIN_XML_MIGRATABLE')),
  qemu('qemuMonitorCommand', '{"execute":"query-name"}', 0),
  qemu('qemuAgentCommand', '{"execute":"guest-ping"}', -1, 0),
  conn('domainListGetStats', ['DOM'], STATS.state),
  conn('domainListGetStats', ['DOM'], STATS.balloon),
  conn('domainListGetStats', ['DOM'], STATS.vcpu),
  conn('domainListGetStats', ['DOM'], STATS.iothread),
  conn('domainListGetStats', ['DOM'], STATS.dirtyrate),
  typesOf(conn('domainListGetStats', ['DOM'], STATS.block))
]

/** Calls that a read-only connection refuses, and some that it does not. */
const readOnlyCalls: Call[] = [
  ...resizing,
  dom('state'),
  dom('name'),
  typesOf(dom('info')),
  dom('suspend'),
  dom('destroy'),
  dom('reset'),
  dom('XMLDesc', 'VIR_DOMAIN_XML_SECURE'),
  dom('setMetadata', 'VIR_DOMAIN_METADATA_TITLE', 'x', null, null),
  dom('openConsole', null, 'STREAM'),
  dom('sendKey', 0, 0, [30], 1),
  dom('hostname'),
  dom('getTime'),
  ...nothingYet,
  ...inside,
  dom('blockJobInfo', 'hda'),
  dom('blockJobAbort', 'hda'),
  dom('blockJobSetSpeed', 'hda', 1),
  dom('interfaceAddresses', 'VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_AGENT'),
  conn('defineXML', '<domain/>'),
  conn('createXML', '<domain/>'),
  conn('getHostname')
]

const daemons = new Daemons(dir)
t.teardown(() => {
  spawnSync('virsh', ['-q', '-c', 'qemu:///system', 'destroy', NAME])
  daemons.end()
  for (const scratch of [dir, shimDir]) rmSync(scratch, { recursive: true, force: true })
})
await daemons.ensure(2000)
writeFileSync(join(dir, 'guest.xml'), LIBVIRTD_XML)
const made = spawnSync('virsh', ['-c', 'qemu:///system', 'create', join(dir, 'guest.xml')], { encoding: 'utf8' })
if (made.status !== 0) throw new Error(`virsh create: ${made.stderr}`)
const shim = new Shim(guestXml(shimDisks.boot, shimDisks.sound))
t.teardown(() => shim.end())
void shim.start()
await shim.untilState(RUNNING)
const shimUri = `qemu+unix:///system?socket=${join(shim.root, 'libvirt-sock')}`
const readOnlyUri = `${shimUri}-ro`

const compare = (t: Test, name: string, asked: Call[], uri: string, ...more: string[]) =>
  compareCalls(t, asked, { uri: 'qemu:///system', name }, { uri, name }, ...more)

await t.test('calls', async t => compare(t, NAME, [...calls, ...resizing], shimUri))
await t.test('calls on a guest that is shut off', async t => {
  const name = `${NAME}-off`
  const other = '2f0f7b5c-51a4-4a4f-b6f7-0a2f55d6a9c4'
  const off = (xml: string) => xml.replaceAll(NAME, name).replace(UUID, other)
  const file = join(dir, 'off.xml')
  writeFileSync(file, off(LIBVIRTD_XML))
  t.teardown(() => spawnSync('virsh', ['-q', '-c', 'qemu:///system', 'undefine', name]))
  t.equal(spawnSync('virsh', ['-c', 'qemu:///system', 'define', file]).status, 0)
  const defined = new Shim(off(guestXml(shimDisks.boot, shimDisks.sound)))
  t.teardown(() => defined.end())
  void defined.start('--define', '--inactive')
  await defined.untilState(SHUTOFF)
  const uri = `qemu+unix:///system?socket=${join(defined.root, 'libvirt-sock')}`
  await compare(t, name, [...inactiveCalls, ...resizing], uri)
})
await t.test('calls of a read-only connection', async t => compare(t, NAME, readOnlyCalls, readOnlyUri, 'readonly'))
/** Programs in Python on top of libvirt-python; they print XML and change nothing. */
const NEW_GUEST = '--name t-python-new --memory 64 --disk none --import --osinfo detect=off,require=off --network none'
const printers = [
  `virt-install --connect URI ${NEW_GUEST} --virt-type qemu --print-xml`,
  `virt-install --connect URI ${NEW_GUEST} --virt-type qemu --graphics vnc --machine q35 --print-xml`,
  `virt-xml --connect URI ${NAME} --edit --memory 128 --print-diff`,
  `virt-xml --connect URI ${NAME} --remove-device --disk hdc --print-diff`,
  `virt-xml --connect URI ${NAME} --add-device --rng /dev/urandom --print-diff`,
  'virt-xml --connect URI t-python-nobody --edit --memory 128 --print-diff'
]
for (const line of printers) {
  await t.test(line, async t => {
    const on = (uri: string) => {
      const [program, ...args] = line.split(' ').map(word => (word === 'URI' ? uri : word))
      const { status, stdout, stderr } = spawnSync(program!, args, { encoding: 'utf8', timeout: 60_000 })
      const out = `${stdout}${stderr}`.replaceAll(
        /<uuid>.*|<label>.*|<imagelabel>.*|\/dev\/pts\/\d+|address="52:.*/g,
        ''
      )
      return { status, out }
    }
    t.same(on(shimUri), on('qemu:///system'))
  })
}

await t.test('streams, callbacks, threads', async t => {
  const [libvirtd, ours] = await Promise.all([
    python('python-clients.py', ['qemu:///system', NAME]),
    python('python-clients.py', [shimUri, NAME, 'alone'])
  ])
  const expected = JSON.parse(libvirtd.out || `{"error": ${JSON.stringify(libvirtd.err)}}`)
  const got = JSON.parse(ours.out || `{"error": ${JSON.stringify(ours.err)}}`)
  for (const [scenario, result] of Object.entries(expected)) t.same(got[scenario], result, scenario)
  t.same(got.two_viewers, ['said', 'said'], 'two viewers of one console')
  t.same(got.closed, [[VIR_CONNECT_CLOSE_REASON_EOF], 0], 'the end of the guest ends the connection')
})
