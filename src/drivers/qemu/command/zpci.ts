// s390: the zpci device that goes with each PCI device and bears its ids (qemuBuildZPCIDevProps).
import type { Address } from '../../../conf/devices/device-address.ts'
import type { Command } from './command.ts'

/** Goes before the -device of the device itself; nothing for what has no such ids (qemuCommandAddExtDevice). */
export function addExtension(command: Command, { address, alias }: { address?: Address; alias?: string }): void {
  if (address?.type !== 'pci' || !address.zpci) return
  const { uid = 0, fid = 0 } = address.zpci
  command.device({ driver: 'zpci', uid, fid, target: alias, id: `zpci${uid}` })
}
