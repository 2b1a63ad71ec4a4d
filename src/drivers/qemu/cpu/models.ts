// The CPU models of libvirt 9.0's map (cpu_map/x86_*.xml), oldest first; see map.ts for the features.
import { words } from './map.ts'

/** A model as it differs from another, or all of it. */
interface ModelRow {
  /** a guest that asks for this vendor gets only models of it and of none */
  vendor?: string
  /** `family-model`, or `family-model:first-last` for some steppings of it */
  signatures?: string[]
  /** false: never chosen for a guest's CPU unless the user names it */
  guest?: false
  /** false: never chosen for a host's CPU */
  host?: false
  like?: string
  adds?: string[]
  lacks?: string[]
  /** once part of the model in QEMU, no longer: always told to QEMU */
  removed?: string[]
}

const ROWS: Record<string, ModelRow> = {
  '486': {
    adds: words`fpu vme pse`
  },
  pentium: {
    like: '486',
    adds: words`de tsc msr mce cx8 mmx`
  },
  pentium2: {
    like: 'pentium',
    adds: words`pae sep mtrr pge mca cmov pat pse36 fxsr`
  },
  pentium3: {
    like: 'pentium2',
    adds: words`sse`
  },
  pentiumpro: {
    like: 'pentium3',
    adds: words`apic sse2`,
    lacks: words`vme mtrr mca pse36`
  },
  coreduo: {
    vendor: 'Intel',
    like: 'pentium3',
    adds: words`apic clflush sse2 pni monitor nx`,
    lacks: words`pse36`
  },
  n270: {
    vendor: 'Intel',
    like: 'coreduo',
    adds: words`ssse3`
  },
  core2duo: {
    vendor: 'Intel',
    like: 'n270',
    adds: words`pse36 syscall lm`
  },
  qemu32: {
    like: 'pentiumpro',
    adds: words`pni`
  },
  kvm32: {
    like: 'coreduo',
    adds: words`pse36`,
    lacks: words`vme monitor nx`
  },
  'cpu64-rhel5': {
    guest: false,
    host: false,
    like: 'core2duo',
    lacks: words`vme monitor ssse3`
  },
  'cpu64-rhel6': {
    guest: false,
    host: false,
    like: 'cpu64-rhel5',
    adds: words`cx16 lahf_lm`
  },
  qemu64: {
    like: 'cpu64-rhel5',
    adds: words`cx16 svm`
  },
  kvm64: {
    like: 'cpu64-rhel5',
    adds: words`cx16`
  },
  Conroe: {
    vendor: 'Intel',
    signatures: words`6-15 6-22`,
    like: 'cpu64-rhel5',
    adds: words`ssse3 lahf_lm`
  },
  Penryn: {
    vendor: 'Intel',
    signatures: words`6-23 6-29`,
    like: 'cpu64-rhel6',
    adds: words`ssse3 sse4.1`
  },
  Nehalem: {
    vendor: 'Intel',
    signatures: words`6-26 6-30 6-31 6-46`,
    like: 'Penryn',
    adds: words`sse4.2 popcnt`
  },
  'Nehalem-IBRS': {
    vendor: 'Intel',
    signatures: words`6-26 6-30 6-31 6-46`,
    like: 'Nehalem',
    adds: words`spec-ctrl`
  },
  Westmere: {
    vendor: 'Intel',
    signatures: words`6-44 6-47 6-37`,
    like: 'Nehalem',
    adds: words`aes`
  },
  'Westmere-IBRS': {
    vendor: 'Intel',
    signatures: words`6-44`,
    like: 'Nehalem-IBRS',
    adds: words`aes`
  },
  SandyBridge: {
    vendor: 'Intel',
    signatures: words`6-42 6-45`,
    like: 'Westmere',
    adds: words`pclmuldq x2apic tsc-deadline xsave avx rdtscp`
  },
  'SandyBridge-IBRS': {
    vendor: 'Intel',
    signatures: words`6-42 6-45`,
    like: 'SandyBridge',
    adds: words`spec-ctrl`
  },
  IvyBridge: {
    vendor: 'Intel',
    signatures: words`6-58 6-62`,
    like: 'SandyBridge',
    adds: words`vme f16c rdrand fsgsbase smep erms`
  },
  'IvyBridge-IBRS': {
    vendor: 'Intel',
    signatures: words`6-58 6-62`,
    like: 'IvyBridge',
    adds: words`spec-ctrl`
  },
  'Haswell-noTSX': {
    vendor: 'Intel',
    signatures: words`6-60 6-63 6-69 6-70`,
    like: 'SandyBridge',
    adds: words`fma pcid movbe fsgsbase bmi1 avx2 smep bmi2 erms invpcid`
  },
  'Haswell-noTSX-IBRS': {
    vendor: 'Intel',
    signatures: words`6-60 6-63 6-69 6-70`,
    like: 'Haswell-noTSX',
    adds: words`spec-ctrl`
  },
  Haswell: {
    vendor: 'Intel',
    signatures: words`6-60 6-63 6-69 6-70`,
    like: 'Haswell-noTSX',
    adds: words`hle rtm`
  },
  'Haswell-IBRS': {
    vendor: 'Intel',
    signatures: words`6-60 6-63 6-69 6-70`,
    like: 'Haswell',
    adds: words`spec-ctrl`
  },
  'Broadwell-noTSX': {
    vendor: 'Intel',
    signatures: words`6-61 6-71 6-79 6-86`,
    like: 'Haswell-noTSX',
    adds: words`rdseed adx smap 3dnowprefetch`
  },
  'Broadwell-noTSX-IBRS': {
    vendor: 'Intel',
    signatures: words`6-61 6-71 6-79 6-86`,
    like: 'Broadwell-noTSX',
    adds: words`spec-ctrl`
  },
  Broadwell: {
    vendor: 'Intel',
    signatures: words`6-61 6-71 6-79 6-86`,
    like: 'Broadwell-noTSX',
    adds: words`hle rtm`
  },
  'Broadwell-IBRS': {
    vendor: 'Intel',
    signatures: words`6-61 6-71 6-79 6-86`,
    like: 'Broadwell',
    adds: words`spec-ctrl`
  },
  'Skylake-Client': {
    vendor: 'Intel',
    signatures: words`6-94 6-78 6-142 6-158`,
    like: 'Broadwell',
    adds: words`vme f16c rdrand arat mpx xsaveopt xsavec xgetbv1 abm`
  },
  'Skylake-Client-IBRS': {
    vendor: 'Intel',
    signatures: words`6-94 6-78 6-142 6-158`,
    like: 'Skylake-Client',
    adds: words`spec-ctrl`
  },
  'Skylake-Client-noTSX-IBRS': {
    vendor: 'Intel',
    signatures: words`6-94 6-78 6-142 6-158`,
    guest: false,
    like: 'Skylake-Client-IBRS',
    lacks: words`hle rtm`
  },
  'Skylake-Server': {
    vendor: 'Intel',
    signatures: words`6-85:0-4`,
    like: 'Skylake-Client',
    adds: words`avx512f avx512dq clwb avx512cd avx512bw avx512vl pdpe1gb`
  },
  'Skylake-Server-IBRS': {
    vendor: 'Intel',
    signatures: words`6-85:0-4`,
    like: 'Skylake-Server',
    adds: words`spec-ctrl`
  },
  'Skylake-Server-noTSX-IBRS': {
    vendor: 'Intel',
    signatures: words`6-85:0-4`,
    guest: false,
    like: 'Skylake-Server-IBRS',
    lacks: words`hle rtm`
  },
  'Cascadelake-Server': {
    vendor: 'Intel',
    signatures: words`6-85:5-7`,
    like: 'Skylake-Server-IBRS',
    adds: words`clflushopt avx512vnni ssbd`
  },
  'Cascadelake-Server-noTSX': {
    vendor: 'Intel',
    signatures: words`6-85:5-7`,
    guest: false,
    like: 'Cascadelake-Server',
    lacks: words`hle rtm`
  },
  'Icelake-Client': {
    vendor: 'Intel',
    signatures: words`6-126`,
    like: 'Skylake-Client-IBRS',
    adds: words`
      avx512vbmi umip pku avx512vbmi2 gfni vaes vpclmulqdq avx512vnni avx512bitalg avx512-vpopcntdq ssbd
      wbnoinvd
    `,
    removed: words`intel-pt`
  },
  'Icelake-Client-noTSX': {
    vendor: 'Intel',
    signatures: words`6-126`,
    guest: false,
    like: 'Icelake-Client',
    lacks: words`hle rtm`,
    removed: words`intel-pt`
  },
  'Icelake-Server': {
    vendor: 'Intel',
    signatures: words`6-106`,
    like: 'Icelake-Client',
    adds: words`avx512f avx512dq clflushopt clwb avx512cd avx512bw avx512vl la57 pdpe1gb`,
    removed: words`intel-pt`
  },
  'Icelake-Server-noTSX': {
    vendor: 'Intel',
    signatures: words`6-106`,
    guest: false,
    like: 'Icelake-Server',
    lacks: words`hle rtm`,
    removed: words`intel-pt`
  },
  Cooperlake: {
    vendor: 'Intel',
    signatures: words`6-85:10-11`,
    like: 'Cascadelake-Server',
    adds: words`
      pku stibp arch-capabilities avx512-bf16 rdctl-no ibrs-all skip-l1dfl-vmentry mds-no pschange-mc-no taa-no
    `,
    lacks: words`mpx`
  },
  Snowridge: {
    vendor: 'Intel',
    signatures: words`6-134`,
    like: 'IvyBridge-IBRS',
    adds: words`
      movbe arat rdseed smap clflushopt clwb sha-ni umip gfni cldemote movdiri movdir64b arch-capabilities
      core-capability ssbd xsaveopt xsavec xgetbv1 pdpe1gb 3dnowprefetch split-lock-detect
    `,
    lacks: words`avx f16c`
  },
  athlon: {
    vendor: 'AMD',
    like: 'pentium3',
    adds: words`apic sse2 mmxext 3dnowext 3dnow`,
    lacks: words`mca`
  },
  phenom: {
    vendor: 'AMD',
    like: 'cpu64-rhel5',
    adds: words`monitor mmxext fxsr_opt 3dnowext 3dnow svm`
  },
  Opteron_G1: {
    vendor: 'AMD',
    signatures: words`15-6`,
    like: 'cpu64-rhel5'
  },
  Opteron_G2: {
    vendor: 'AMD',
    signatures: words`15-6`,
    like: 'cpu64-rhel6',
    adds: words`rdtscp svm`
  },
  Opteron_G3: {
    vendor: 'AMD',
    signatures: words`15-6`,
    like: 'Opteron_G2',
    adds: words`popcnt abm sse4a misalignsse`,
    removed: words`monitor`
  },
  Opteron_G4: {
    vendor: 'AMD',
    signatures: words`21-1`,
    like: 'SandyBridge',
    adds: words`pdpe1gb svm abm sse4a misalignsse 3dnowprefetch xop fma4`,
    lacks: words`x2apic tsc-deadline`
  },
  Opteron_G5: {
    vendor: 'AMD',
    signatures: words`21-2`,
    like: 'Opteron_G4',
    adds: words`fma f16c tbm`
  },
  EPYC: {
    vendor: 'AMD',
    signatures: words`23-1`,
    like: 'Skylake-Client-noTSX-IBRS',
    adds: words`clflushopt sha-ni mmxext fxsr_opt pdpe1gb svm cr8legacy sse4a misalignsse osvw`,
    lacks: words`pcid x2apic tsc-deadline erms invpcid mpx spec-ctrl`,
    removed: words`monitor`
  },
  'EPYC-IBPB': {
    vendor: 'AMD',
    signatures: words`23-1`,
    like: 'EPYC',
    adds: words`ibpb`,
    removed: words`monitor`
  },
  'EPYC-Rome': {
    vendor: 'AMD',
    signatures: words`23-49`,
    like: 'EPYC-IBPB',
    adds: words`clwb umip rdpid perfctr_core clzero xsaveerptr wbnoinvd amd-stibp npt nrip-save`
  },
  'EPYC-Milan': {
    vendor: 'AMD',
    signatures: words`25-1`,
    like: 'EPYC-Rome',
    adds: words`pcid erms invpcid pku fsrm xsaves ibrs amd-ssbd svme-addr-chk`
  },
  Dhyana: {
    vendor: 'Hygon',
    signatures: words`24-0`,
    like: 'EPYC-IBPB',
    lacks: words`pclmuldq aes sha-ni`,
    removed: words`monitor`
  }
}

