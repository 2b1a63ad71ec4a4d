// The CPUID instruction, by way of the kernel's cpuid driver: Node cannot execute it.
import { closeSync, openSync, readSync } from 'node:fs'
import { CPUID_REGISTERS, featuresInRegister } from './map.ts'

const DEVICE = '/dev/cpu/0/cpuid'
const RESULT_BYTES = 16
const OFFSETS: Record<string, number> = { eax: 0, ebx: 4, ecx: 8, edx: 12 }
const EXTENDED = 0x8000_0000
/** Leaves that mean something only with a feature of an earlier one: the register that tells, and its bit (cpuidSet). */
const DEPENDENT: Record<number, { leaf: number; register: string; bit: number }> = {
  18: { leaf: 7, register: 'ebx', bit: 2 },
  15: { leaf: 0xf, register: 'edx', bit: 1 }
}

export type CpuidRegisters = Record<'eax' | 'ebx' | 'ecx' | 'edx', number>

/** Carries out `work` with a reader of leaves; undefined where the driver is missing or not for this user. */
function withDevice<T>(work: (leaf: (leaf: number, subleaf?: number) => CpuidRegisters) => T): T | undefined {
  try {
    const device = openSync(DEVICE, 'r')
    try {
      const bytes = Buffer.alloc(RESULT_BYTES)
      return work((leaf, subleaf = 0) => {
        readSync(device, bytes, 0, RESULT_BYTES, (BigInt(subleaf) << 32n) | BigInt(leaf))
        const at = (register: string) => bytes.readUInt32LE(OFFSETS[register])
        return { eax: at('eax'), ebx: at('ebx'), ecx: at('ecx'), edx: at('edx') }
      })
    } finally {
      closeSync(device)
    }
  } catch {
    return undefined
  }
}

/** One leaf of the first CPU, undefined where it cannot be asked or has no such leaf. */
export function cpuidLeaf(leaf: number, subleaf = 0): CpuidRegisters | undefined {
  return withDevice(read => (leaf <= read(leaf >= EXTENDED ? EXTENDED : 0).eax ? read(leaf, subleaf) : undefined))
}

/** Everything the map knows of the first CPU, undefined where it cannot be asked (virCPUx86GetHost). */
export function cpuidFeatures(): Set<string> | undefined {
  return withDevice(read => {
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
