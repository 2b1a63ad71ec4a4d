// The CPUID instruction and RDMSR, by way of the kernel's cpuid and msr drivers: Node.js can execute neither.
import { closeSync, openSync, readSync } from 'node:fs'
import { CPUID_REGISTERS, featuresInMsr, featuresInRegister, MSRS } from './map.ts'

const CPUID_DEVICE = '/dev/cpu/0/cpuid'
const CPUID_BYTES = 16
const MSR_DEVICE = '/dev/cpu/0/msr'
const MSR_BYTES = 8
const OFFSETS: Record<string, number> = { eax: 0, ebx: 4, ecx: 8, edx: 12 }
const EXTENDED = 0x8000_0000
/** Leaves that mean something only with a feature of an earlier one: the register that tells, and its bit (cpuidSet). */
const DEPENDENT: Record<number, { leaf: number; register: string; bit: number }> = {
  18: { leaf: 7, register: 'ebx', bit: 2 },
  15: { leaf: 0xf, register: 'edx', bit: 1 }
}

export type CpuidRegisters = Record<'eax' | 'ebx' | 'ecx' | 'edx', number>

/** Carries out `work` with a reader of bytes by position; undefined where the driver is missing or not for this user. */
function withDevice<T>(path: string, bytes: number, work: (read: (position: bigint) => Buffer) => T): T | undefined {
  try {
    const device = openSync(path, 'r')
    try {
      return work(position => {
        const buffer = Buffer.alloc(bytes)
        readSync(device, buffer, 0, bytes, position)
        return buffer
      })
    } finally {
      closeSync(device)
    }
  } catch {
    return undefined
  }
}

/** Carries out `work` with a reader of leaves. */
function withCpuid<T>(work: (leaf: (leaf: number, subleaf?: number) => CpuidRegisters) => T): T | undefined {
  return withDevice(CPUID_DEVICE, CPUID_BYTES, read =>
    work((leaf, subleaf = 0) => {
      const bytes = read((BigInt(subleaf) << 32n) | BigInt(leaf))
      const at = (register: string) => bytes.readUInt32LE(OFFSETS[register])
      return { eax: at('eax'), ebx: at('ebx'), ecx: at('ecx'), edx: at('edx') }
    })
  )
}

/** One leaf of the first CPU, undefined where it cannot be asked or has no such leaf. */
export function cpuidLeaf(leaf: number, subleaf = 0): CpuidRegisters | undefined {
  return withCpuid(read => (leaf <= read(leaf >= EXTENDED ? EXTENDED : 0).eax ? read(leaf, subleaf) : undefined))
}

/** Everything the map knows of the first CPU, undefined where it cannot be asked (virCPUx86GetHost). */
export function cpuidFeatures(): Set<string> | undefined {
  return withCpuid(read => {
    const last = { basic: read(0).eax, extended: read(EXTENDED).eax }
    const features = new Set<string>()
    for (const { leaf, subleaf, register } of CPUID_REGISTERS) {
      if (leaf > (leaf >= EXTENDED ? last.extended : last.basic)) continue
      const needs = DEPENDENT[leaf]
      const told = needs && read(needs.leaf)[needs.register as 'ebx']
      if (needs && !((told! >>> needs.bit) & 1)) continue
      if (leaf === 7 && (subleaf ?? 0) > read(7).eax) continue
      const value = read(leaf, subleaf)[register as 'eax']
      for (const name of featuresInRegister(leaf, subleaf, register, value)) features.add(name)
    }
    return features
  })
}

/** Features of the map's MSRs that the first CPU has; undefined if none can be read (virHostCPUGetMSR). */
export function msrFeatures(): string[] | undefined {
  return withDevice(MSR_DEVICE, MSR_BYTES, read =>
    MSRS.flatMap(index => {
      try {
        return featuresInMsr(index, read(BigInt(index)).readBigUInt64LE())
      } catch {
        // the CPU has no such MSR
        return []
      }
    })
  )
}