/** Family, model and steppings of a CPU. */
export interface Signature {
  family: number
  model: number
  first: number
  last: number
}

export interface CpuModel {
  name: string
  vendor?: string
  signatures: Signature[]
  /** may be chosen for a guest's CPU without the user's naming it */
  guest: boolean
  /** may be chosen for a host's CPU */
  host: boolean
  features: ReadonlySet<string>
  removed: readonly string[]
  hasSignature(of: { family: number; model: number; stepping: number }): boolean
}

const STEPPING_MAX = 15

function parseSignature(text: string): Signature {
  const [, family, model, first = '0', last = String(STEPPING_MAX)] = /^(\d+)-(\d+)(?::(\d+)-(\d+))?$/.exec(text)!
  return { family: Number(family), model: Number(model), first: Number(first), last: Number(last) }
}

let models: Map<string, CpuModel> | undefined

/** All models by name, oldest first. Made when first asked for: most starts have no need of them. */
export function cpuModels(): ReadonlyMap<string, CpuModel> {
  models ??= makeModels()
  return models
}

function makeModels(): Map<string, CpuModel> {
  const made = new Map<string, CpuModel>()
  for (const [name, row] of Object.entries(ROWS)) {
    const features = new Set([...(made.get(row.like ?? '')?.features ?? []), ...(row.adds ?? [])])
    for (const lacking of row.lacks ?? []) features.delete(lacking)
    const signatures = (row.signatures ?? []).map(parseSignature)
    made.set(name, {
      name,
      ...(row.vendor && { vendor: row.vendor }),
      signatures,
      guest: row.guest ?? true,
      host: row.host ?? true,
      features,
      removed: row.removed ?? [],
      hasSignature: ({ family, model, stepping }) =>
        signatures.some(
          one => one.family === family && one.model === model && stepping >= one.first && stepping <= one.last
        )
    })
  }
  return made
}
