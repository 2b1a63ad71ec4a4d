// Disks, media and memory that come to a guest and go again, as the Linux in it sees them.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { BootedGuest, DIRECT_BOOT, makeGuestFiles } from '../../../helper/booted-guest.ts'

t.setTimeout(290_000)

const LIVE = 1
const FORCE = 4
/** Wide: it only keeps the test from hanging. */
const LIMIT_MS = 60_000

makeGuestFiles()
const dir = t.testdir()
const imageOf = (name: string, first: string, sectors = 2048) => {
  const file = join(dir, name)
  writeFileSync(file, first.padEnd(sectors * 512, '\0'))
  return file
}
const disk = (file: string, target: string, more = '') =>
  `<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='${file}'/><target ${target}/>${more}</disk>`
const cdrom = (file = '') =>
  `<disk type='file' device='cdrom'>${file && `<source file='${file}'/>`}<target dev='hdc' bus='ide'/><readonly/></disk>`
const dimm =
  "<memory model='dimm'><target><size unit='MiB'>128</size><node>0</node></target><alias name='ua-more'/></memory>"

const guest = await BootedGuest.boot(`<domain type='qemu'><name>t-booted-disks-${process.pid}</name>
  <maxMemory slots='2' unit='MiB'>1024</maxMemory><memory unit='MiB'>256</memory><vcpu>1</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type>${DIRECT_BOOT}</os><features><acpi/></features>
  <cpu><numa><cell id='0' cpus='0' memory='256' unit='MiB'/></numa></cpu>
  <devices><controller type='scsi' index='0' model='virtio-scsi'/>${cdrom()}<serial type='pty'/>
  <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel></devices></domain>`)
t.teardown(() => guest.end())
const { shim } = guest

const call = async (api: string, xml: string, flags = LIVE) => (await shim.call(api, { xml, flags })).body
const attach = (xml: string) => call('virDomainAttachDeviceFlags', xml)
const detach = (xml: string) => call('virDomainDetachDeviceFlags', xml)
const update = (xml: string, flags = LIVE) => call('virDomainUpdateDeviceFlags', xml, flags)
const liveXml = async (): Promise<string> => (await shim.call('virDomainGetXMLDesc?flags=0')).body.xml

/** Waits until a command in the guest prints that. */
async function untilSeen(command: string, wanted: string): Promise<string> {
  for (const deadline = Date.now() + LIMIT_MS; ; await sleep(100)) {
    const seen = await guest.run(`${command} 2> /dev/null || true`)
    if (seen === wanted || Date.now() > deadline) return seen
  }
}

async function untilGone(pattern: RegExp): Promise<boolean> {
  for (const deadline = Date.now() + LIMIT_MS; ; await sleep(100)) {
    if (!pattern.test(await liveXml())) return true
    if (Date.now() > deadline) return false
  }
}

await t.test('disks', async t => {
  for (const [target, name] of [
    ["dev='vda' bus='virtio'", 'vda'],
    ["dev='sda' bus='scsi'", 'sda']
  ] as const) {
    const xml = disk(imageOf(`${name}.img`, `I am ${name}`), target, '<serial>of-a-test</serial>')
    t.same(await attach(xml), {})
    t.equal(await untilSeen(`cat /sys/block/${name}/size`, '2048'), '2048', `${name} is in the guest's /sys`)
    t.equal(await guest.run(`head -c 8 /dev/${name}`), `I am ${name}`)
    t.match(await detach(xml), {})
    t.ok(await untilGone(new RegExp(`dev='${name}'`)), `${name} has left the definition`)
    t.equal(await untilSeen(`ls -d /sys/block/${name} 2> /dev/null || echo gone`, 'gone'), 'gone')
  }
})

await t.test('media', async t => {
  const [a, b] = [imageOf('a.iso', 'medium a'), imageOf('b.iso', 'medium b')]
  for (const [file, words] of [
    [a, 'medium a'],
    [b, 'medium b']
  ] as const) {
    t.same(await update(cdrom(file)), {})
    t.equal(await untilSeen('head -c 8 /dev/sr0', words), words)
  }
  await guest.run('(sleep 1000 < /dev/sr0) > /dev/null 2>&1 & sleep 1')
  t.match(await update(cdrom(a)), { codeName: 'VIR_ERR_OPERATION_FAILED' }, 'the guest has locked its drive')
  t.match(await liveXml(), /b\.iso/)
  t.same(await update(cdrom(a), LIVE | FORCE), {})
  t.match(await liveXml(), /a\.iso/)
  t.same(await update(cdrom(), LIVE | FORCE), {})
  t.notMatch(await liveXml(), /\.iso/)
})

await t.test('memory', async t => {
  const count = 'ls -d /sys/devices/system/memory/memory* | wc -l'
  const before = Number(await guest.run(count))
  t.same(await attach(dimm), {})
  t.equal(await untilSeen(count, String(before + 1)), String(before + 1), 'the guest has another block of it')
  t.match(await liveXml(), /<address type='dimm' slot='0' base='0x100000000'\/>/)
  t.match((await shim.call('virDomainGetInfo')).body, { maxMem: 384 * 1024 })
  await guest.run('echo offline > /sys/devices/system/memory/memory32/state 2>/dev/null || true')
  t.match(await detach(dimm), {})
  t.ok(await untilGone(/ua-more/))
  t.equal(await untilSeen(count, String(before)), String(before))
  t.match((await shim.call('virDomainGetInfo')).body, { maxMem: 256 * 1024 })
})
