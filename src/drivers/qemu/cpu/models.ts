// The CPU models of libvirt 11.3's map (cpu_map/x86_*.xml), oldest first; see map.ts for the features.

/** A set as it differs from another one's, or all of it; names are apart by white space. */
interface SetRow {
  like?: string
  adds?: string
  lacks?: string
}

/** A model; its set is that of its features without those of VMX. */
interface ModelRow extends SetRow {
  /** a guest that asks for this vendor gets only models of it and of none */
  vendor?: string
  /** `family-model`, or `family-model:first-last` for some steppings of it */
  signatures?: string
  /** false: never chosen for a guest's CPU unless the user names it */
  guest?: false
  /** false: never chosen for a host's CPU */
  host?: false
  /** false: a partial check believes QEMU's word of what the model needs, not this map's */
  compatCheck?: false
  /** the model's features of VMX: the name of a set */
  vmx?: string
  /** such a set that QEMU always gave and libvirt learned later: not part of the model, and no harm in a full check */
  addedVmx?: string
  /** once part of the model in QEMU, no longer: always told to QEMU, in this order */
  removed?: string
}

/** Sets of VMX features, by the first model that has each. */
const VMX_SETS: Record<string, SetRow> = {
  coreduo: {
    adds: `
      vmx-activity-hlt vmx-intr-exit vmx-nmi-exit vmx-vintr-pending vmx-tsc-offset vmx-hlt-exit vmx-invlpg-exit
      vmx-mwait-exit vmx-rdpmc-exit vmx-rdtsc-exit vmx-movdr-exit vmx-io-exit vmx-io-bitmap vmx-msr-bitmap
      vmx-monitor-exit vmx-pause-exit vmx-exit-ack-intr vmx-entry-ia32e-mode
    `
  },
  core2duo: {
    like: 'coreduo',
    adds: `
      vmx-ins-outs vmx-apicv-xapic vmx-vnmi vmx-cr8-load-exit vmx-cr8-store-exit vmx-flexpriority vmx-vnmi-pending
      vmx-secondary-ctls
    `
  },
  kvm64: {
    like: 'coreduo',
    adds: 'vmx-cr8-load-exit vmx-cr8-store-exit vmx-flexpriority',
    lacks: 'vmx-msr-bitmap'
  },
  Penryn: {
    like: 'core2duo',
    adds: 'vmx-wbinvd-exit vmx-exit-load-perf-global-ctrl vmx-entry-load-perf-global-ctrl'
  },
  Nehalem: {
    like: 'Penryn',
    adds: `
      vmx-true-ctls vmx-ept vmx-desc-exit vmx-rdtscp-exit vmx-apicv-x2apic vmx-vpid vmx-ept-execonly
      vmx-page-walk-4 vmx-ept-2mb vmx-ept-1gb vmx-invept vmx-invept-single-context vmx-invept-all-context
      vmx-invvpid vmx-invvpid-single-addr vmx-invvpid-all-context vmx-invvpid-single-context-noglobals
      vmx-preemption-timer vmx-cr3-load-noexit vmx-cr3-store-noexit vmx-mtf vmx-exit-nosave-debugctl
      vmx-exit-save-pat vmx-exit-load-pat vmx-exit-save-efer vmx-exit-load-efer vmx-exit-save-preemption-timer
      vmx-entry-noload-debugctl vmx-entry-load-pat vmx-entry-load-efer
    `
  },
  Westmere: {
    like: 'Nehalem',
    adds: 'vmx-store-lma vmx-unrestricted-guest'
  },
  IvyBridge: {
    like: 'Westmere',
    adds: 'vmx-apicv-register vmx-apicv-vid vmx-rdrand-exit vmx-posted-intr'
  },
  'Haswell-noTSX': {
    like: 'IvyBridge',
    adds: 'vmx-vmwrite-vmexit-fields vmx-invpcid-exit vmx-vmfunc vmx-shadow-vmcs vmx-eptad vmx-eptp-switching'
  },
  'Broadwell-noTSX': {
    like: 'Haswell-noTSX',
    adds: 'vmx-rdseed-exit vmx-pml'
  },
  'Skylake-Client': {
    like: 'Broadwell-noTSX',
    lacks: 'vmx-apicv-x2apic vmx-apicv-register vmx-apicv-vid vmx-posted-intr'
  },
  'Skylake-Client-noTSX-IBRS': {
    like: 'Skylake-Client',
    adds: 'vmx-xsaves'
  },
  'Skylake-Client-v4': {
    like: 'Skylake-Client-noTSX-IBRS',
    lacks: 'vmx-invvpid'
  },
  'Skylake-Server': {
    like: 'Broadwell-noTSX',
    lacks: 'vmx-eptp-switching'
  },
  'Skylake-Server-noTSX-IBRS': {
    like: 'Broadwell-noTSX',
    adds: 'vmx-xsaves'
  },
  'Skylake-Server-v4': {
    like: 'Broadwell-noTSX',
    lacks: 'vmx-invvpid'
  },
  'Skylake-Server-v5': {
    like: 'Skylake-Server-noTSX-IBRS',
    lacks: 'vmx-invvpid'
  },
  'Cascadelake-Server-v2': {
    like: 'Skylake-Server',
    lacks: 'vmx-invvpid'
  },
  'Icelake-Server': {
    like: 'Haswell-noTSX',
    lacks: 'vmx-eptp-switching'
  },
  'Icelake-Server-noTSX': {
    like: 'Skylake-Server-noTSX-IBRS',
    adds: 'vmx-page-walk-5'
  },
  'Icelake-Server-v3': {
    like: 'Icelake-Server',
    lacks: 'vmx-invvpid'
  },
  'Icelake-Server-v6': {
    like: 'Skylake-Server-v5',
    adds: 'vmx-page-walk-5'
  }
}

