// swtpm, the program that emulates TPMs: its presence on this host, and its abilities.
import { spawnSync } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { join } from 'node:path'
import type { TpmVersion } from '../conf/devices/tpm.ts'

/** Programs of an emulated TPM, all three needed: the daemon, the maker of keys and certificates, the control tool. */
const PROGRAMS = ['swtpm', 'swtpm_setup', 'swtpm_ioctl'] as const
const PROBE_TIMEOUT_MS = 5000

/** A program of that name on the search path. */
export function findProgram(name: string): string | undefined {
  const directories = (process.env.PATH ?? '/usr/sbin:/usr/bin').split(':').filter(Boolean)
  return directories.map(directory => join(directory, name)).find(isExecutable)
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

let known: { versions: TpmVersion[] | undefined } | undefined

/** The versions swtpm can be, undefined where it is not installed (virTPMHasSwtpm, virTPMSwtpmSetupCapsGet). */
export function swtpmVersions(): TpmVersion[] | undefined {
  known ??= { versions: probe() }
  return known.versions
}

function probe(): TpmVersion[] | undefined {
  const [, setup] = PROGRAMS.map(findProgram)
  if (!setup || !PROGRAMS.every(findProgram)) return undefined
  const { stdout } = spawnSync(setup, ['--print-capabilities'], {
    encoding: 'utf8',
    timeout: PROBE_TIMEOUT_MS,
    stdio: ['ignore', 'pipe', 'ignore']
  })
  try {
    const { features = [] } = JSON.parse(stdout) as { features?: string[] }
    return (['1.2', '2.0'] as const).filter(version => features.includes(`tpm-${version}`))
  } catch {
    return []
  }
}
