// Choice of the QEMU binary for a guest that names none (virQEMUCapsGetDefaultEmulator).
import { accessSync, constants, statSync } from 'node:fs'
import { join } from 'node:path'
import { errorsFrom } from '../../../conf/error.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** Names QEMU's binaries have where the architecture's name differs. */
const BINARY_ARCH: Record<string, string> = { i686: 'i386', armv6l: 'arm', armv7l: 'arm', openrisc: 'or32' }

const isPpc64 = (arch: string) => arch.startsWith('ppc64')

/** True if the host runs guests of that architecture without emulation. */
export function isNative(hostArch: string, arch: string): boolean {
  return (
    hostArch === arch ||
    (hostArch === 'x86_64' && arch === 'i686') ||
    (hostArch === 'aarch64' && arch === 'armv7l') ||
    (isPpc64(hostArch) && isPpc64(arch))
  )
}

/** Architectures an emulator runs besides its own. */
const ALSO_RUNS: Record<string, string> = { x86_64: 'i686', aarch64: 'armv7l', armv7l: 'armv6l', ppc64: 'ppc64le' }

/** True if an emulator of one architecture runs guests of the other (virQEMUCapsIsArchSupported). */
export const runsArch = (emulatorArch: string, arch: string | undefined): boolean =>
  arch === emulatorArch || (arch !== undefined && arch === ALSO_RUNS[emulatorArch])

function isExecutable(file: string): boolean {
  try {
    // most files looked for are not there, which is told without making an error
    if (!statSync(file, { throwIfNoEntry: false })?.isFile()) return false
    accessSync(file, constants.X_OK)
    return true
  } catch {
    return false
  }
}

function inPath(name: string): string | undefined {
  const directories = (process.env.PATH ?? '').split(':').filter(directory => directory !== '')
  return directories.map(directory => join(directory, name)).find(isExecutable)
}

/** The emulator for an architecture: its own binary, or on a native host the host's; undefined when there is none. */
export function findEmulator(hostArch: string, arch: string): string | undefined {
  const target = isNative(hostArch, arch) ? hostArch : isPpc64(arch) ? 'ppc64' : arch
  const order = hostArch === 'aarch64' && arch === 'armv7l' ? [hostArch, arch] : [arch, target]
  for (const name of new Set(order)) {
    const found = inPath(`qemu-system-${BINARY_ARCH[name] ?? name}`)
    if (found) return found
  }
  // Red Hat ships one binary, outside of the path.
  if (isNative(hostArch, arch) && isExecutable('/usr/libexec/qemu-kvm')) return '/usr/libexec/qemu-kvm'
  return undefined
}

/** The emulator for an architecture. @throws VIR_ERR_CONFIG_UNSUPPORTED when there is none */
export function defaultEmulator(hostArch: string, arch: string): string {
  const found = findEmulator(hostArch, arch)
  if (found === undefined) throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `No emulator found for arch '${arch}'`)
  return found
}