/** Models; a mere name says that QEMU has this version of that model under two names. */
const ROWS: Record<string, ModelRow | string> = {
  '486': {
    adds: 'fpu vme pse'
  },
  '486-v1': '486',
  pentium: {
    like: '486',
    adds: 'de tsc msr mce cx8 mmx'
  },
  'pentium-v1': 'pentium',
  pentium2: {
    like: 'pentium',
    adds: 'pae sep mtrr pge mca cmov pat pse36 fxsr'
  },
  'pentium2-v1': 'pentium2',
  pentium3: {
    like: 'pentium2',
    adds: 'sse'
  },
  'pentium3-v1': 'pentium3',
  pentiumpro: {
    like: 'pentium3',
    adds: 'apic sse2',
    lacks: 'vme mtrr mca pse36'
  },
  coreduo: {
    vendor: 'Intel',
    like: 'pentium3',
    adds: 'apic clflush sse2 pni monitor nx',
    lacks: 'pse36',
    addedVmx: 'coreduo'
  },
  'coreduo-v1': 'coreduo',
  n270: {
    vendor: 'Intel',
    like: 'coreduo',
    adds: 'ssse3'
  },
  'n270-v1': 'n270',
  core2duo: {
    vendor: 'Intel',
    like: 'n270',
    adds: 'pse36 syscall lm',
    addedVmx: 'core2duo'
  },
  'core2duo-v1': 'core2duo',
  qemu32: {
    like: 'pentiumpro',
    adds: 'pni'
  },
  'qemu32-v1': 'qemu32',
  kvm32: {
    like: 'coreduo',
    adds: 'pse36',
    lacks: 'vme monitor nx',
    addedVmx: 'coreduo'
  },
  'kvm32-v1': 'kvm32',
  'cpu64-rhel5': {
    guest: false,
    host: false,
    like: 'core2duo',
    lacks: 'vme monitor ssse3'
  },
  'cpu64-rhel6': {
    guest: false,
    host: false,
    like: 'cpu64-rhel5',
    adds: 'cx16 lahf_lm'
  },
  qemu64: {
    like: 'cpu64-rhel5',
    adds: 'cx16 svm'
  },
  'qemu64-v1': 'qemu64',
  kvm64: {
    like: 'cpu64-rhel5',
    adds: 'cx16',
    addedVmx: 'kvm64'
  },
  'kvm64-v1': 'kvm64',
  Conroe: {
    vendor: 'Intel',
    signatures: '6-15 6-22',
    like: 'cpu64-rhel5',
    adds: 'ssse3 lahf_lm',
    addedVmx: 'core2duo'
  },
  'Conroe-v1': 'Conroe',
  Penryn: {
    vendor: 'Intel',
    signatures: '6-23 6-29',
    like: 'cpu64-rhel6',
    adds: 'ssse3 sse4.1',
    addedVmx: 'Penryn'
  },
  'Penryn-v1': 'Penryn',
  Nehalem: {
    vendor: 'Intel',
    signatures: '6-26 6-30 6-31 6-46',
    like: 'Penryn',
    adds: 'sse4.2 popcnt',
    addedVmx: 'Nehalem'
  },
  'Nehalem-IBRS': {
    vendor: 'Intel',
    signatures: '6-26 6-30 6-31 6-46',
    like: 'Nehalem',
    adds: 'spec-ctrl',
    addedVmx: 'Nehalem'
  },
  'Nehalem-v1': 'Nehalem',
  'Nehalem-v2': 'Nehalem-IBRS',
  Westmere: {
    vendor: 'Intel',
    signatures: '6-44 6-47 6-37',
    like: 'Nehalem',
    adds: 'aes',
    addedVmx: 'Westmere'
  },
  'Westmere-IBRS': {
    vendor: 'Intel',
    signatures: '6-44',
    like: 'Nehalem-IBRS',
    adds: 'aes',
    addedVmx: 'Westmere'
  },
  'Westmere-v1': 'Westmere',
  'Westmere-v2': 'Westmere-IBRS',
  SandyBridge: {
    vendor: 'Intel',
    signatures: '6-42 6-45',
    like: 'Westmere',
    adds: 'pclmuldq x2apic tsc-deadline xsave avx rdtscp',
    addedVmx: 'Westmere'
  },
  'SandyBridge-IBRS': {
    vendor: 'Intel',
    signatures: '6-42 6-45',
    like: 'SandyBridge',
    adds: 'spec-ctrl',
    addedVmx: 'Westmere'
  },
  'SandyBridge-v1': 'SandyBridge',
  'SandyBridge-v2': 'SandyBridge-IBRS',
  IvyBridge: {
    vendor: 'Intel',
    signatures: '6-58 6-62',
    like: 'SandyBridge',
    adds: 'vme f16c rdrand fsgsbase smep erms',
    addedVmx: 'IvyBridge'
  },
  'IvyBridge-IBRS': {
    vendor: 'Intel',
    signatures: '6-58 6-62',
    like: 'IvyBridge',
    adds: 'spec-ctrl',
    addedVmx: 'IvyBridge'
  },
  'IvyBridge-v1': 'IvyBridge',
  'IvyBridge-v2': 'IvyBridge-IBRS',
  'Haswell-noTSX': {
    vendor: 'Intel',
    signatures: '6-60 6-63 6-69 6-70',
    like: 'SandyBridge',
    adds: 'fma pcid movbe fsgsbase bmi1 avx2 smep bmi2 erms invpcid',
    addedVmx: 'Haswell-noTSX'
  },
  'Haswell-noTSX-IBRS': {
    vendor: 'Intel',
    signatures: '6-60 6-63 6-69 6-70',
    like: 'Haswell-noTSX',
    adds: 'spec-ctrl',
    addedVmx: 'Haswell-noTSX'
  },
  Haswell: {
    vendor: 'Intel',
    signatures: '6-60 6-63 6-69 6-70',
    like: 'Haswell-noTSX',
    adds: 'hle rtm',
    addedVmx: 'Haswell-noTSX'
  },
  'Haswell-IBRS': {
    vendor: 'Intel',
    signatures: '6-60 6-63 6-69 6-70',
    like: 'Haswell',
    adds: 'spec-ctrl',
    addedVmx: 'Haswell-noTSX'
  },
  'Haswell-v1': 'Haswell',
  'Haswell-v2': 'Haswell-noTSX',
  'Haswell-v3': 'Haswell-IBRS',
  'Haswell-v4': 'Haswell-noTSX-IBRS',
  'Broadwell-noTSX': {
    vendor: 'Intel',
    signatures: '6-61 6-71 6-79 6-86',
    like: 'Haswell-noTSX',
    adds: 'rdseed adx smap 3dnowprefetch',
    addedVmx: 'Broadwell-noTSX'
  },
  'Broadwell-noTSX-IBRS': {
    vendor: 'Intel',
    signatures: '6-61 6-71 6-79 6-86',
    like: 'Broadwell-noTSX',
    adds: 'spec-ctrl',
    addedVmx: 'Broadwell-noTSX'
  },
  Broadwell: {
    vendor: 'Intel',
    signatures: '6-61 6-71 6-79 6-86',
    like: 'Broadwell-noTSX',
    adds: 'hle rtm',
    addedVmx: 'Broadwell-noTSX'
  },
  'Broadwell-IBRS': {
    vendor: 'Intel',
    signatures: '6-61 6-71 6-79 6-86',
    like: 'Broadwell',
    adds: 'spec-ctrl',
    addedVmx: 'Broadwell-noTSX'
  },
  'Broadwell-v1': 'Broadwell',
  'Broadwell-v2': 'Broadwell-noTSX',
  'Broadwell-v3': 'Broadwell-IBRS',
  'Broadwell-v4': 'Broadwell-noTSX-IBRS',
  'Skylake-Client': {
    vendor: 'Intel',
    signatures: '6-94 6-78 6-142 6-158',
    like: 'Broadwell',
    adds: 'f16c rdrand vme arat xsaveopt xsavec xgetbv1 abm',
    addedVmx: 'Skylake-Client',
    removed: 'mpx'
  },
  'Skylake-Client-IBRS': {
    vendor: 'Intel',
    signatures: '6-94 6-78 6-142 6-158',
    like: 'Skylake-Client',
    adds: 'spec-ctrl',
    addedVmx: 'Skylake-Client',
    removed: 'mpx'
  },
  'Skylake-Client-noTSX-IBRS': {
    vendor: 'Intel',
    signatures: '6-94 6-78 6-142 6-158',
    guest: false,
    like: 'Skylake-Client-IBRS',
    lacks: 'hle rtm',
    addedVmx: 'Skylake-Client-noTSX-IBRS',
    removed: 'mpx'
  },
  'Skylake-Client-v1': 'Skylake-Client',
  'Skylake-Client-v2': 'Skylake-Client-IBRS',
  'Skylake-Client-v3': 'Skylake-Client-noTSX-IBRS',
  'Skylake-Client-v4': {
    vendor: 'Intel',
    signatures: '6-94 6-78 6-142 6-158',
    guest: false,
    compatCheck: false,
    like: 'Skylake-Client-noTSX-IBRS',
    adds: 'xsaves',
    vmx: 'Skylake-Client-v4'
  },
  'Skylake-Server': {
    vendor: 'Intel',
    signatures: '6-85:0-4',
    like: 'Skylake-Client',
    adds: 'avx512f avx512dq clwb avx512cd avx512bw avx512vl pdpe1gb',
    addedVmx: 'Skylake-Server',
    removed: 'mpx'
  },
  'Skylake-Server-IBRS': {
    vendor: 'Intel',
    signatures: '6-85:0-4',
    like: 'Skylake-Server',
    adds: 'spec-ctrl',
    addedVmx: 'Skylake-Server',
    removed: 'mpx'
  },
  'Skylake-Server-noTSX-IBRS': {
    vendor: 'Intel',
    signatures: '6-85:0-4',
    guest: false,
    like: 'Skylake-Server-IBRS',
    lacks: 'hle rtm',
    addedVmx: 'Skylake-Server-noTSX-IBRS',
    removed: 'mpx'
  },
  'Skylake-Server-v1': 'Skylake-Server',
  'Skylake-Server-v2': 'Skylake-Server-IBRS',
  'Skylake-Server-v3': 'Skylake-Server-noTSX-IBRS',
  'Skylake-Server-v4': {
    vendor: 'Intel',
    signatures: '6-85:0-4',
    guest: false,
    compatCheck: false,
    like: 'Skylake-Server-noTSX-IBRS',
    adds: 'pku',
    vmx: 'Skylake-Server-v4'
  },
  'Skylake-Server-v5': {
    vendor: 'Intel',
    signatures: '6-85:0-4',
    guest: false,
    compatCheck: false,
    like: 'Skylake-Server-v4',
    adds: 'xsaves',
    vmx: 'Skylake-Server-v5'
  },
  'Cascadelake-Server': {
    vendor: 'Intel',
    signatures: '6-85:5-7',
    like: 'Skylake-Server-IBRS',
    adds: 'clflushopt avx512vnni ssbd',
    addedVmx: 'Skylake-Server',
    removed: 'mpx'
  },
  'Cascadelake-Server-noTSX': {
    vendor: 'Intel',
    signatures: '6-85:5-7',
    guest: false,
    like: 'Cascadelake-Server',
    lacks: 'hle rtm',
    addedVmx: 'Skylake-Server-noTSX-IBRS',
    removed: 'mpx'
  },
  'Cascadelake-Server-v1': 'Cascadelake-Server',
  'Cascadelake-Server-v2': {
    vendor: 'Intel',
    signatures: '6-85:5-7',
    guest: false,
    compatCheck: false,
    like: 'Cascadelake-Server',
    adds: 'pku arch-capabilities rdctl-no ibrs-all skip-l1dfl-vmentry mds-no',
    vmx: 'Cascadelake-Server-v2'
  },
  'Cascadelake-Server-v3': 'Cascadelake-Server-noTSX',
  'Cascadelake-Server-v4': {
    vendor: 'Intel',
    signatures: '6-85:5-7',
    guest: false,
    compatCheck: false,
    like: 'Cascadelake-Server-v2',
    lacks: 'hle rtm',
    vmx: 'Skylake-Server-v4'
  },
  'Cascadelake-Server-v5': {
    vendor: 'Intel',
    signatures: '6-85:5-7',
    guest: false,
    compatCheck: false,
    like: 'Cascadelake-Server-v4',
    adds: 'xsaves',
    vmx: 'Skylake-Server-v5'
  },
  'Icelake-Client': {
    vendor: 'Intel',
    signatures: '6-126',
    like: 'Skylake-Client-IBRS',
    adds: `
      mpx avx512vbmi umip pku avx512vbmi2 gfni vaes vpclmulqdq avx512vnni avx512bitalg avx512-vpopcntdq ssbd
      wbnoinvd
    `,
    removed: 'intel-pt'
  },
  'Icelake-Client-noTSX': {
    vendor: 'Intel',
    signatures: '6-126',
    guest: false,
    like: 'Icelake-Client',
    lacks: 'hle rtm',
    removed: 'intel-pt'
  },
  'Icelake-Server': {
    vendor: 'Intel',
    signatures: '6-106',
    like: 'Icelake-Client',
    adds: 'avx512f avx512dq clflushopt clwb avx512cd avx512bw avx512vl la57 pdpe1gb',
    lacks: 'mpx',
    addedVmx: 'Icelake-Server',
    removed: 'intel-pt mpx'
  },
  'Icelake-Server-noTSX': {
    vendor: 'Intel',
    signatures: '6-106',
    guest: false,
    like: 'Icelake-Server',
    lacks: 'hle rtm',
    addedVmx: 'Icelake-Server-noTSX',
    removed: 'intel-pt mpx'
  },
  'Icelake-Server-v1': 'Icelake-Server',
  'Icelake-Server-v2': 'Icelake-Server-noTSX',
  'Icelake-Server-v3': {
    vendor: 'Intel',
    signatures: '6-106',
    guest: false,
    compatCheck: false,
    like: 'Icelake-Server-noTSX',
    adds: 'arch-capabilities rdctl-no ibrs-all skip-l1dfl-vmentry mds-no pschange-mc-no taa-no',
    vmx: 'Icelake-Server-v3'
  },
  'Icelake-Server-v4': {
    vendor: 'Intel',
    signatures: '6-106',
    guest: false,
    compatCheck: false,
    like: 'Icelake-Server-v3',
    adds: 'avx512ifma sha-ni rdpid fsrm',
    vmx: 'Skylake-Server-v4'
  },
  'Icelake-Server-v5': {
    vendor: 'Intel',
    signatures: '6-106',
    guest: false,
    compatCheck: false,
    like: 'Icelake-Server-v4',
    adds: 'xsaves',
    vmx: 'Skylake-Server-v5'
  },
  'Icelake-Server-v6': {
    vendor: 'Intel',
    signatures: '6-106',
    guest: false,
    compatCheck: false,
    like: 'Icelake-Server-v5',
    vmx: 'Icelake-Server-v6'
  },
  'Icelake-Server-v7': {
    vendor: 'Intel',
    signatures: '6-106',
    guest: false,
    compatCheck: false,
    like: 'Icelake-Server-v6',
    adds: 'hle rtm',
    vmx: 'Icelake-Server-v6'
  },
  Cooperlake: {
    vendor: 'Intel',
    signatures: '6-85:10-11',
    like: 'Cascadelake-Server',
    adds: `
      pku stibp arch-capabilities avx512-bf16 rdctl-no ibrs-all skip-l1dfl-vmentry mds-no pschange-mc-no taa-no
    `,
    addedVmx: 'Skylake-Server-noTSX-IBRS'
  },
  'Cooperlake-v1': 'Cooperlake',
  'Cooperlake-v2': {
    vendor: 'Intel',
    signatures: '6-85:10-11',
    guest: false,
    compatCheck: false,
    like: 'Cooperlake',
    adds: 'xsaves',
    vmx: 'Skylake-Server-v5'
  },
  Snowridge: {
    vendor: 'Intel',
    signatures: '6-134',
    like: 'IvyBridge-IBRS',
    adds: `
      movbe arat rdseed smap clflushopt clwb sha-ni umip gfni cldemote movdiri movdir64b arch-capabilities
      core-capability ssbd xsaveopt xsavec xgetbv1 pdpe1gb 3dnowprefetch split-lock-detect
    `,
    lacks: 'avx f16c',
    addedVmx: 'Skylake-Server-noTSX-IBRS'
  },
  'Snowridge-v1': 'Snowridge',
  'Snowridge-v2': {
    vendor: 'Intel',
    signatures: '6-134',
    guest: false,
    compatCheck: false,
    like: 'Snowridge',
    vmx: 'Skylake-Server-v4'
  },
  'Snowridge-v3': {
    vendor: 'Intel',
    signatures: '6-134',
    guest: false,
    compatCheck: false,
    like: 'Snowridge-v2',
    adds: 'xsaves',
    vmx: 'Skylake-Server-v5'
  },
  'Snowridge-v4': {
    vendor: 'Intel',
    signatures: '6-134',
    guest: false,
    compatCheck: false,
    like: 'Snowridge-v3',
    lacks: 'core-capability split-lock-detect',
    vmx: 'Skylake-Server-v5'
  },
  SapphireRapids: {
    vendor: 'Intel',
    signatures: '6-143',
    like: 'Icelake-Server-v7',
    adds: `
      bus-lock-detect serialize tsx-ldtrk amx-bf16 avx512-fp16 amx-tile amx-int8 avx-vnni avx512-bf16 fzrm fsrs
      fsrc xfd
    `,
    addedVmx: 'Icelake-Server-noTSX'
  },
  'SapphireRapids-v1': 'SapphireRapids',
  'SapphireRapids-v2': {
    vendor: 'Intel',
    signatures: '6-143',
    guest: false,
    compatCheck: false,
    like: 'SapphireRapids',
    adds: 'sbdr-ssdp-no fbsdp-no psdp-no',
    vmx: 'Icelake-Server-v6'
  },
  'SapphireRapids-v3': {
    vendor: 'Intel',
    signatures: '6-143',
    guest: false,
    compatCheck: false,
    like: 'SapphireRapids-v2',
    adds: 'ss tsc_adjust cldemote movdiri movdir64b',
    vmx: 'Icelake-Server-v6'
  },
  GraniteRapids: {
    vendor: 'Intel',
    signatures: '6-173',
    like: 'SapphireRapids-v2',
    adds: 'amx-fp16 prefetchiti mcdt-no pbrsb-no',
    vmx: 'Icelake-Server-noTSX'
  },
  'GraniteRapids-v1': 'GraniteRapids',
  'GraniteRapids-v2': {
    vendor: 'Intel',
    signatures: '6-173',
    guest: false,
    compatCheck: false,
    like: 'SapphireRapids-v3',
    adds: 'amx-fp16 prefetchiti avx10 mcdt-no avx10-128 avx10-256 avx10-512 pbrsb-no',
    vmx: 'Icelake-Server-v6'
  },
  SierraForest: {
    vendor: 'Intel',
    signatures: '6-175',
    like: 'Icelake-Server-v6',
    adds: `
      bus-lock-detect serialize avx-vnni cmpccxadd fsrs avx-ifma avx-vnni-int8 avx-ne-convert mcdt-no sbdr-ssdp-no
      fbsdp-no psdp-no pbrsb-no
    `,
    lacks: `
      avx512f avx512dq avx512ifma avx512cd avx512bw avx512vl avx512vbmi avx512vbmi2 avx512vnni avx512bitalg
      avx512-vpopcntdq la57 taa-no
    `,
    vmx: 'Skylake-Server-noTSX-IBRS'
  },
  'SierraForest-v1': 'SierraForest',
  Denverton: {
    vendor: 'Intel',
    signatures: '6-95',
    compatCheck: false,
    like: 'Snowridge-v4',
    adds: 'mpx rdctl-no skip-l1dfl-vmentry',
    lacks: 'clwb umip gfni cldemote movdiri movdir64b xsaves',
    vmx: 'Skylake-Server-v4'
  },
  'Denverton-v1': 'Denverton',
  'Denverton-v2': {
    vendor: 'Intel',
    signatures: '6-95',
    guest: false,
    compatCheck: false,
    like: 'Denverton',
    lacks: 'mpx',
    vmx: 'Skylake-Server-v4'
  },
  'Denverton-v3': {
    vendor: 'Intel',
    signatures: '6-95',
    guest: false,
    compatCheck: false,
    like: 'Denverton-v2',
    adds: 'xsaves',
    vmx: 'Skylake-Server-v5'
  },
  KnightsMill: {
    vendor: 'Intel',
    signatures: '6-133',
    compatCheck: false,
    like: 'Skylake-Client-noTSX-IBRS',
    adds: 'ss avx512f avx512pf avx512er avx512cd avx512-vpopcntdq avx512-4vnniw avx512-4fmaps pdpe1gb',
    lacks: 'pcid invpcid smap spec-ctrl xsavec xgetbv1'
  },
  'KnightsMill-v1': 'KnightsMill',
  athlon: {
    vendor: 'AMD',
    like: 'pentium3',
    adds: 'apic sse2 mmxext 3dnowext 3dnow',
    lacks: 'mca'
  },
  'athlon-v1': 'athlon',
  phenom: {
    vendor: 'AMD',
    like: 'cpu64-rhel5',
    adds: 'monitor mmxext fxsr_opt 3dnowext 3dnow svm'
  },
  'phenom-v1': 'phenom',
  Opteron_G1: {
    vendor: 'AMD',
    signatures: '15-6',
    like: 'cpu64-rhel5'
  },
  'Opteron_G1-v1': 'Opteron_G1',
  Opteron_G2: {
    vendor: 'AMD',
    signatures: '15-6',
    like: 'cpu64-rhel6',
    adds: 'rdtscp svm'
  },
  'Opteron_G2-v1': 'Opteron_G2',
  Opteron_G3: {
    vendor: 'AMD',
    signatures: '15-6',
    like: 'Opteron_G2',
    adds: 'popcnt abm sse4a misalignsse',
    removed: 'monitor'
  },
  'Opteron_G3-v1': 'Opteron_G3',
  Opteron_G4: {
    vendor: 'AMD',
    signatures: '21-1',
    like: 'SandyBridge',
    adds: 'pdpe1gb svm abm sse4a misalignsse 3dnowprefetch xop fma4',
    lacks: 'x2apic tsc-deadline'
  },
  'Opteron_G4-v1': 'Opteron_G4',
  Opteron_G5: {
    vendor: 'AMD',
    signatures: '21-2',
    like: 'Opteron_G4',
    adds: 'fma f16c tbm'
  },
  'Opteron_G5-v1': 'Opteron_G5',
  EPYC: {
    vendor: 'AMD',
    signatures: '23-1',
    like: 'Skylake-Client-noTSX-IBRS',
    adds: 'clflushopt sha-ni mmxext fxsr_opt pdpe1gb svm cr8legacy sse4a misalignsse osvw',
    lacks: 'pcid x2apic tsc-deadline erms invpcid spec-ctrl',
    removed: 'monitor'
  },
  'EPYC-IBPB': {
    vendor: 'AMD',
    signatures: '23-1',
    like: 'EPYC',
    adds: 'ibpb',
    removed: 'monitor'
  },
  'EPYC-v1': 'EPYC',
  'EPYC-v2': 'EPYC-IBPB',
  'EPYC-v3': {
    vendor: 'AMD',
    signatures: '23-1',
    guest: false,
    compatCheck: false,
    like: 'EPYC-IBPB',
    adds: 'xsaves perfctr_core clzero xsaveerptr npt nrip-save'
  },
  'EPYC-v4': {
    vendor: 'AMD',
    signatures: '23-1',
    guest: false,
    compatCheck: false,
    like: 'EPYC-v3'
  },
  'EPYC-Rome': {
    vendor: 'AMD',
    signatures: '23-49',
    like: 'EPYC-IBPB',
    adds: 'clwb umip rdpid perfctr_core clzero xsaveerptr wbnoinvd amd-stibp npt nrip-save'
  },
  'EPYC-Rome-v1': 'EPYC-Rome',
  'EPYC-Rome-v2': {
    vendor: 'AMD',
    signatures: '23-49',
    guest: false,
    compatCheck: false,
    like: 'EPYC-Rome',
    adds: 'xsaves ibrs amd-ssbd'
  },
  'EPYC-Rome-v3': {
    vendor: 'AMD',
    signatures: '23-49',
    guest: false,
    compatCheck: false,
    like: 'EPYC-Rome-v2'
  },
  'EPYC-Rome-v4': {
    vendor: 'AMD',
    signatures: '23-49',
    guest: false,
    compatCheck: false,
    like: 'EPYC-Rome-v3',
    lacks: 'xsaves'
  },
  'EPYC-Milan': {
    vendor: 'AMD',
    signatures: '25-1',
    like: 'EPYC-Rome',
    adds: 'pcid erms invpcid pku fsrm xsaves ibrs amd-ssbd svme-addr-chk'
  },
  'EPYC-Milan-v1': 'EPYC-Milan',
  'EPYC-Milan-v2': {
    vendor: 'AMD',
    signatures: '25-1',
    guest: false,
    compatCheck: false,
    like: 'EPYC-Milan',
    adds: `
      vaes vpclmulqdq stibp-always-on amd-psfd no-nested-data-bp lfence-always-serializing null-sel-clr-base
    `
  },
  'EPYC-Genoa': {
    vendor: 'AMD',
    signatures: '25-17',
    like: 'EPYC-Milan-v2',
    adds: `
      avx512f avx512dq avx512ifma avx512cd avx512bw avx512vl avx512vbmi avx512vbmi2 gfni avx512vnni avx512bitalg
      avx512-vpopcntdq la57 avx512-bf16 vnmi auto-ibrs
    `
  },
  'EPYC-Genoa-v1': 'EPYC-Genoa',
  Dhyana: {
    vendor: 'Hygon',
    signatures: '24-0',
    like: 'EPYC-IBPB',
    lacks: 'pclmuldq aes sha-ni',
    removed: 'monitor'
  },
  'Dhyana-v1': 'Dhyana',
  'Dhyana-v2': {
    vendor: 'Hygon',
    signatures: '24-0',
    guest: false,
    compatCheck: false,
    like: 'Dhyana',
    adds: 'xsaves npt nrip-save'
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
  /** a partial check compares with the host by this map */
  compatCheck: boolean
  features: ReadonlySet<string>
  /** features that are no part of the model although QEMU gives them with it */
  added: ReadonlySet<string>
  removed: readonly string[]
  hasSignature(of: { family: number; model: number; stepping: number }): boolean
}

const STEPPING_MAX = 15

function parseSignature(text: string): Signature {
  const [, family, model, first = '0', last = String(STEPPING_MAX)] = /^(\d+)-(\d+)(?::(\d+)-(\d+))?$/.exec(text)!
  return { family: Number(family), model: Number(model), first: Number(first), last: Number(last) }
}

/** Names of all models, oldest first. */
export const cpuModelNames = (): string[] => Object.keys(ROWS)

/** The name of the version that a model without one stands for, if it is such a model (virCPUx86GetCanonicalModel). */
export const canonicalModel = (name: string): string | undefined =>
  Object.keys(ROWS).find(version => ROWS[version] === name)

const made = new Map<string, CpuModel>()

/** The model of that name. Made when first asked for: few starts have need of more than one. */
export function cpuModel(name: string): CpuModel | undefined {
  const row = Object.hasOwn(ROWS, name) ? ROWS[name] : undefined
  if (row === undefined) return undefined
  const model = made.get(name) ?? (typeof row === 'string' ? versionOf(name, cpuModel(row)!) : makeModel(name, row))
  made.set(name, model)
  return model
}

/** The same model by the name of its version: what is said of the other name's past does not hold for it. */
const versionOf = (name: string, model: CpuModel): CpuModel => ({
  ...model,
  name,
  guest: false,
  host: true,
  compatCheck: false,
  added: NONE,
  removed: []
})

const words = (text = ''): string[] => text.split(/\s+/).filter(Boolean)

const sets = new Map<SetRow, ReadonlySet<string>>()

/** Features of a row, and of the rows it is like. */
function setOf(row: SetRow, rows: Record<string, SetRow | string>): ReadonlySet<string> {
  const known = sets.get(row)
  if (known) return known
  const like = row.like === undefined ? undefined : rows[row.like]
  const set = new Set(typeof like === 'object' ? setOf(like, rows) : [])
  for (const name of words(row.adds)) set.add(name)
  for (const name of words(row.lacks)) set.delete(name)
  sets.set(row, set)
  return set
}

const NONE: ReadonlySet<string> = new Set()

const vmxSet = (name: string | undefined): ReadonlySet<string> =>
  name === undefined ? NONE : setOf(VMX_SETS[name]!, VMX_SETS)

function makeModel(name: string, row: ModelRow): CpuModel {
  const signatures = words(row.signatures).map(parseSignature)
  const own = setOf(row, ROWS)
  return {
    name,
    ...(row.vendor && { vendor: row.vendor }),
    signatures,
    guest: row.guest ?? true,
    host: row.host ?? true,
    compatCheck: row.compatCheck ?? true,
    features: row.vmx === undefined ? own : new Set([...own, ...vmxSet(row.vmx)]),
    added: vmxSet(row.addedVmx),
    removed: words(row.removed),
    hasSignature: ({ family, model, stepping }) =>
      signatures.some(
        one => one.family === family && one.model === model && stepping >= one.first && stepping <= one.last
      )
  }
}

/** All models, oldest first. */
export const cpuModels = (): CpuModel[] => cpuModelNames().map(name => cpuModel(name)!)
