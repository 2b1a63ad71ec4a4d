// Features of x86 CPUs. The facts of libvirt 11.3's CPU map (cpu_map/x86_*.xml) in the form of sets: there every feature
// is one bit of its own of one CPUID register or MSR, so that comparing names is comparing bits. Models: models.ts.

/** The words of a template, split at white space. */
const words = (text: TemplateStringsArray): string[] => text[0]!.trim().split(/\s+/)

/**
 * Features by the register that holds their bits, lowest bit first: `leaf.subleaf:register` in hexadecimal, or the
 * number of the MSR. A dash is a bit without a name, -5 is five of them.
 */
const FEATURES = {
  '1:ecx': words`
    pni pclmuldq dtes64 monitor ds_cpl vmx smx est tm2 ssse3 cid - fma cx16 xtpr pdcm - pcid dca sse4.1 sse4.2
    x2apic movbe popcnt tsc-deadline aes xsave osxsave avx f16c rdrand hypervisor
  `,
  '1:edx': words`
    fpu vme de pse tsc msr pae mce cx8 apic - sep mtrr pge mca cmov pat pse36 pn clflush - ds acpi mmx fxsr sse sse2
    ss ht tm ia64 pbe
  `,
  '6:eax': words`- - arat`,
  '7.0:ebx': words`
    fsgsbase tsc_adjust sgx bmi1 hle avx2 fdp-excptn-only smep bmi2 erms invpcid rtm cmt zero-fcs-fds mpx - avx512f
    avx512dq rdseed adx smap avx512ifma pcommit clflushopt clwb intel-pt avx512pf avx512er avx512cd sha-ni avx512bw
    avx512vl
  `,
  '7.0:ecx': words`
    - avx512vbmi umip pku ospke waitpkg avx512vbmi2 - gfni vaes vpclmulqdq avx512vnni avx512bitalg -
    avx512-vpopcntdq - la57 -5 rdpid - bus-lock-detect cldemote - movdiri movdir64b - sgxlc pks
  `,
  '7.0:edx': words`
    - - avx512-4vnniw avx512-4fmaps fsrm - - - avx512-vp2intersect - md-clear - - - serialize - tsx-ldtrk - pconfig
    arch-lbr - - amx-bf16 avx512-fp16 amx-tile amx-int8 spec-ctrl stibp flush-l1d arch-capabilities core-capability
    ssbd
  `,
  '7.1:eax': words`
    sha512 sm3 sm4 - avx-vnni avx512-bf16 - cmpccxadd - - fzrm fsrs fsrc -4 fred lkgs wrmsrns - amx-fp16 - avx-ifma
    - - lam
  `,
  '7.1:edx': words`-4 avx-vnni-int8 avx-ne-convert - - amx-complex - avx-vnni-int16 - - - prefetchiti -4 avx10`,
  '7.2:edx': words`intel-psfd ipred-ctrl rrsba-ctrl ddpd-u bhi-ctrl mcdt-no`,
  'd.1:eax': words`xsaveopt xsavec xgetbv1 xsaves xfd`,
  'f.1:edx': words`- mbm_total mbm_local`,
  '12.0:eax': words`sgx1 sgx2 -9 sgx-edeccssa`,
  '12.0:ebx': words`sgx-exinfo`,
  '12.1:eax': words`- sgx-debug sgx-mode64 - sgx-provisionkey sgx-tokenkey - sgx-kss - - sgx-aex-notify`,
  '14.0:ecx': words`-31 intel-pt-lip`,
  '24.0:ebx': words`-16 avx10-128 avx10-256 avx10-512`,
  '80000001:ecx': words`
    lahf_lm cmp_legacy svm extapic cr8legacy abm sse4a misalignsse 3dnowprefetch osvw ibs xop skinit wdt - lwp fma4
    tce cvt16 nodeid_msr - tbm topoext perfctr_core perfctr_nb
  `,
  '80000001:edx': words`-11 syscall -8 nx - mmxext - - fxsr_opt pdpe1gb rdtscp - lm 3dnowext 3dnow`,
  '80000007:ebx': words`overflow-recov succor`,
  '80000007:edx': words`-8 invtsc`,
  '80000008:ebx': words`
    clzero - xsaveerptr -6 wbnoinvd - - ibpb - ibrs amd-stibp - stibp-always-on -6 amd-ssbd virt-ssbd amd-no-ssb -
    amd-psfd
  `,
  '8000000a:edx': words`
    npt lbrv svm-lock nrip-save tsc-scale vmcb-clean flushbyasid decodeassists - - pause-filter - pfthreshold avic -
    v-vmsave-vmload vgif -8 vnmi - - svme-addr-chk
  `,
  '80000021:eax': words`
    no-nested-data-bp - lfence-always-serializing - - - null-sel-clr-base - auto-ibrs -15 eraps - - sbpb ibpb-brtype
    srso-no srso-user-kernel-no
  `,
  '80000022:eax': words`perfmon-v2`,
  'msr cf': words`-5 split-lock-detect`,
  'msr 10a': words`
    rdctl-no ibrs-all rsba skip-l1dfl-vmentry ssb-no mds-no pschange-mc-no tsx-ctrl taa-no -4 sbdr-ssdp-no fbsdp-no
    psdp-no - fb-clear -6 pbrsb-no - gds-no rfds-no rfds-clear
  `,
  'msr 480': words`-54 vmx-ins-outs vmx-true-ctls vmx-any-errcode - vmx-nested-exception`,
  'msr 485': words`
    -5 vmx-store-lma vmx-activity-hlt vmx-activity-shutdown vmx-activity-wait-sipi -20 vmx-vmwrite-vmexit-fields
    vmx-zero-len-inject
  `,
  'msr 48b': words`
    vmx-apicv-xapic vmx-ept vmx-desc-exit vmx-rdtscp-exit vmx-apicv-x2apic vmx-vpid vmx-wbinvd-exit
    vmx-unrestricted-guest vmx-apicv-register vmx-apicv-vid vmx-ple vmx-rdrand-exit vmx-invpcid-exit vmx-vmfunc
    vmx-shadow-vmcs vmx-encls-exit vmx-rdseed-exit vmx-pml - - vmx-xsaves -4 vmx-tsc-scaling
    vmx-enable-user-wait-pause
  `,
  'msr 48c': words`
    vmx-ept-execonly -5 vmx-page-walk-4 vmx-page-walk-5 vmx-ept-uc -5 vmx-ept-wb - vmx-ept-2mb vmx-ept-1gb - -
    vmx-invept vmx-eptad vmx-ept-advanced-exitinfo - - vmx-invept-single-context vmx-invept-all-context -5
    vmx-invvpid -7 vmx-invvpid-single-addr vmx-invvpid-single-context vmx-invvpid-all-context
    vmx-invvpid-single-context-noglobals
  `,
  'msr 48d': words`vmx-intr-exit - - vmx-nmi-exit - vmx-vnmi vmx-preemption-timer vmx-posted-intr`,
  'msr 48e': words`
    - - vmx-vintr-pending vmx-tsc-offset - - - vmx-hlt-exit - vmx-invlpg-exit vmx-mwait-exit vmx-rdpmc-exit
    vmx-rdtsc-exit - - vmx-cr3-load-noexit vmx-cr3-store-noexit - - vmx-cr8-load-exit vmx-cr8-store-exit
    vmx-flexpriority vmx-vnmi-pending vmx-movdr-exit vmx-io-exit vmx-io-bitmap - vmx-mtf vmx-msr-bitmap
    vmx-monitor-exit vmx-pause-exit vmx-secondary-ctls
  `,
  'msr 48f': words`
    - - vmx-exit-nosave-debugctl -9 vmx-exit-load-perf-global-ctrl - - vmx-exit-ack-intr - - vmx-exit-save-pat
    vmx-exit-load-pat vmx-exit-save-efer vmx-exit-load-efer vmx-exit-save-preemption-timer vmx-exit-clear-bndcfgs -
    vmx-exit-clear-rtit-ctl - - - vmx-exit-load-pkrs - vmx-exit-secondary-ctls
  `,
  'msr 490': words`
    - - vmx-entry-noload-debugctl -6 vmx-entry-ia32e-mode - - - vmx-entry-load-perf-global-ctrl vmx-entry-load-pat
    vmx-entry-load-efer vmx-entry-load-bndcfgs - vmx-entry-load-rtit-ctl - - - vmx-entry-load-pkrs
    vmx-entry-load-fred
  `,
  'msr 491': words`vmx-eptp-switching`
} satisfies Record<string, string[]>

