// A booted guest's own view of what it is given and what is taken from it: vCPUs, memory. Its shim is killed meanwhile.
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { BootedGuest, DIRECT_BOOT, makeGuestFiles } from '../../../helper/booted-guest.ts'

t.setTimeout(290_000)

const LIMIT_MS = 60_000
const RUNNING = 1
const LIVE = ['VIR_DOMAIN_AFFECT_LIVE']

makeGuestFiles()
const name = `t-resized-${process.pid}`
const guest = await BootedGuest.boot(`<domain type='qemu'><name>${name}</name><memory unit='MiB'>256</memory>
  <vcpu current='1'>8</vcpu><iothreads>1</iothreads>
  <os><type arch='x86_64' machine='q35'>hvm</type>${DIRECT_BOOT}</os><features><acpi/></features>
  <devices><serial type='pty'/><memballoon model='virtio'/>
  <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel></devices></domain>`)
const { shim } = guest
t.teardown(() => guest.end())

/** A call that is to succeed. */
async function call(api: string, args: object = {}) {
  const { status, body } = await shim.call(api, args)
  t.equal(status, 200, `${api}: ${body.message ?? 'done'}`)
  return body
}

/** Waits until it holds. */
async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  for (const deadline = Date.now() + LIMIT_MS; Date.now() < deadline; await sleep(50)) if (await holds()) return
  t.fail(`it never was so: ${what}`)
}

const qmp = async (execute: string) =>
  JSON.parse((await call('virDomainQemuMonitorCommand', { cmd: JSON.stringify({ execute }) })).result).return
const CPUS = '/sys/devices/system/cpu'
/** CPUs that are there, in the guest. */
const present = () => guest.run(`cd ${CPUS} && ls -d cpu[0-9]* | tr '\\n' ' '`)
/** CPUs at work. */
const online = () => guest.run(`cat ${CPUS}/online`)
const xmlOf = async (): Promise<string> => (await call('virDomainGetXMLDesc')).xml

await t.test('a vCPU comes', async t => {
  await call('virDomainSetVcpus', { nvcpus: 2 })
  await until('the guest sees it', async () => (await present()) === 'cpu0 cpu1')
  await guest.run(`echo 1 >${CPUS}/cpu1/online`)
  t.equal(await online(), '0-1')
  await call('virDomainSetVcpusFlags', { nvcpus: 1, flags: ['VIR_DOMAIN_VCPU_GUEST'] })
  t.equal(await online(), '0', 'its agent has turned it off')
  t.match(await xmlOf(), /current='2'>8</, 'which is nothing to QEMU')
  await call('virDomainSetVcpusFlags', { nvcpus: 2, flags: ['VIR_DOMAIN_VCPU_GUEST'] })
  t.equal(await online(), '0-1')
})

await t.test('memory is given back', async t => {
  const total = async () => Number(/^MemTotal: +(\d+)/m.exec(await guest.run('cat /proc/meminfo'))?.[1])
  const before = await total()
  await call('virDomainSetMemory', { memory: 192 * 1024 })
  await until('the balloon is that large', async () => (await call('virDomainGetInfo')).memory === 192 * 1024)
  t.ok(before - (await total()) > 60 * 1024, 'the guest has less')
  await call('virDomainSetMemoryStatsPeriod', { period: 1, flags: LIVE })
  await until('it reports', async () =>
    (await call('virDomainMemoryStats')).stats.some(({ tag }: { tag: number }) => tag === 5)
  )
})

await t.test('its memory is read', async t => {
  const args = { start: 0xf0000, size: 0x10000, flags: ['VIR_MEMORY_PHYSICAL'] }
  const { buffer } = await call('virDomainMemoryPeek', args)
  t.match(Buffer.from(buffer, 'base64').toString('latin1'), /RSD PTR /, "the firmware's table")
  await call('virDomainStartDirtyRateCalc', { seconds: 1 })
  await until('it is measured', async () => {
    const { retStats } = await call('virDomainListGetStats', { stats: ['VIR_DOMAIN_STATS_DIRTYRATE'] })
    return retStats[0].params['dirtyrate.megabytes_per_second'] !== undefined
  })
})

await t.test('its shim is killed in the middle', async t => {
  const asked = [
    shim.call('virDomainSetVcpus', { nvcpus: 3 }),
    shim.call('virDomainAddIOThread', { iothread_id: 5, flags: LIVE }),
    shim.call('virDomainSetMemory', { memory: 224 * 1024 })
  ]
  const first = asked.map(one => one.catch(() => undefined))
  shim.child?.kill('SIGKILL')
  await Promise.all(first)
  void shim.start()
  await shim.untilState(RUNNING, LIMIT_MS)
  const cpus: unknown[] = await qmp('query-cpus-fast')
  const threads: { id: string }[] = await qmp('query-iothreads')
  const { actual } = await qmp('query-balloon')
  const xml = await xmlOf()
  t.match(xml, new RegExp(`current='${cpus.length}'>8</vcpu>`))
  t.match(xml, new RegExp(`<iothreads>${threads.length}<`))
  await until(
    'memory is what QEMU says',
    async () => (await call('virDomainGetInfo')).memory * 1024 === (await qmp('query-balloon')).actual
  )
  t.ok(actual >= 192 * 1024 * 1024)
  await call('virDomainSetVcpus', { nvcpus: 3 })
  await until('the guest has all vCPUs', async () => (await present()) === 'cpu0 cpu1 cpu2')
})

await t.test('a vCPU goes', async t => {
  // QEMU under TCG has not always a word for it
  await call('virDomainSetVcpu', { vcpumap: '2', state: 0, flags: ['VIR_DOMAIN_SETVCPU_ASYNC_UNPLUG'] })
  await until('the guest has given it up', async () => (await present()) === 'cpu0 cpu1')
  await until('the definition has not', async () => (await xmlOf()).includes("<vcpu id='2' enabled='no'"))
  t.equal((await qmp('query-cpus-fast')).length, 2)
})
