// Preparation of a definition for a start: ports, socket paths, node names are filled in (qemuProcessPrepareDomain).
import type { AnyDevice, DeviceKind } from '../../../conf/devices/index.ts'
import type { DomainDef } from '../../../conf/domain-def.ts'
import { checkAll, orThrow, type Refuse } from '../../../conf/refuse.ts'
import type { QemuContext } from '../context.ts'
import { updateGuestCpu } from '../cpu/guest.ts'
import { qemuFamily } from '../device/index.ts'
import { alignMemory } from '../device/memory/align.ts'
import { refuseAutoPlacement } from '../device/memory/validate.ts'
import { fillFirmware } from '../firmware/choose.ts'

/** Preparations, in libvirt's order: the devices of a list, or something else of the guest. */
const PREPARATIONS: (DeviceKind | ((def: DomainDef, context: QemuContext) => void))[] = [
  refuseAutoPlacement,
  'graphics',
  'disks',
  'interfaces',
  'hostdevs',
  'serials',
  'parallels',
  'consoles',
  'channels',
  'redirdevs',
  'rngs',
  'smartcards',
  'inputs',
  'videos',
  'filesystems',
  fillFirmware,
  alignMemory,
  updateGuestCpu,
  'shmems',
  'vsocks'
]

/**
 * Fills into the definition of a guest that starts what only a running one has (qemuProcessPrepareDomain).
 * @param nextNode gives the number of the guest's next block node
 */
export function prepareDomain(
  def: DomainDef,
  context: QemuContext,
  nextNode = counter(),
  refuse: Refuse = orThrow
): void {
  for (const one of PREPARATIONS) {
    if (typeof one === 'string') checkAll(refuse, devicePreparations(one, def, context, nextNode))
    else checkAll(refuse, [() => one(def, context)])
  }
}

/** Images of the last disk are numbered first. A disk may leave the definition here, if it need not be there. */
function devicePreparations(kind: DeviceKind, def: DomainDef, context: QemuContext, nextNode: () => number) {
  const family = qemuFamily(kind)
  const devices = [...def.devices[kind]] as AnyDevice[]
  const inOrder = kind === 'disks' ? devices.reverse() : devices
  return inOrder.map(dev => () => family?.prepare?.(dev, def, context, nextNode))
}

function counter(): () => number {
  let number = 0
  return () => ++number
}
