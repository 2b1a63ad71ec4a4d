// A connection's facts of the host it is on, whichever guests it has.
import type { Connect } from '../drivers/connection.ts'
import { DEFAULT_CONFIG } from '../drivers/qemu/context.ts'
import { cacheDirectory } from '../state/root.ts'

const isRoot = () => process.getuid?.() === 0

/** libvirt's name of the architecture this runs on. */
export const hostArchitecture = (): string => (process.arch === 'arm64' ? 'aarch64' : 'x86_64')

/** The part of a connection that is the same for shims and aggregator. */
export function thisConnect(): Pick<Connect, 'uri' | 'cacheDir' | 'config' | 'privileged' | 'hostArch'> {
  return {
    uri: isRoot() ? 'qemu:///system' : 'qemu:///session',
    cacheDir: cacheDirectory(),
    config: DEFAULT_CONFIG,
    privileged: isRoot(),
    hostArch: hostArchitecture()
  }
}
