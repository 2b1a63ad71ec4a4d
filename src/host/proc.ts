// Facts of a QEMU process from /proc: CPU time, memory, allowed CPUs, counters of its network interfaces.
import { readFileSync } from 'node:fs'
import { hostFile } from './root.ts'

/** /proc counts in ticks of 1/100 s (USER_HZ) on every Linux port QEMU runs on. */
const NS_PER_TICK = 10_000_000n
const PAGE_KIB = 4n

/** CPU times in ns. */
export interface CpuTimes {
  totalNs: bigint
  userNs: bigint
  systemNs: bigint
  /** the CPU it ran on last */
  cpu: number
}

/** CPU times of a process, or of one of its threads; zeros when it is gone. */
export function cpuTimes(pid: number, tid?: number): CpuTimes {
  const path = tid === undefined ? `/proc/${pid}/stat` : `/proc/${pid}/task/${tid}/stat`
  const stat = readOr(path, '')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  if (fields.length < 37) return { totalNs: 0n, userNs: 0n, systemNs: 0n, cpu: 0 }
  const userNs = BigInt(fields[11]!) * NS_PER_TICK
  const systemNs = BigInt(fields[12]!) * NS_PER_TICK
  return { totalNs: userNs + systemNs, userNs, systemNs, cpu: Number(fields[36]) }
}

/** Time in ns a thread waited for a CPU (schedstat's run_delay). */
export function waitNs(pid: number, tid: number): bigint {
  return BigInt(readOr(`/proc/${pid}/task/${tid}/schedstat`, '0 0 0').split(' ')[1] ?? 0)
}

/** Resident memory in KiB. */
export function residentKiB(pid: number): bigint {
  return BigInt(readOr(`/proc/${pid}/statm`, '0 0').split(' ')[1] ?? 0) * PAGE_KIB
}

/** CPUs a thread may run on. */
export function allowedCpus(pid: number, tid: number): Set<number> {
  const list = /^Cpus_allowed_list:\s*(.*)$/m.exec(readOr(`/proc/${pid}/task/${tid}/status`, ''))?.[1] ?? ''
  const cpus = new Set<number>()
  for (const range of list.split(',').filter(Boolean)) {
    const [first, last = first] = range.split('-').map(Number) as [number, number?]
    for (let cpu = first; cpu <= last!; cpu++) cpus.add(cpu)
  }
  return cpus
}

/** Counters of a host network interface, by the kernel's names; undefined when there is none. */
export function interfaceCounters(name: string): Record<string, bigint> | undefined {
  if (name.includes('/')) return undefined
  const counter = (file: string) => readOr(`/sys/class/net/${name}/statistics/${file}`, '')
  if (counter('rx_bytes') === '') return undefined
  const names = [
    'rx_bytes',
    'rx_packets',
    'rx_errors',
    'rx_dropped',
    'tx_bytes',
    'tx_packets',
    'tx_errors',
    'tx_dropped'
  ]
  return Object.fromEntries(names.map(file => [file, BigInt(counter(file).trim() || 0)]))
}

function readOr(path: string, otherwise: string): string {
  try {
    return readFileSync(hostFile(path), 'utf8')
  } catch {
    return otherwise
  }
}