type Register = keyof typeof FEATURES

/** Names by bit; undefined where a bit has none. */
const bitsOf = (register: Register): (string | undefined)[] =>
  FEATURES[register].flatMap(word =>
    word.startsWith('-') ? Array.from({ length: Number(word.slice(1) || 1) }, () => undefined) : word
  )

const namesOf = (registers: readonly Register[]): string[] =>
  registers.flatMap(register => FEATURES[register].filter(word => !word.startsWith('-')))

const REGISTERS = Object.keys(FEATURES) as Register[]
const MSR_PREFIX = 'msr '
const isMsr = (register: Register): boolean => register.startsWith(MSR_PREFIX)

/** Every feature a guest's `<feature>` may name, in the order libvirt lists them. */
export const CPU_FEATURES: ReadonlySet<string> = new Set(namesOf(REGISTERS))

/** Features that are bits of an MSR: only some QEMUs tell truly if a guest has them. */
export const MSR_FEATURES: ReadonlySet<string> = new Set(namesOf(REGISTERS.filter(isMsr)))

/** Features that keep a guest from migrating, wherever they come from. */
export const UNMIGRATABLE_FEATURES: ReadonlySet<string> = new Set(['xsaves', 'invtsc'])

/** The features a register's value tells of; none of a register that is not in the map. */
export function featuresInRegister(
  leaf: number,
  subleaf: number | undefined,
  register: string,
  value: number
): string[] {
  const key = `${leaf.toString(16)}${subleaf === undefined ? '' : `.${subleaf.toString(16)}`}:${register}`
  return featuresIn(key, BigInt(value >>> 0))
}

