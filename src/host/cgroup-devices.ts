// The list of devices that processes of a control group may open, of v1: v2 has that as a BPF program, which is not made.
import { existsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { writeGroupFile } from './cgroup.ts'

/** The group with such a list. */
export const devicesGroup = (groups: readonly string[]): string | undefined =>
  groups.find(group => existsSync(join(group, 'devices.allow')))

/** Allows no devices but those at these paths, and those of a kind, as `c 136:*`. @throws VIR_ERR_SYSTEM_ERROR */
export async function limitDevices(group: string, paths: readonly string[], kinds: readonly string[]): Promise<void> {
  await writeGroupFile(join(group, 'devices.deny'), 'a')
  await allowAll(group, [...kinds, ...devicesAt(paths)])
}

/** Allows the devices among paths too. @throws VIR_ERR_SYSTEM_ERROR */
export const allowDevices = (group: string, paths: readonly string[]): Promise<void> =>
  allowAll(group, devicesAt(paths))

/** Allows them no more. @throws VIR_ERR_SYSTEM_ERROR */
export async function denyDevices(group: string, paths: readonly string[]): Promise<void> {
  for (const device of devicesAt(paths)) await writeGroupFile(join(group, 'devices.deny'), `${device} rwm`)
}

async function allowAll(group: string, devices: readonly string[]): Promise<void> {
  for (const device of devices) await writeGroupFile(join(group, 'devices.allow'), `${device} rw`)
}

/** Those that are devices, each once, as the kernel writes them: `b 8:0`. */
function devicesAt(paths: readonly string[]): string[] {
  const all = paths.flatMap(path => {
    const about = statSync(path, { bigint: true, throwIfNoEntry: false })
    if (!about?.isBlockDevice() && !about?.isCharacterDevice()) return []
    const { rdev } = about
    const major = ((rdev >> 32n) & 0xfffff000n) | ((rdev >> 8n) & 0xfffn)
    const minor = ((rdev >> 12n) & 0xffffff00n) | (rdev & 0xffn)
    return [`${about.isBlockDevice() ? 'b' : 'c'} ${major}:${minor}`]
  })
  return [...new Set(all)]
}
