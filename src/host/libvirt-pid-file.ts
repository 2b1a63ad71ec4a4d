// The number of a guest's process where libvirtd writes it, for programs that look for it there.
import { closeSync, constants, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { hostFile } from './root.ts'

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_WRONLY } = constants

/** libvirt's directory for guests that run, of the system or of this user (qemuStateInitialize's stateDir). */
function stateDirectory(): string | undefined {
  if (process.getuid?.() === 0) return hostFile('/run/libvirt/qemu')
  const { XDG_RUNTIME_DIR: own } = process.env
  return own && join(own, 'libvirt/qemu/run')
}

const fileOf = (guest: string) => {
  const directory = stateDirectory()
  return directory && join(directory, `${guest}.pid`)
}

/**
 * Writes it (virPidFileWritePath), where libvirt has made its directory. A guest of the same name that is somebody
 * else's keeps its own, as long as its process is there.
 */
export function writeLibvirtPidFile(guest: string, pid: number): void {
  const file = fileOf(guest)
  if (file === undefined) return
  const holder = read(file)
  if (holder !== undefined && isThere(holder)) return
  try {
    rmSync(file, { force: true })
    const descriptor = openSync(file, O_CREAT | O_EXCL | O_NOFOLLOW | O_WRONLY, 0o644)
    try {
      writeFileSync(descriptor, `${pid}\n`)
    } finally {
      closeSync(descriptor)
    }
  } catch {
    // no such directory, or somebody was faster: nobody depends on it
  }
}

/** Removes it, if it is of this process. */
export function removeLibvirtPidFile(guest: string, pid: number): void {
  const file = fileOf(guest)
  if (file !== undefined && read(file) === pid) rmSync(file, { force: true })
}

/** The number that is there; undefined where there is none. The directory belongs to QEMU's user. */
function read(file: string): number | undefined {
  try {
    const descriptor = openSync(file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
    try {
      const text = readFileSync(descriptor, 'latin1').trim()
      return /^[1-9]\d{0,9}$/.test(text) ? Number(text) : undefined
    } finally {
      closeSync(descriptor)
    }
  } catch {
    return undefined
  }
}

function isThere(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
