// The host's own CPU, as Linux tells of it in /proc/cpuinfo.
import { readFileSync } from 'node:fs'

export interface HostCpu {
  /** features under Linux's names */
  flags: ReadonlySet<string>
  /** width of a physical address, unknown on some architectures */
  physicalAddressBits?: number
}

let known: HostCpu | undefined

/** Read once: a host does not change its CPU while we run. */
export function hostCpu(): HostCpu {
  known ??= parseCpuinfo(readCpuinfo())
  return known
}

function readCpuinfo(): string {
  try {
    return readFileSync('/proc/cpuinfo', 'utf8')
  } catch {
    // A host without it is one we know nothing of.
    return ''
  }
}

/** The first processor's entry; all are alike where guests run. */
export function parseCpuinfo(text: string): HostCpu {
  const value = (key: string) => new RegExp(`^${key}\\s*: (.*)$`, 'm').exec(text)?.[1]
  const bits = /^(\d+) bits physical/.exec(value('address sizes') ?? '')?.[1]
  return {
    flags: new Set(value('flags')?.split(' ')),
    ...(bits !== undefined && { physicalAddressBits: Number(bits) })
  }
}
