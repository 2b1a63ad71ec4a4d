// QEMU's command line: the order of all that is said, libvirt's (qemuBuildCommandLine).
import type { ControllerDef, ControllerType } from '../../../conf/devices/controller.ts'
import type { AnyDevice, DeviceKind } from '../../../conf/devices/index.ts'
import type { InterfaceDef } from '../../../conf/devices/interface.ts'
import type { DomainDef } from '../../../conf/domain-def.ts'
import type { QemuContext } from '../context.ts'
import { addManagedReservations } from '../device/disk/backend.ts'
import { hasManagedReservations } from '../device/disk/pr-helper.ts'
import { limitGraphics } from '../device/graphics/graphics.ts'
import { qemuFamily } from '../device/index.ts'
import { masterKeyArgs } from '../parts/secret.ts'
import { bootArgs } from './boot.ts'
import { clockArgs } from './clock.ts'
import { Command } from './command.ts'
import { compatArgs } from './compat.ts'
import { floppyControllerArgs, hostBridgeArgs } from './controllers.ts'
import { cpuArgs } from './cpu.ts'
import { environment } from './environment.ts'
import { genidArgs } from './genid.ts'
import { iothreadsArgs } from './iothread.ts'
import { launchSecurityArgs } from './launch-security.ts'
import { loaderArgs } from './loader.ts'
import { accelArgs, asyncTeardownArgs, machineArgs, tsegArgs, vmcoreinfoArgs } from './machine.ts'
import { memoryArgs } from './memory.ts'
import { monitorArgs } from './monitor.ts'
import { nameArgs, uuidArgs } from './name.ts'
import { numaArgs } from './numa.ts'
import { pflashArgs } from './pflash.ts'
import { pmArgs } from './pm.ts'
import { qemuNamespaceArgs } from './qemu-namespace.ts'
import { sandboxArgs } from './sandbox.ts'
import { fwcfgArgs, smbiosArgs } from './smbios.ts'
import { smpArgs } from './smp.ts'
import { throttleGroupArgs } from './throttle.ts'
import { watchdogArgs } from './watchdog.ts'

type AddArguments = (command: Command) => void

/** Adds the devices of a list, or those of them that are meant. */
function add<D extends AnyDevice>(kind: DeviceKind, isMeant: (dev: D) => boolean = () => true): AddArguments {
  return command => {
    const family = qemuFamily(kind)
    for (const dev of command.def.devices[kind] as unknown as D[]) if (isMeant(dev)) family?.add?.(command, dev)
  }
}

const controllers = (type: ControllerType) => add('controllers', (dev: ControllerDef) => dev.type === type)
const isHostdev = ({ type }: InterfaceDef) => type === 'hostdev'

/** The arguments in libvirt's order. Cards of the host's own go with its other devices. */
const ARGUMENTS: AddArguments[] = [
  limitGraphics,
  environment,
  nameArgs,
  compatArgs,
  command => command.add('-S'),
  masterKeyArgs,
  command => {
    if (hasManagedReservations(command.def)) addManagedReservations(command)
  },
  pflashArgs,
  machineArgs,
  accelArgs,
  tsegArgs,
  cpuArgs,
  loaderArgs,
  memoryArgs,
  smpArgs,
  iothreadsArgs,
  throttleGroupArgs,
  numaArgs,
  uuidArgs,
  smbiosArgs,
  fwcfgArgs,
  genidArgs,
  command => {
    if (command.def.devices.graphics.length === 0) command.add('-display', 'none')
    command.add('-no-user-config', '-nodefaults')
  },
  monitorArgs,
  clockArgs,
  pmArgs,
  bootArgs,
  add('iommus'),
  hostBridgeArgs,
  ...(['pci', 'usb', 'scsi', 'ide', 'sata', 'virtio-serial'] as const).map(controllers),
  add('memories'),
  add('hubs'),
  controllers('ccid'),
  floppyControllerArgs,
  add('disks'),
  add('filesystems'),
  add('interfaces', (dev: InterfaceDef) => !isHostdev(dev)),
  add('smartcards'),
  add('serials'),
  add('parallels'),
  add('channels'),
  add('consoles'),
  add('tpms'),
  add('inputs'),
  add('audios'),
  add('graphics'),
  add('videos'),
  add('sounds'),
  add('watchdogs'),
  watchdogArgs,
  add('redirdevs'),
  add('interfaces', isHostdev),
  add('hostdevs'),
  command => {
    if (command.waits) command.add('-incoming', 'defer')
  },
  add('memballoons'),
  add('rngs'),
  add('nvrams'),
  vmcoreinfoArgs,
  launchSecurityArgs,
  qemuNamespaceArgs,
  sandboxArgs,
  add('panics'),
  add('shmems'),
  add('vsocks'),
  add('cryptos'),
  add('pstores'),
  asyncTeardownArgs
]

/**
 * The arguments and added environment for a completed, prepared definition.
 * @param waits it is told later where its memory comes from
 * @throws VIR_ERR_CONFIG_UNSUPPORTED for what QEMU cannot do
 */
export function buildCommand(def: DomainDef, context: QemuContext, waits = false): GuestCommand {
  const command = new Command(def, context, waits)
  for (const addTo of ARGUMENTS) addTo(command)
  const { env, masterKey, fdsetIndex } = command
  return { argv: [def.devices.emulator!, ...command.argv], env, masterKey, fdsetIndex }
}

export interface GuestCommand {
  argv: string[]
  env: Record<string, string>
  /** content of the file masterKeyFile names, which must be there when QEMU starts */
  masterKey: Uint8Array
  /** number of the next set of descriptors */
  fdsetIndex: number
}
