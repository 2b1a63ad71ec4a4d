// Guests as machines of systemd-machined's (virSystemdCreateMachine, virSystemdTerminateMachine).
import { asVirError, type HostBus, ServiceError } from './bus.ts'
import { sliceName } from './partition.ts'

export const MACHINED = 'org.freedesktop.machine1'

const manager = {
  service: MACHINED,
  path: '/org/freedesktop/machine1',
  interface: 'org.freedesktop.machine1.Manager'
}

const UNKNOWN_METHOD = 'org.freedesktop.DBus.Error.UnknownMethod'
const NO_SUCH_MACHINE = 'org.freedesktop.machine1.NoSuchMachine'

export interface NewMachine {
  name: string
  uuid: string
  /** QEMU */
  leader: number
  /** of the host's ends of the guest's interfaces */
  interfaceIndexes: number[]
  partition: string
}

/** Units that start before and after guests, as libvirt has it. */
export const unitOrder = (bus: HostBus): [string, unknown][] => [
  ['After', bus.variant('as', ['libvirtd.service', 'virtqemud.service'])],
  ['Before', bus.variant('as', ['virt-guest-shutdown.target'])]
]

/** Registers a machine (virSystemdCreateMachine). @throws VIR_ERR_DBUS_SERVICE with the service's words */
export async function createMachine(bus: HostBus, machine: NewMachine): Promise<void> {
  const { name, uuid, leader, interfaceIndexes, partition } = machine
  const id = Buffer.from(uuid.replaceAll('-', ''), 'hex')
  const properties = [['Slice', bus.variant('s', sliceName(partition))], ...unitOrder(bus)]
  const front = [name, id, 'libvirt-qemu', 'vm', leader, '']
  try {
    await bus.call({
      ...manager,
      member: 'CreateMachineWithNetwork',
      signature: 'sayssusaia(sv)',
      args: [...front, interfaceIndexes, properties]
    })
  } catch (error) {
    if (!(error instanceof ServiceError) || error.type !== UNKNOWN_METHOD) throw asVirError(error)
    // before systemd 211
    await bus
      .call({ ...manager, member: 'CreateMachine', signature: 'sayssusa(sv)', args: [...front, properties] })
      .catch(thrown => {
        throw asVirError(thrown)
      })
  }
}

/** Ends the machine, if it is there. @throws VIR_ERR_DBUS_SERVICE */
export async function terminateMachine(bus: HostBus, name: string): Promise<void> {
  try {
    await bus.call({ ...manager, member: 'TerminateMachine', signature: 's', args: [name] })
  } catch (error) {
    if (!(error instanceof ServiceError) || error.type !== NO_SUCH_MACHINE) throw asVirError(error)
  }
}
