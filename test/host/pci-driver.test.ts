// Devices between host and guests, on a tree that records what the kernel would be told.
import { readFileSync } from 'node:fs'
import t from 'tap'
import { detach, deviceNamed, rebind, reset } from '../../src/host/pci-driver.ts'
import { errorOf } from '../helper/definition.ts'
import { type HostFiles, onHost } from '../helper/host-tree.ts'

const ID = '0000:03:1f.7'
const NAME = 'pci_0000_03_1f_7'
const PCI = '/sys/bus/pci'
const DEVICE = `${PCI}/devices/${ID}`

const ENDPOINT = Buffer.alloc(64)
const BRIDGE = Buffer.from(ENDPOINT)
BRIDGE[0x0e] = 0x81

function withDevice(driver: string | undefined, more: HostFiles = {}): HostFiles {
  return {
    [`${DEVICE}/config`]: ENDPOINT,
    ...(driver !== undefined && {
      [`${PCI}/drivers/${driver}/unbind`]: '',
      [`${DEVICE}/driver`]: { to: `../../drivers/${driver}` }
    }),
    ...more
  }
}

t.test('names', () =>
  onHost(withDevice(undefined), async root => {
    t.match(deviceNamed(NAME), { id: ID, path: root + DEVICE, domain: 0, bus: 3, slot: 31, function: 7 })
    for (const name of ['pci_0000_03_1f_6', 'pci_0000_03_1F_7', 'pci_0000_03_1f_8', 'usb_1', '', `${NAME} `]) {
      t.equal(
        await errorOf(() => deviceNamed(name)),
        `VIR_ERR_NO_NODE_DEVICE: Node device not found: no node device with matching name '${name}'`
      )
    }
    t.equal(
      await errorOf(() => deviceNamed('computer')),
      'VIR_ERR_INVALID_ARG: invalid argument: device computer is not a PCI device'
    )
  })
)

const told = (root: string, file: string) => readFileSync(root + file, 'utf8')

t.test('another driver', async t => {
  await onHost(withDevice('e1000e', { [`${PCI}/drivers_probe`]: '' }), root => {
    rebind(deviceNamed(NAME), 'vfio-pci')
    t.equal(told(root, `${DEVICE}/driver_override`), 'vfio-pci')
    t.equal(told(root, `${PCI}/drivers/e1000e/unbind`), ID)
    t.equal(told(root, `${PCI}/drivers_probe`), ID)
  })
  await onHost(withDevice(undefined, { [`${PCI}/drivers_probe`]: '' }), root => {
    rebind(deviceNamed(NAME), undefined)
    t.equal(told(root, `${DEVICE}/driver_override`), '\n', 'any driver again')
    t.equal(told(root, `${PCI}/drivers_probe`), ID)
  })
})

const VFIO: HostFiles = {
  '/sys/kernel/iommu_groups/0/type': 'DMA\n',
  '/dev/vfio/vfio': '',
  [`${PCI}/drivers/vfio-pci/bind`]: '',
  [`${PCI}/drivers_probe`]: ''
}

t.test('for guests', async t => {
  const unused = () => undefined
  await onHost(withDevice('e1000e', VFIO), async root => {
    await detach(unused, NAME)
    t.equal(told(root, `${DEVICE}/driver_override`), 'vfio-pci')
    t.match(await errorOf(() => detach(unused, NAME, 'kvm')), 'VIR_ERR_ARGUMENT_UNSUPPORTED')
    t.match(await errorOf(() => detach(unused, NAME, 'x')), "unknown driver name 'x'")
    const refusal = new Error('a guest has it')
    await t.rejects(
      detach(() => {
        throw refusal
      }, NAME),
      refusal
    )
  })
  await onHost(withDevice('vfio-pci', VFIO), async root => {
    await detach(unused, NAME)
    t.throws(() => told(root, `${DEVICE}/driver_override`), { code: 'ENOENT' }, 'it has the driver already')
  })
  await onHost(withDevice('e1000e'), async () => {
    t.match(await errorOf(() => detach(unused, NAME)), 'VFIO device assignment is currently not supported')
  })
})

t.test('reset', async t => {
  const free = () => false
  await onHost(withDevice('e1000e', { [`${DEVICE}/reset`]: '' }), async root => {
    t.match(await errorOf(() => reset(() => true, NAME)), `Not resetting active device ${ID}`)
    t.equal(told(root, `${DEVICE}/reset`), '')
    reset(free, NAME)
    t.equal(told(root, `${DEVICE}/reset`), '1')
  })
  await onHost(withDevice('vfio-pci', { [`${DEVICE}/reset`]: '' }), root => {
    reset(free, NAME)
    t.equal(told(root, `${DEVICE}/reset`), '', 'vfio-pci does it by itself')
  })
  await onHost(withDevice('e1000e'), async () => {
    t.match(await errorOf(() => reset(free, NAME)), 'no FLR, PM reset or bus reset available')
  })
  await onHost({ ...withDevice('pcieport'), [`${DEVICE}/config`]: BRIDGE }, async () => {
    t.match(await errorOf(() => reset(free, NAME)), 'Only PCI endpoint devices can be reset')
  })
})
