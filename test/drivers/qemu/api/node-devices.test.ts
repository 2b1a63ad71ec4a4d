// Calls that change the host refuse what is wrong before they touch anything. Nothing of this host is changed.
import t from 'tap'
import { bareGuest, Shim } from '../../../helper/shim.ts'

const RUNNING = 1
const shim = new Shim(bareGuest('t-node'))
t.teardown(() => shim.end())
void shim.start()
await shim.untilState(RUNNING)

const ABSENT = 'pci_ffff_ff_1f_7'
const codeOf = async (api: string, args: object) => (await shim.call(api, args)).body.codeName

t.test('devices that are not there, or no PCI devices', async t => {
  for (const api of ['virNodeDeviceReAttach', 'virNodeDeviceReset']) {
    for (const name of [ABSENT, 'nosuch', '', 'pci_0000_00_00_9', 'pci_../../etc']) {
      t.equal(await codeOf(api, { name }), 'VIR_ERR_NO_NODE_DEVICE', `${api} ${name}`)
    }
    t.equal(await codeOf(api, { name: 'computer' }), 'VIR_ERR_INVALID_ARG')
  }
})

t.test('drivers there are not', async t => {
  t.equal(await codeOf('virNodeDeviceDetachFlags', { name: ABSENT, driverName: 'kvm' }), 'VIR_ERR_ARGUMENT_UNSUPPORTED')
  t.equal(await codeOf('virNodeDeviceDetachFlags', { name: ABSENT, driverName: 'nosuch' }), 'VIR_ERR_INVALID_ARG')
  const plain = await codeOf('virNodeDeviceDettach', { name: ABSENT })
  t.match(plain, /^VIR_ERR_(ARGUMENT_UNSUPPORTED|NO_NODE_DEVICE)$/, 'without or with VFIO')
})

t.test('pools of pages', async t => {
  const ask = (args: object) =>
    codeOf('virNodeAllocPages', { pageSizes: [4], pageCounts: [1], startCell: -1, cellCount: 1, ...args })
  t.equal(await ask({}), 'VIR_ERR_OPERATION_UNSUPPORTED', 'ordinary pages have no pool')
  t.equal(await ask({ pageSizes: [3] }), 'VIR_ERR_OPERATION_FAILED')
  t.equal(await ask({ startCell: 9999 }), 'VIR_ERR_INTERNAL_ERROR')
  t.equal(await ask({ startCell: -2 }), 'VIR_ERR_OPERATION_FAILED')
  t.equal(await ask({ cellCount: 0 }), 'VIR_ERR_INVALID_ARG')
  t.equal(await ask({ pageSizes: [], pageCounts: [] }), 'VIR_ERR_INVALID_ARG')
  t.equal(await ask({ pageCounts: [1, 2] }), 'VIR_ERR_INVALID_ARG')
})

t.test('settings and sleep', async t => {
  const set = (params: object) => codeOf('virNodeSetMemoryParameters', { params })
  t.equal(await set({}), 'VIR_ERR_INVALID_ARG')
  t.equal(await set({ shm_full_scans: 1 }), 'VIR_ERR_ARGUMENT_UNSUPPORTED', 'a counter cannot be set')
  t.equal(await set({ shm_pages_to_scan: -1 }), 'VIR_ERR_INVALID_ARG')
  t.equal(await codeOf('virNodeSuspendForDuration', { target: 3, duration: 60 }), 'VIR_ERR_INVALID_ARG')
})

t.test('all of them change the host: not for readers', async t => {
  for (const api of [
    'virNodeDeviceReset',
    'virNodeAllocPages',
    'virNodeSuspendForDuration',
    'virConnectDomainXMLToNative'
  ]) {
    t.equal((await shim.call(api, {}, 'api-ro.sock')).body.codeName, 'VIR_ERR_OPERATION_DENIED', api)
  }
})
