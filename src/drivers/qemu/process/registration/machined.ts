// Guests as machines of systemd-machined's (virSystemdCreateMachine, virSystemdTerminateMachine).
import { asVirError, callService, refuses, ServiceError, type Value } from '../../../../host/bus.ts'
import { sliceName } from './partition.ts'

export const MACHINED = 'org.freedesktop.machine1'

const manager = {
  service: MACHINED,
  path: '/org/freedesktop/machine1',
  interface: 'org.freedesktop.machine1.Manager'
}

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
export const UNIT_ORDER: Value[] = [
  ['After', { type: 'as', value: ['libvirtd.service', 'virtqemud.service'] }],
  ['Before', { type: 'as', value: ['virt-guest-shutdown.target'] }]
]

/** Registers a machine. @throws VIR_ERR_DBUS_SERVICE with the service's words, VIR_ERR_OPERATION_TIMEOUT */
export async function createMachine(machine: NewMachine): Promise<void> {
  const { name, uuid, leader, interfaceIndexes, partition } = machine
  const id = [...Buffer.from(uuid.replaceAll('-', ''), 'hex')]
  const properties: Value = [['Slice', { type: 's', value: sliceName(partition) }], ...UNIT_ORDER]
  try {
    await callService({
      ...manager,
      member: 'CreateMachineWithNetwork',
      signature: 'sayssusaia(sv)',
      args: [name, id, 'libvirt-qemu', 'vm', leader, '', interfaceIndexes, properties]
    })
  } catch (error) {
    throw asVirError(error)
  }
}

/** Ends the machine, if it is there. @throws VIR_ERR_DBUS_SERVICE, VIR_ERR_OPERATION_TIMEOUT */
export async function terminateMachine(name: string): Promise<void> {
  const machine = { ...manager, signature: 's', args: [name] }
  try {
    await callService({ ...machine, member: 'TerminateMachine' })
  } catch (error) {
    const gone = error instanceof ServiceError && (await refuses({ ...machine, member: 'GetMachine' }))
    if (!gone) throw asVirError(error)
  }
}
