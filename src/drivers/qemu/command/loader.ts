// Firmware other than by flash (-bios), and flash that only SMM may write.
import type { Command } from './command.ts'

/** Firmware in ROM, and the mark of secure flash (qemuBuildDomainLoaderCommandLine). */
export function loaderArgs(command: Command): void {
  const { loader } = command.def.os
  if (loader?.type === 'rom' && loader.path !== undefined) command.add('-bios', loader.path)
  if (loader?.type === 'pflash' && loader.secure) command.add('-global', 'driver=cfi.pflash01,property=secure,value=on')
}
