import { existsSync, readdirSync } from 'node:fs'
import t from 'tap'
import { bareGuest, Shim } from '../helper/shim.ts'

const RUNNING = 1
const PAUSED = 3

t.test('starts a guest, serves it, destroys it, leaves nothing', async t => {
  const shim = new Shim(bareGuest('t-life'))
  t.teardown(() => shim.end())
  const exited = shim.start()
  await shim.untilState(RUNNING)
  const info = await shim.call('virDomainGetInfo')
  t.match(info, { status: 200, body: { state: RUNNING, maxMem: 65536, memory: 65536, nrVirtCpu: 1 } })
  t.same((await shim.call('virDomainSuspend', {})).body, {})
  t.equal((await shim.call('domains/t-life/virDomainGetState')).body.state, PAUSED)
  t.same((await shim.call('virDomainResume', {})).body, {})
  t.match(await shim.call('virDomainResume', {}), { status: 409, body: { code: 55, message: /already running/ } })
  t.match(await shim.call('virDomainSuspend', {}, 'api-ro.sock'), { status: 403, body: { code: 29 } })
  t.match((await shim.call('virDomainGetXMLDesc')).body.xml, /<alias name='serial0'\/>/)
  t.same((await shim.call('virDomainDestroy', {})).body, {})
  t.equal(await exited, 0)
  t.same(readdirSync(shim.root), ['log'])
})

t.test('a killed shim is followed by another that takes the guest over', async t => {
  const shim = new Shim(bareGuest('t-again'))
  t.teardown(() => shim.end())
  void shim.start()
  await shim.untilState(RUNNING)
  const { pids } = (await shim.call('report')).body
  process.kill(pids.shim, 'SIGKILL')
  const exited = shim.start()
  await shim.untilState(RUNNING)
  t.equal((await shim.call('report')).body.pids.qemu, pids.qemu)
  await shim.call('virDomainDestroy', {})
  t.equal(await exited, 0)
  t.notOk(existsSync(`/proc/${pids.qemu}/status`) && readdirSync(shim.root).includes('status.json'))
})

t.test('one root has one owner', async t => {
  const shim = new Shim(bareGuest('t-owner'))
  t.teardown(() => shim.end())
  void shim.start()
  await shim.untilState(RUNNING)
  const { child } = shim
  t.equal(await shim.start(), 1)
  t.match(shim.stderr, /in use by another virshimd/)
  shim.child = child
})

t.test('bad calls get libvirt errors', async t => {
  const shim = new Shim(bareGuest('t-bad'))
  t.teardown(() => shim.end())
  void shim.start()
  await shim.untilState(RUNNING)
  const cases: [string, object | undefined, number, number][] = [
    ['virDomainNope', undefined, 404, 39],
    ['virDomainSuspend', undefined, 405, 29],
    ['virDomainGetXMLDesc', { flags: 1 << 20 }, 400, 8],
    ['virDomainGetXMLDesc', { flags: ['VIR_NOPE'] }, 400, 8],
    ['virDomainGetXMLDesc', { flags: -1 }, 400, 8],
    ['virDomainGetXMLDesc', { nonsense: 1 }, 400, 8],
    ['virDomainSendKey', { codeset: 0, holdtime: 0, keycodes: Array(17).fill(1) }, 400, 8],
    ['virDomainSendKey', { codeset: 0, holdtime: 0, keycodes: 'x' }, 400, 8],
    ['virDomainBlockStats', { path: 'vda' }, 400, 8],
    ['virDomainGetHostname', {}, 501, 74],
    ['domains/other/virDomainGetState', undefined, 404, 42],
    ['virDomainCreate', {}, 409, 55]
  ]
  for (const [api, args, status, code] of cases) {
    const answer = await shim.call(api, args)
    t.match(answer, { status, body: { code, message: String } }, `${api} ${JSON.stringify(args)?.slice(0, 60)}`)
  }
  t.equal((await shim.call('virDomainGetState')).body.state, RUNNING)
})
