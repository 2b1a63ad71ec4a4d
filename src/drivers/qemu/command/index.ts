import type { DomainDef } from '../../../conf/domain-def.ts'
import type { QemuContext } from '../context.ts'
import { audiosArgs } from '../device/audio.ts'
import { channelsArgs, consolesArgs, parallelsArgs, serialsArgs } from '../device/chardev/chardev.ts'
import { ccidControllersArgs, controllersArgs, globalControllerArgs } from '../device/controller/controller.ts'
import { disksArgs, managedReservationsArgs } from '../device/disk/disk.ts'
import { filesystemsArgs } from '../device/filesystem/filesystem.ts'
import { graphicsArgs, limitGraphics } from '../device/graphics/graphics.ts'
import { hostdevsArgs } from '../device/hostdev/hostdev.ts'
import { hubsArgs } from '../device/hub.ts'
import { inputsArgs } from '../device/input.ts'
import { interfacesArgs } from '../device/interface/interface.ts'
import { iommusArgs } from '../device/iommu.ts'
import { memballoonsArgs } from '../device/memballoon.ts'
import { memoryDevicesArgs } from '../device/memory/memory.ts'
import { nvramsArgs } from '../device/nvram.ts'
import { panicsArgs } from '../device/panic.ts'
import { redirdevsArgs } from '../device/redirdev.ts'
import { rngsArgs } from '../device/rng.ts'
import { shmemsArgs } from '../device/shmem.ts'
import { smartcardsArgs } from '../device/smartcard.ts'
import { soundsArgs } from '../device/sound.ts'
import { tpmsArgs } from '../device/tpm/tpm.ts'
import { videosArgs } from '../device/video.ts'
import { vsocksArgs } from '../device/vsock.ts'
import { watchdogsArgs } from '../device/watchdog.ts'
import { masterKeyArgs } from '../parts/secret.ts'
import { bootArgs } from './boot.ts'
import { clockArgs } from './clock.ts'
import { Command } from './command.ts'
import { compatArgs } from './compat.ts'
import { cpuArgs } from './cpu.ts'
import { environment } from './environment.ts'
import { genidArgs } from './genid.ts'
import { iothreadsArgs } from './iothread.ts'
import { launchSecurityArgs } from './launch-security.ts'
import { loaderArgs } from './loader.ts'
import { accelArgs, machineArgs, tsegArgs, vmcoreinfoArgs } from './machine.ts'
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

const STEPS: ((command: Command) => void)[] = [
  limitGraphics,
  environment,
  nameArgs,
  compatArgs,
  command => command.add('-S'),
  masterKeyArgs,
  managedReservationsArgs,
  pflashArgs,
  machineArgs,
  accelArgs,
  tsegArgs,
  cpuArgs,
  loaderArgs,
  memoryArgs,
  smpArgs,
  iothreadsArgs,
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
  iommusArgs,
  globalControllerArgs,
  controllersArgs,
  memoryDevicesArgs,
  hubsArgs,
  ccidControllersArgs,
  disksArgs,
  filesystemsArgs,
  interfacesArgs,
  smartcardsArgs,
  serialsArgs,
  parallelsArgs,
  channelsArgs,
  consolesArgs,
  tpmsArgs,
  inputsArgs,
  audiosArgs,
  graphicsArgs,
  videosArgs,
  soundsArgs,
  watchdogsArgs,
  redirdevsArgs,
  hostdevsArgs,
  memballoonsArgs,
  rngsArgs,
  nvramsArgs,
  vmcoreinfoArgs,
  launchSecurityArgs,
  qemuNamespaceArgs,
  sandboxArgs,
  panicsArgs,
  shmemsArgs,
  vsocksArgs
]

/**
 * The arguments and added environment for a completed, prepared definition.
 * @throws VIR_ERR_CONFIG_UNSUPPORTED for what QEMU cannot do
 */
export function buildCommand(def: DomainDef, context: QemuContext): GuestCommand {
  const command = new Command(def, context)
  for (const step of STEPS) step(command)
  const { env, masterKey, memoryDirs } = command
  return { argv: [def.devices.emulator!, ...command.argv], env, masterKey, memoryDirs }
}

export interface GuestCommand {
  argv: string[]
  env: Record<string, string>
  /** content of the file masterKeyFile names, which must be there when QEMU starts */
  masterKey: Uint8Array
  /** directories that must be there when QEMU starts */
  memoryDirs: Set<string>
}
