import t from 'tap'
import { type AnyDevice, eachDeviceInfo } from '../../../../../src/conf/devices/index.ts'
import { parseDomain } from '../../../../../src/conf/domain-xml.ts'
import { assignAddresses } from '../../../../../src/drivers/qemu/definition/address/index.ts'
import { addDefaultDevices } from '../../../../../src/drivers/qemu/definition/default-devices.ts'
import { errorOf, fakeQemu, testContext } from '../../../../helper/definition.ts'

/** Addresses of what is on a bus, `kind address`, on a machine of another architecture. */
function placesOf(arch: string, machine: string, devices: string): string[] {
  const def = parseDomain(
    `<domain type='qemu'><name>guest</name><memory>65536</memory><os><type arch='${arch}' machine='${machine}'>hvm</type></os><devices>${devices}</devices></domain>`
  )
  for (const one of def.devices.controllers) one.index ??= 0
  const context = testContext({
    qemu: { ...fakeQemu(), arch, has: capability => capability !== 'zpci' || arch === 's390x' }
  })
  addDefaultDevices(def, context)
  assignAddresses(def, context)
  const out: string[] = []
  for (const [kind, dev] of eachDeviceInfo(def.devices)) if (dev.address) out.push(`${kind} ${textOf(dev)}`)
  return out
}

function textOf({ address }: AnyDevice): string {
  const parts = Object.entries(address!).map(([key, value]) => {
    if (typeof value === 'object') return JSON.stringify(value)
    return typeof value === 'string' ? value : `${key}=${value.toString(16)}`
  })
  return parts.join(' ')
}

const nic = (model: string, place = '') => `<interface type='user'><model type='${model}'/>${place}</interface>`

t.test('s390: device numbers for virtio, ids for PCI devices', async t => {
  const taken = "<address type='ccw' cssid='0xfe' ssid='0' devno='1'/>"
  t.same(placesOf('s390x', 's390-ccw-virtio', nic('virtio', taken) + nic('virtio') + nic('e1000')), [
    'interfaces ccw cssid=fe ssid=0 devno=1',
    'interfaces ccw cssid=fe ssid=0 devno=0',
    'interfaces pci domain=0 bus=0 slot=1 function=0 {"uid":1,"fid":0}',
    'memballoons ccw cssid=fe ssid=0 devno=2'
  ])
  const twice = nic('virtio', taken).repeat(2)
  t.match(
    await errorOf(() => placesOf('s390x', 's390-ccw-virtio', twice)),
    "The CCW devno 'fe.0.0001' is in use already"
  )
  const zpci = (uid: number) => `<address type='pci' slot='${uid + 1}'><zpci uid='1' fid='${uid}'/></address>`
  t.match(
    await errorOf(() => placesOf('s390x', 's390-ccw-virtio', nic('e1000', zpci(1)) + nic('e1000', zpci(2)))),
    'zPCI uid 1 is already reserved'
  )
})

t.test('pSeries: registers on the virtual bus, host bridges instead of PCI bridges', async t => {
  const scsi = "<controller type='scsi' model='ibmvscsi'/>"
  t.same(
    placesOf(
      'ppc64',
      'pseries',
      scsi + nic('spapr-vlan') + nic('spapr-vlan', "<address type='spapr-vio' reg='0x1000'/>")
    ),
    [
      'interfaces spapr-vio reg=2000',
      'interfaces spapr-vio reg=1000',
      'controllers spapr-vio reg=3000',
      'controllers pci domain=0 bus=0 slot=1 function=0',
      'memballoons pci domain=0 bus=0 slot=2 function=0'
    ]
  )
  const twice = nic('spapr-vlan', "<address type='spapr-vio' reg='0x1000'/>").repeat(2)
  t.match(await errorOf(() => placesOf('ppc64', 'pseries', twice)), 'spapr-vio address 0x1000 already in use')
  const full = placesOf('ppc64', 'pseries', nic('e1000').repeat(32))
  t.ok(full.includes('interfaces pci domain=0 bus=1 slot=1 function=0'))
  t.notMatch(full.join(), 'bus=2')
})

t.test('ARM boards: PCI, or memory mapped where the user has begun with it', t => {
  t.same(placesOf('aarch64', 'virt', nic('virtio')), [
    'interfaces pci domain=0 bus=1 slot=0 function=0',
    'controllers pci domain=0 bus=0 slot=1 function=0 multifunction=true',
    'controllers pci domain=0 bus=0 slot=1 function=1'
  ])
  t.same(placesOf('aarch64', 'virt', nic('virtio', "<address type='virtio-mmio'/>") + nic('virtio')), [
    'interfaces virtio-mmio',
    'interfaces virtio-mmio'
  ])
  t.same(placesOf('armv7l', 'vexpress-a9', nic('virtio')), ['interfaces virtio-mmio'])
  t.end()
})
