// Features of x86 CPUs. The facts of libvirt 9.0's CPU map (cpu_map/x86_*.xml) in the form of sets: there every feature
// is one bit of its own of one CPUID register or MSR, so that comparing names is comparing bits. Models: models.ts.

/** The words of a template, split at white space. */
export const words = (text: TemplateStringsArray): string[] => text[0]!.trim().split(/\s+/)

/**
 * Features by the register that holds their bits, lowest bit first: `leaf.subleaf:register` in hexadecimal, or the
 * number of the MSR. A dash is a bit without a name.
 */
const FEATURES = {
  '1:edx': words`
    fpu vme de pse tsc msr pae mce cx8 apic - sep mtrr pge mca cmov pat pse36 pn clflush - ds acpi mmx fxsr sse
    sse2 ss ht tm ia64 pbe
  `,
  '1:ecx': words`
    pni pclmuldq dtes64 monitor ds_cpl vmx smx est tm2 ssse3 cid - fma cx16 xtpr pdcm - pcid dca sse4.1 sse4.2
    x2apic movbe popcnt tsc-deadline aes xsave osxsave avx f16c rdrand hypervisor
  `,
  '6:eax': words`- - arat`,
  '7.0:ebx': words`
    fsgsbase tsc_adjust sgx bmi1 hle avx2 - smep bmi2 erms invpcid rtm cmt - mpx - avx512f avx512dq rdseed adx
    smap avx512ifma pcommit clflushopt clwb intel-pt avx512pf avx512er avx512cd sha-ni avx512bw avx512vl
  `,
  '7.0:ecx': words`
    - avx512vbmi umip pku ospke waitpkg avx512vbmi2 - gfni vaes vpclmulqdq avx512vnni avx512bitalg -
    avx512-vpopcntdq - la57 - - - - - rdpid - bus-lock-detect cldemote - movdiri movdir64b - sgxlc pks
  `,
  '7.0:edx': words`
    - - avx512-4vnniw avx512-4fmaps fsrm - - - avx512-vp2intersect - md-clear - - - serialize - tsx-ldtrk -
    pconfig arch-lbr - - amx-bf16 avx512-fp16 amx-tile amx-int8 spec-ctrl stibp - arch-capabilities
    core-capability ssbd
  `,
  '7.1:eax': words`- - - - avx-vnni avx512-bf16`,
  'd.1:eax': words`xsaveopt xsavec xgetbv1 xsaves xfd`,
  'f.1:edx': words`- mbm_total mbm_local`,
  '12.0:eax': words`sgx1 sgx2`,
  '12.0:ebx': words`sgx-exinfo`,
  '12.1:eax': words`- sgx-debug sgx-mode64 - sgx-provisionkey sgx-tokenkey - sgx-kss`,
  '14.0:ecx': words`- - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - intel-pt-lip`,
  '80000001:edx': words`
    - - - - - - - - - - - syscall - - - - - - - - nx - mmxext - - fxsr_opt pdpe1gb rdtscp - lm 3dnowext 3dnow
  `,
  '80000001:ecx': words`
    lahf_lm cmp_legacy svm extapic cr8legacy abm sse4a misalignsse 3dnowprefetch osvw ibs xop skinit wdt - lwp
    fma4 tce cvt16 nodeid_msr - tbm topoext perfctr_core perfctr_nb
  `,
  '80000007:edx': words`- - - - - - - - invtsc`,
  '80000008:ebx': words`
    clzero - xsaveerptr - - - - - - wbnoinvd - - ibpb - ibrs amd-stibp - - - - - - - - amd-ssbd virt-ssbd
    amd-no-ssb
  `,
  '8000000a:edx': words`
    npt lbrv svm-lock nrip-save tsc-scale vmcb-clean flushbyasid decodeassists - - pause-filter - pfthreshold avic
    - v-vmsave-vmload vgif - - - - - - - - - - - svme-addr-chk
  `,
  'msr 10a': words`rdctl-no ibrs-all rsba skip-l1dfl-vmentry ssb-no mds-no pschange-mc-no tsx-ctrl taa-no`,
  'msr cf': words`- - - - - split-lock-detect`
} satisfies Record<string, string[]>

/** Every feature a guest's `<feature>` may name, in the order libvirt lists them. */
export const CPU_FEATURES: ReadonlySet<string> = new Set(
  Object.values(FEATURES)
    .flat()
    .filter(name => name !== '-')
)

/** Features that are bits of an MSR: only some QEMUs tell truly if a guest has them. */
export const MSR_FEATURES: ReadonlySet<string> = new Set(
  Object.entries(FEATURES).flatMap(([register, names]) =>
    register.startsWith('msr') ? names.filter(name => name !== '-') : []
  )
)

/** Features that keep a guest from migrating, wherever they come from. */
export const UNMIGRATABLE_FEATURES: ReadonlySet<string> = new Set(['xsaves', 'invtsc'])

/** The features a register's value tells of; none of a register that is not in the map. */
export function featuresInRegister(
  leaf: number,
  subleaf: number | undefined,
  register: string,
  value: number
): string[] {
  const key = `${leaf.toString(16)}${subleaf === undefined ? '' : `.${subleaf}`}:${register}`
  const names: string[] = (FEATURES as Record<string, string[]>)[key] ?? []
  return names.filter((name, bit) => name !== '-' && (value >>> bit) & 1)
}

/** The features an MSR's value tells of; none of an MSR that is not in the map. */
export function featuresInMsr(index: number, value: bigint): string[] {
  const names: string[] = (FEATURES as Record<string, string[]>)[`msr ${index.toString(16)}`] ?? []
  return names.filter((name, bit) => name !== '-' && (value >> BigInt(bit)) & 1n)
}

/** The CPUID registers of the map. */
export const CPUID_REGISTERS: readonly { leaf: number; subleaf?: number; register: string }[] = Object.keys(FEATURES)
  .filter(key => !key.startsWith('msr'))
  .map(key => {
    const [, leaf = '', subleaf, register = ''] = /^(\w+)(?:\.(\w+))?:(\w+)$/.exec(key) ?? []
    return {
      leaf: Number.parseInt(leaf, 16),
      ...(subleaf !== undefined && { subleaf: Number.parseInt(subleaf, 16) }),
      register
    }
  })

/** These features in the order libvirt lists them. */
export const inMapOrder = (names: ReadonlySet<string>): string[] => [...CPU_FEATURES].filter(name => names.has(name))

/** Vendors by the string CPUID leaf 0 tells. */
export const CPU_VENDORS: Readonly<Record<string, string>> = {
  GenuineIntel: 'Intel',
  AuthenticAMD: 'AMD',
  HygonGenuine: 'Hygon'
}
