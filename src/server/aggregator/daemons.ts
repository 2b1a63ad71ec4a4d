// Daemons of libvirt's other drivers, as far as their sockets are there.
import { existsSync } from 'node:fs'
import { driverLinks } from '../rpc/libvirt-sockets.ts'
import { SECONDARY_DRIVERS, type SecondaryDriver } from '../rpc/secondary-drivers.ts'

/** Sockets in a directory by driver: of each the one that is tried first. */
export function daemonsIn(directory: string): Partial<Record<SecondaryDriver, string>> {
  const found = SECONDARY_DRIVERS.flatMap(driver => {
    const link = driverLinks(driver, directory, false).find(({ socket }) => existsSync(socket))
    return link ? [[driver, link.socket]] : []
  })
  return Object.fromEntries(found)
}
