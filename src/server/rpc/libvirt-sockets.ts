// Sockets of libvirt's own daemons: one for each driver, or libvirtd for all.
import { homedir } from 'node:os'
import { join } from 'node:path'
import type { LinkOptions } from './link.ts'
import type { SecondaryDriver } from './secondary-drivers.ts'

const isSystem = () => process.getuid?.() === 0

/** The directory of this user's libvirt sockets: the system's for root. */
export function libvirtDirectory(): string {
  if (isSystem()) return '/run/libvirt'
  return join(process.env.XDG_RUNTIME_DIR || join(homedir(), '.cache'), 'libvirt')
}

/** libvirt's URI of a driver, for this user. */
export const driverUri = (driver: SecondaryDriver): string => `${driver}:///${isSystem() ? 'system' : 'session'}`

/** Connections by which a driver may be reached, the first that can be opened counts. */
export function driverLinks(driver: SecondaryDriver, directory: string, readOnly: boolean): LinkOptions[] {
  const uri = driverUri(driver)
  return [`virt${driver}d`, 'libvirt'].map(daemon => ({
    socket: join(directory, `${daemon}-sock`),
    uri,
    readOnly,
    asksForAuth: true,
    what: daemon === 'libvirt' ? 'libvirtd' : daemon
  }))
}
