// QEMU's environment: the libraries it uses keep their files in the guest's own directory (qemuBuildCommandLine).
import { join } from 'node:path'
import type { Command } from './command.ts'

/** Unprivileged guests keep their user's home, as libvirt's do; only their cache is separate. */
export function environment({ env, context }: Command): void {
  const { libDir } = context.paths
  if (context.privileged) {
    env.HOME = libDir
    env.XDG_DATA_HOME = join(libDir, '.local/share')
  }
  env.XDG_CACHE_HOME = join(libDir, '.cache')
  if (context.privileged) env.XDG_CONFIG_HOME = join(libDir, '.config')
}
