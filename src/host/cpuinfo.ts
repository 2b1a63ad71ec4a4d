// The host's own CPU, as Linux tells of it in /proc/cpuinfo.
import { closeSync, openSync, readSync } from 'node:fs'

export interface Cpuinfo {
  vendor: string
  family: number
  model: number
  stepping: number
  microcode: string
  /** features under Linux's names */
  flags: ReadonlySet<string>
  /** width of a physical address, unknown on some architectures */
  physicalAddressBits?: number
  /** rate of a time stamp counter that never changes its rate, where Linux tells it */
  tscHz?: bigint
}

/** More than one processor's entry; the file has one for each, all alike where guests run. */
const ENTRY_MAX_BYTES = 16 * 1024

let known: Cpuinfo | undefined

/** Read once: a host does not change its CPU while we run. */
export function cpuinfo(): Cpuinfo {
  known ??= parseCpuinfo(readFirst())
  return known
}

/** One line that changes whenever the CPU or its microcode does. */
export function cpuIdentity(): string {
  const { vendor, family, model, stepping, microcode } = cpuinfo()
  return `${vendor} ${family}-${model}-${stepping} ${microcode}`
}

function readFirst(): string {
  try {
    const file = openSync('/proc/cpuinfo', 'r')
    try {
      const bytes = Buffer.alloc(ENTRY_MAX_BYTES)
      return bytes.toString('latin1', 0, readSync(file, bytes))
    } finally {
      closeSync(file)
    }
  } catch {
    // A host without it is one we know nothing of.
    return ''
  }
}

/** The first processor of a text in /proc/cpuinfo's form. */
export function parseCpuinfo(text: string): Cpuinfo {
  const [entry = ''] = text.split('\n\n')
  const values = new Map(
    entry.split('\n').map(line => {
      const [key = '', value = ''] = line.split(/\s*: /, 2)
      return [key.trim(), value.trim()]
    })
  )
  const flags = new Set(values.get('flags')?.split(' '))
  const bits = /^(\d+) bits physical/.exec(values.get('address sizes') ?? '')?.[1]
  const mhz = /^(\d+)\.(\d{3})$/.exec(values.get('cpu MHz') ?? '')
  // Without counters of actual performance the rate shown is the time stamp counter's.
  const isTscRate = flags.has('nonstop_tsc') && !flags.has('aperfmperf')
  return {
    vendor: values.get('vendor_id') ?? '',
    family: Number(values.get('cpu family') ?? 0),
    model: Number(values.get('model') ?? 0),
    stepping: Number(values.get('stepping') ?? 0),
    microcode: values.get('microcode') ?? '',
    flags,
    ...(bits !== undefined && { physicalAddressBits: Number(bits) }),
    ...(mhz && isTscRate && { tscHz: BigInt(`${mhz[1]}${mhz[2]}`) * 1000n })
  }
}