/** The features an MSR's value tells of; none of an MSR that is not in the map. */
export const featuresInMsr = (index: number, value: bigint): string[] =>
  featuresIn(`${MSR_PREFIX}${index.toString(16)}`, value)

function featuresIn(key: string, value: bigint): string[] {
  if (!Object.hasOwn(FEATURES, key)) return []
  return bitsOf(key as Register).filter((name, bit) => name !== undefined && (value >> BigInt(bit)) & 1n) as string[]
}

/** The CPUID registers of the map. */
export const CPUID_REGISTERS: readonly { leaf: number; subleaf?: number; register: string }[] = REGISTERS.filter(
  register => !isMsr(register)
).map(key => {
  const [, leaf = '', subleaf, register = ''] = /^(\w+)(?:\.(\w+))?:(\w+)$/.exec(key) ?? []
  return {
    leaf: Number.parseInt(leaf, 16),
    ...(subleaf !== undefined && { subleaf: Number.parseInt(subleaf, 16) }),
    register
  }
})

/** The MSRs of the map by number (virCPUx86ListMSRs). */
export const MSRS: readonly number[] = REGISTERS.filter(isMsr).map(key =>
  Number.parseInt(key.slice(MSR_PREFIX.length), 16)
)

/** These features in the order libvirt lists them. */
export const inMapOrder = (names: ReadonlySet<string>): string[] => [...CPU_FEATURES].filter(name => names.has(name))

/** Vendors by the string CPUID leaf 0 tells. */
export const CPU_VENDORS: Readonly<Record<string, string>> = {
  GenuineIntel: 'Intel',
  AuthenticAMD: 'AMD',
  HygonGenuine: 'Hygon'
}
