// What runs for a test's guests besides the test: processes and their control groups.
import { existsSync, readdirSync, readFileSync, rmdirSync } from 'node:fs'
import { basename, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

/** Pids of every process whose arguments contain that text; zombies do not count. */
export function processesNaming(text: string): number[] {
  return readdirSync('/proc')
    .filter(name => /^\d+$/.test(name) && Number(name) !== process.pid)
    .filter(pid => {
      try {
        const named = readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(text)
        return named && !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
      } catch {
        return false
      }
    })
    .map(Number)
}

/** Control groups, of either hierarchy, made for the guest of that name: their names. */
export const cgroupsOf = (guest: string): string[] => cgroupPathsOf(guest).map(path => basename(path))

/** The same: their paths. */
export const cgroupPathsOf = (guest: string): string[] => groupPaths(name => name.endsWith(`-${guest}.virshim`))

function groupPaths(isMeant: (name: string) => boolean): string[] {
  const base = '/sys/fs/cgroup'
  const parents = ['', ...(existsSync(base) ? readdirSync(base) : [])].map(name => join(base, name, 'machine'))
  return parents
    .filter(parent => existsSync(parent))
    .flatMap(parent =>
      readdirSync(parent)
        .filter(isMeant)
        .map(group => join(parent, group))
    )
}

/**
 * Ends what killed shims have left: every process that names that directory, and its control groups; those of guests
 * by name as well, where no other guest is called so.
 */
export async function endAll(directory: string, ...guests: string[]): Promise<void> {
  const ended = new Set<number>()
  for (let pids = [0]; pids.length > 0; await sleep(20)) {
    pids = processesNaming(`${directory}/`)
    for (const pid of pids) {
      ended.add(pid)
      try {
        process.kill(pid, 'SIGKILL')
      } catch {}
    }
  }
  const theirs = groupPaths(name => ended.has(Number(/^qemu-(\d+)-.*\.virshim$/.exec(name)?.[1])))
  for (const group of [...theirs, ...guests.flatMap(cgroupPathsOf)]) await removeGroup(group)
}

/** A process that was killed may be in its group for a moment more. */
async function removeGroup(path: string): Promise<void> {
  for (let left = 100; existsSync(path) && left > 0; left--) {
    try {
      rmdirSync(path)
    } catch {
      await sleep(20)
    }
  }
}
