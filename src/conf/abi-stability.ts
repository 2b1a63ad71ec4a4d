// What a guest sees of its machine: two definitions that differ in it cannot have the same memory. One table, in libvirt's
// order; a row is the error's words and what must be the same (virDomainDefCheckABIStability).
import { type Bitmap, bitsOf } from './bitmap.ts'
import { controllerModels } from './devices/controller-models.ts'
import type { Address } from './devices/device-address.ts'
import type { DeviceInfo, virtioDriver } from './devices/device-info.ts'
import type { Devices } from './devices/index.ts'
import type { CpuDef } from './domain/cpu.ts'
import type { FeaturesDef } from './domain/features.ts'
import { initialMemoryKiB } from './domain/memory.ts'
import { cellCpus, cellDistance, numaCells } from './domain/numa.ts'
import { LISTED_MAX } from './domain/vcpu.ts'
import type { DomainDef } from './domain-def.ts'
import type { Def } from './element.ts'
import { errorsFrom } from './error.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')
const failCpu = errorsFrom('VIR_FROM_CPU')

/** `%d` in the words is what the new definition has, `%s` what the old one had. */
type Row<T> = readonly [words: string, read: (of: T) => unknown]
type Rows<T> = readonly Row<T>[]

/** Forms of values in libvirt's messages. */
const text = (value: string | undefined) => value ?? '<null>'
const number = (value: number | bigint | undefined) => value ?? 0
const onOff = (value: boolean | undefined) => (value === undefined ? 'default' : value ? 'on' : 'off')
const yesNo = (value: boolean | undefined) => (value === undefined ? 'default' : value ? 'yes' : 'no')
const given = (value: unknown) => value !== undefined
const hex = (value: number | undefined, digits: number) => (value ?? 0).toString(16).padStart(digits, '0')

/** The same rows, of a part. */
const of = <T, P>(part: (of: T) => P, rows: Rows<P>): Rows<T> =>
  rows.map(([words, read]) => [words, one => read(part(one))])

const VIRTIO: Rows<Def<typeof virtioDriver> | undefined> = [
  ["Target device iommu option '%d' does not match source '%s'", driver => onOff(driver?.iommu)],
  ["Target device ats option '%d' does not match source '%s'", driver => onOff(driver?.ats)],
  ["Target device packed option '%d' does not match source '%s'", driver => onOff(driver?.packed)],
  ["Target device page_per_vq option '%d' does not match source '%s'", driver => onOff(driver?.pagePerVq)]
]
const virtio = <T extends { driver?: Def<typeof virtioDriver> | undefined }>(): Rows<T> =>
  of(({ driver }: T) => driver, VIRTIO)

/** Addresses that count, each as it is written in messages. */
const ADDRESSES: Partial<Record<Address['type'], readonly [what: string, read: (address: never) => string]>> = {
  pci: [
    'PCI address',
    ({ domain, bus, slot, function: fn }: { domain: number; bus: number; slot: number; function: number }) =>
      `${hex(domain, 4)}:${hex(bus, 2)}:${hex(slot, 2)}.${fn}`
  ],
  drive: [
    'drive address',
    ({ controller, bus, unit }: { controller: number; bus: number; unit: number }) => `${controller}:${bus}:${unit}`
  ],
  'virtio-serial': [
    'virtio serial address',
    ({ controller, bus, port }: { controller: number; bus: number; port: number }) => `${controller}:${bus}:${port}`
  ],
  ccid: ['ccid address', ({ controller, slot }: { controller: number; slot: number }) => `${controller}:${slot}`],
  isa: ['isa address', ({ iobase, irq }: { iobase?: number; irq?: number }) => `${iobase ?? 0}:${irq ?? 0}`],
  ccw: [
    'CCW address',
    ({ cssid, ssid, devno }: { cssid?: number; ssid?: number; devno?: number }) =>
      `${hex(cssid, 1)}.${hex(ssid, 1)}.${hex(devno, 4)}`
  ]
}

const addressOf =
  (type: Address['type']) =>
  ({ address }: DeviceInfo): string | undefined =>
    address?.type === type ? ADDRESSES[type]![1](address as never) : undefined

const dimm = ({ address }: DeviceInfo) => (address?.type === 'dimm' ? address : undefined)

/** Of every device (virDomainDeviceInfoCheckABIStability). */
const INFO: Rows<DeviceInfo> = [
  ['Target device address type %d does not match source %s', ({ address }) => address?.type ?? 'none'],
  ...Object.entries(ADDRESSES).map(
    ([type, [what]]): Row<DeviceInfo> => [
      `Target device ${what} %d does not match source %s`,
      addressOf(type as Address['type'])
    ]
  ),
  ['Target device dimm slot %d does not match source %s', dev => number(dimm(dev)?.slot)],
  ["Target device dimm base address '%d' does not match source '%s'", dev => number(dimm(dev)?.base).toString(16)],
  ["Target ACPI index '%d' does not match source '%s'", ({ acpiIndex }) => number(acpiIndex)]
]

type Of<K extends keyof Devices> = Devices[K] extends (infer D)[] ? D : never

/** A family's rows, and libvirt's name of its count; without one there is at most one such device. */
interface FamilyRows<D> {
  count: string
  rows: Rows<D>
}

const TRANSITIONS = new Set(['pci', 'mdev'])
const modelNumber = ({ type, model }: Of<'controllers'>) =>
  ((controllerModels as Partial<Record<string, readonly string[]>>)[type] ?? []).indexOf(model ?? '')

/** Of each family what it has beside its address, in libvirt's order of families. */
const FAMILIES: { [K in keyof Devices]?: FamilyRows<Of<K>> } = {
  disks: {
    count: 'disk count',
    rows: [
      ['Target disk device %d does not match source %s', ({ device }) => device],
      ['Target disk bus %d does not match source %s', ({ target }) => text(target?.bus)],
      ['Target disk %d does not match source %s', ({ target }) => text(target?.dev)],
      ['Target disk serial %d does not match source %s', ({ serial }) => text(serial)],
      ["Target disk wwn '%d' does not match source '%s'", ({ wwn }) => text(wwn)],
      ['Target disk access mode does not match source', ({ readonly }) => readonly ?? false],
      ['Target disk model %d does not match source %s', ({ model }) => model ?? 'default'],
      ['Target disk rotation rate %d RPM does not match source %s RPM', ({ target }) => number(target?.rotationRate)],
      ['Target disk queue count %d does not match source %s', ({ driver }) => number(driver?.queues)],
      ['Target disk queue size %d does not match source %s', ({ driver }) => number(driver?.queueSize)],
      ...virtio<Of<'disks'>>(),
      ...INFO,
      ['Target disk logical_block_size %d does not match source %s', ({ blockio }) => number(blockio?.logical)],
      ['Target disk physical_block_size %d does not match source %s', ({ blockio }) => number(blockio?.physical)],
      [
        'Target disk discard_granularity %d does not match source %s',
        ({ blockio }) => number(blockio?.discardGranularity)
      ]
    ]
  },
  controllers: {
    count: 'controller count',
    rows: [
      ['Target controller type %d does not match source %s', ({ type }) => type],
      ['Target controller index %d does not match source %s', ({ index }) => index ?? -1],
      ['Target controller model %d does not match source %s', modelNumber],
      ['Target controller ports %d does not match source %s', ({ ports }) => ports ?? -1],
      ['Target controller vectors %d does not match source %s', ({ vectors }) => vectors ?? -1],
      ...virtio<Of<'controllers'>>(),
      ...INFO
    ]
  },
  filesystems: {
    count: 'filesystem count',
    rows: [
      ['Target filesystem guest target %d does not match source %s', ({ target }) => target],
      ['Target filesystem access mode does not match source', ({ readonly }) => readonly ?? false],
      ['Target filesystem model does not match source', ({ model }) => model],
      ...virtio<Of<'filesystems'>>(),
      ...INFO
    ]
  },
  interfaces: {
    count: 'net card count',
    rows: [
      ['Target network card mac %d does not match source %s', ({ mac }) => mac],
      ['Target network card model %d does not match source %s', ({ model }) => text(model)],
      ['Target network card MTU %d does not match source %s', ({ mtu }) => number(mtu)],
      ...virtio<Of<'interfaces'>>(),
      ...INFO
    ]
  },
  inputs: {
    count: 'input device count',
    rows: [
      ['Target input device type %d does not match source %s', ({ type }) => type],
      ['Target input device bus %d does not match source %s', ({ bus }) => bus ?? 'default'],
      ['Target input model %d does not match source %s', ({ model }) => model ?? 'default'],
      ...virtio<Of<'inputs'>>(),
      ...INFO
    ]
  },
  sounds: {
    count: 'sound card count',
    rows: [
      ['Target sound card model %d does not match source %s', ({ model }) => model],
      [
        "Target sound card multichannel setting '%d' does not match source '%s'",
        ({ multichannel }) => yesNo(multichannel)
      ],
      ...INFO
    ]
  },
  videos: {
    count: 'video card count',
    rows: [
      ['Target video card model %d does not match source %s', ({ model }) => model.type ?? 'default'],
      ['Target video card ram %d does not match source %s', ({ model }) => number(model.ram)],
      ['Target video card vram %d does not match source %s', ({ model }) => number(model.vram)],
      ['Target video card vram64 %d does not match source %s', ({ model }) => number(model.vram64)],
      ['Target video card vgamem %d does not match source %s', ({ model }) => number(model.vgamem)],
      ['Target video card heads %d does not match source %s', ({ model }) => number(model.heads)],
      ['Target video card acceleration does not match source', ({ model }) => given(model.acceleration)],
      ['Target video card 2d accel %d does not match source %s', ({ model }) => tristate(model.acceleration?.accel2d)],
      ['Target video card 3d accel %d does not match source %s', ({ model }) => tristate(model.acceleration?.accel3d)],
      ...virtio<Of<'videos'>>(),
      ...INFO
    ]
  },
  hostdevs: {
    count: 'host device count',
    rows: [
      ['Target host device mode %d does not match source %s', ({ source }) => source.mode],
      [
        'Target host device subsystem type %d is not compatible with source subsystem type %s',
        ({ source }) => (TRANSITIONS.has(source.type) ? 'pci' : source.type)
      ],
      ...INFO
    ]
  },
  smartcards: { count: 'smartcard count', rows: INFO },
  serials: {
    count: 'serial port count',
    rows: [
      ['Target serial type %d does not match source %s', ({ target }) => target.type],
      ['Target serial model %d does not match source %s', ({ target }) => target.model],
      ['Target serial port %d does not match source %s', ({ target }) => target.port ?? -1],
      ...INFO
    ]
  },
  parallels: {
    count: 'parallel port count',
    rows: [['Target parallel port %d does not match source %s', ({ target }) => target.port ?? -1], ...INFO]
  },
  channels: {
    count: 'channel count',
    rows: [
      ['Target channel type %d does not match source %s', ({ target }) => target.type],
      ['Target channel name %d does not match source %s', ({ target }) => text(target.name)],
      [
        'Target channel addr %d does not match source %s',
        ({ target }) => (target.type === 'guestfwd' ? `${target.address}:${target.port}` : undefined)
      ],
      ...INFO
    ]
  },
  consoles: {
    count: 'console count',
    rows: [['Target console type %d does not match source %s', ({ target }) => target.type], ...INFO]
  },
  hubs: {
    count: 'hub device count',
    rows: [['Target hub device type %d does not match source %s', ({ type }) => type], ...INFO]
  },
  redirdevs: {
    count: 'redirected devices count',
    rows: [
      ['Target redirected device bus %d does not match source %s', ({ bus }) => bus],
      [
        'Target redirected device source type %d does not match source device source type %s',
        ({ source }) => source.type
      ],
      ...INFO
    ]
  },
  redirfilters: {
    count: 'USB redirection filter count',
    rows: [
      ['Target USB redirection filter rule count %d does not match source %s', ({ usbdevs }) => usbdevs.length],
      ['Target USB Class code does not match source', ({ usbdevs }) => usbdevs.map(rule => rule.class)],
      ['Target USB vendor ID does not match source', ({ usbdevs }) => usbdevs.map(({ vendor }) => vendor)],
      ['Target USB product ID does not match source', ({ usbdevs }) => usbdevs.map(({ product }) => product)],
      ['Target USB version does not match source', ({ usbdevs }) => usbdevs.map(({ version }) => version)],
      ["Target USB allow '%d' does not match source '%s'", ({ usbdevs }) => usbdevs.map(({ allow }) => yesNo(allow))]
    ]
  },
  watchdogs: {
    count: 'watchdog device count',
    rows: [['Target watchdog model %d does not match source %s', ({ model }) => model], ...INFO]
  },
  memballoons: {
    count: 'memory balloon count',
    rows: [
      ['Target balloon model %d does not match source %s', ({ model }) => model],
      [
        "Target balloon autodeflate attribute value '%d' does not match source '%s'",
        ({ autodeflate }) => onOff(autodeflate)
      ],
      [
        "Target balloon freePageReporting attribute value '%d' does not match source '%s'",
        ({ freePageReporting }) => onOff(freePageReporting)
      ],
      ...virtio<Of<'memballoons'>>(),
      ...INFO
    ]
  },
  rngs: {
    count: 'RNG device count',
    rows: [["Target RNG model '%d' does not match source '%s'", ({ model }) => model], ...virtio<Of<'rngs'>>(), ...INFO]
  },
  panics: {
    count: 'panic device count',
    rows: [["Target panic model '%d' does not match source '%s'", ({ model }) => model ?? 'default'], ...INFO]
  },
  shmems: {
    count: 'shared memory device count',
    rows: [
      ["Target shared memory role '%d' does not match source role '%s'", ({ role }) => role ?? 'default'],
      ["Target shared memory model '%d' does not match source model '%s'", ({ model }) => model],
      ["Target shared memory size '%d' does not match source size '%s'", ({ sizeBytes }) => number(sizeBytes)],
      ["Target shared memory server usage doesn't match source", ({ server }) => given(server)],
      [
        "Target shared memory MSI configuration doesn't match source",
        ({ msi }) => [given(msi), msi?.vectors, msi?.ioeventfd]
      ],
      ...INFO
    ]
  },
  tpms: {
    count: 'TPM device count',
    rows: [
      ["Target TPM device type doesn't match source", ({ backend }) => backend.type],
      ["Target TPM device model doesn't match source", ({ model }) => model],
      ["Target TPM version doesn't match source", ({ backend }) => (backend.type === 'emulator' ? backend.version : 0)],
      [
        "Target active PCR banks doesn't match source",
        ({ backend }) => (backend.type === 'emulator' ? backend.pcrBanks : 0)
      ],
      ...INFO
    ]
  },
  memories: {
    count: 'memory device count',
    rows: [
      ["Target memory device model '%d' doesn't match source model '%s'", ({ model }) => model],
      ["Target memory device targetNode '%d' doesn't match source targetNode '%s'", ({ target }) => target.node ?? -1],
      ["Target memory device size '%d' doesn't match source memory device size '%s'", ({ target }) => target.sizeKiB],
      [
        "Target NVDIMM label size '%s' doesn't match source NVDIMM label size '%d'",
        ({ target }) => number(target.labelSizeKiB)
      ],
      [
        "Target NVDIMM alignment '%s' doesn't match source NVDIMM alignment '%d'",
        ({ source }) => number(source.alignsizeKiB)
      ],
      ["Target NVDIMM pmem flag doesn't match source NVDIMM pmem flag", ({ source }) => source.pmem ?? false],
      [
        "Target NVDIMM readonly flag doesn't match source NVDIMM readonly flag",
        ({ target }) => target.readonly ?? false
      ],
      ["Target NVDIMM UUID doesn't match source NVDIMM", ({ uuid }) => uuid],
      [
        "Target memory device block size '%d' doesn't match source memory device block size '%s'",
        ({ target }) => number(target.blockKiB)
      ],
      [
        "Target memory device requested size '%d' doesn't match source memory device requested size '%s'",
        ({ target }) => number(target.requestedKiB)
      ],
      [
        "Target memory device address '0x%d' doesn't match source memory device address '0x%s'",
        ({ target }) => number(target.address).toString(16)
      ],
      [
        "Target memory device 'dynamicMemslots' property doesn't match source memory device",
        ({ target }) => target.dynamicMemslots
      ],
      ...INFO
    ]
  },
  iommus: {
    count: 'IOMMU device count',
    rows: [
      ["Target domain IOMMU device model '%d' does not match source '%s'", ({ model }) => model],
      [
        "Target domain IOMMU device intremap value '%d' does not match source '%s'",
        ({ driver }) => onOff(driver?.intremap)
      ],
      [
        "Target domain IOMMU device caching mode '%d' does not match source '%s'",
        ({ driver }) => onOff(driver?.cachingMode)
      ],
      ["Target domain IOMMU device eim value '%d' does not match source '%s'", ({ driver }) => onOff(driver?.eim)],
      ["Target domain IOMMU device iotlb value '%d' does not match source '%s'", ({ driver }) => onOff(driver?.iotlb)],
      [
        "Target domain IOMMU device aw_bits value '%d' does not match source '%s'",
        ({ driver }) => number(driver?.awBits)
      ],
      [
        "Target domain IOMMU device dma translation '%d' does not match source '%s'",
        ({ driver }) => onOff(driver?.dmaTranslation)
      ],
      ...INFO
    ]
  },
  vsocks: {
    count: 'vsock device count',
    rows: [
      ["Target domain vsock device model '%d' does not match source '%s'", ({ model }) => model ?? 'default'],
      ...virtio<Of<'vsocks'>>(),
      ...INFO
    ]
  },
  pstores: {
    count: 'pstore device count',
    rows: [
      ["Target pstore device backend '%d' does not match source '%s'", ({ backend }) => backend],
      ["Target pstore size '%d' does not match source '%s'", ({ sizeKiB }) => sizeKiB],
      ...INFO
    ]
  }
}

/** Families of which there is one at most: libvirt does not say how many there are. */
const SINGLE = new Set(['iommus', 'vsocks', 'pstores'])

function tristate(value: boolean | undefined): number {
  return value === undefined ? 0 : value ? 1 : 2
}

const feature = (name: string, read: (features: Partial<FeaturesDef>) => unknown): Row<DomainDef> => [
  `State of feature '${name}' differs: source: '%s', destination: '%d'`,
  ({ features }) => read(features ?? {})
]
const shown = (attribute: string, value: string | undefined) => `${attribute}=${value ?? 'none'}`

/** By libvirt's names, in its order (virDomainDefFeaturesCheckABIStability). */
const FEATURES: Rows<DomainDef> = [
  feature('acpi', ({ acpi }) => onOff(acpi || undefined)),
  feature('apic', ({ apic }) => `${onOff(given(apic) || undefined)},eoi=${onOff(apic?.eoi)}`),
  feature('pae', ({ pae }) => onOff(pae || undefined)),
  feature('hap', ({ hap }) => onOff(hap)),
  feature('viridian', ({ viridian }) => onOff(viridian || undefined)),
  feature('privnet', ({ privnet }) => onOff(privnet || undefined)),
  feature('hyperv', ({ hyperv }) => hyperv?.mode ?? 'none'),
  feature('kvm', ({ kvm }) => onOff(given(kvm) || undefined)),
  feature('pvspinlock', ({ pvspinlock }) => onOff(pvspinlock)),
  feature('pmu', ({ pmu }) => onOff(pmu)),
  feature('vmport', ({ vmport }) => onOff(vmport)),
  feature('gic', ({ gic }) => `${onOff(given(gic) || undefined)},${shown('version', gic?.version)}`),
  feature('smm', ({ smm }) => onOff(smm?.state)),
  feature('ioapic', ({ ioapic }) => shown('driver', ioapic)),
  feature(
    'hpt',
    ({ hpt }) =>
      `${onOff(given(hpt) || undefined)},${shown('resizing', hpt?.resizing)},maxpagesize=${number(hpt?.maxPageSizeKiB)}`
  ),
  feature('vmcoreinfo', ({ vmcoreinfo }) => onOff(vmcoreinfo)),
  feature('htm', ({ htm }) => onOff(htm)),
  feature('nested-hv', ({ nestedHv }) => onOff(nestedHv)),
  feature('ccf-assist', ({ ccfAssist }) => onOff(ccfAssist)),
  feature('xen', ({ xen }) => onOff(given(xen) || undefined)),
  feature('cfpc', ({ cfpc }) => shown('value', cfpc)),
  feature('sbbc', ({ sbbc }) => shown('value', sbbc)),
  feature('ibs', ({ ibs }) => shown('value', ibs)),
  feature('ras', ({ ras }) => onOff(ras)),
  feature('ps2', ({ ps2 }) => onOff(ps2)),
  feature('aia', ({ aia }) => shown('value', aia)),
  ...(
    [
      ['relaxed', 'relaxed'],
      ['vapic', 'vapic'],
      ['vpindex', 'vpindex'],
      ['runtime', 'runtime'],
      ['synic', 'synic'],
      ['stimer', 'stimer'],
      ['reset', 'reset'],
      ['frequencies', 'frequencies'],
      ['reenlightenment', 'reenlightenment'],
      ['tlbflush', 'tlbflush'],
      ['ipi', 'ipi'],
      ['evmcs', 'evmcs'],
      ['avic', 'avic'],
      ['emsr_bitmap', 'emsrBitmap'],
      ['xmm_input', 'xmmInput']
    ] as const
  ).map(
    ([name, key]): Row<DomainDef> => [
      `State of HyperV enlightenment feature '${name}' differs: source: '%s', destination: '%d'`,
      ({ features }) => {
        const value = features?.hyperv?.[key]
        return onOff(typeof value === 'object' ? value.state : value)
      }
    ]
  ),
  [
    "HyperV spinlock retry count differs: source: '%s', destination: '%d'",
    ({ features }) => number(features?.hyperv?.spinlocks?.retries)
  ],
  [
    "HyperV vendor_id differs: source: '%s', destination: '%d'",
    ({ features }) => text(features?.hyperv?.vendorId?.value)
  ],
  [
    "State of HyperV stimer direct feature differs: source: '%s', destination: '%d'",
    ({ features }) => onOff(features?.hyperv?.stimer?.direct)
  ],
  ...(
    [
      ['hidden', 'hidden'],
      ['hint-dedicated', 'hintDedicated'],
      ['poll-control', 'pollControl'],
      ['pv-ipi', 'pvIpi']
    ] as const
  ).map(
    ([name, key]): Row<DomainDef> => [
      `State of KVM feature '${name}' differs: source: '%s', destination: '%d'`,
      ({ features }) => onOff(features?.kvm?.[key])
    ]
  ),
  [
    "State of KVM feature 'dirty-ring' differs: source: '%s', destination: '%d'",
    ({ features }) => onOff(features?.kvm?.dirtyRing?.state)
  ],
  [
    "dirty ring size of KVM feature 'dirty-ring' differs: source: '%s', destination: '%d'",
    ({ features }) => number(features?.kvm?.dirtyRing?.size)
  ],
  [
    "SMM TSEG differs: source: %s, destination: '%d'",
    ({ features }) => (given(features?.smm?.tsegBytes) ? 'specified' : 'not specified')
  ],
  [
    "Size of SMM TSEG size differs: source: '%s B', destination: '%d B'",
    ({ features }) => number(features?.smm?.tsegBytes)
  ]
]

/** State of each vCPU, as far as single ones are told of. */
const vcpus = ({ vcpu, vcpus: states }: DomainDef) =>
  Array.from({ length: Math.min(vcpu.max, LISTED_MAX) }, (_, id) => ({
    online: states?.find(one => one.id === id)?.enabled ?? id < (vcpu.current ?? vcpu.max),
    order: states?.find(one => one.id === id)?.order ?? 0
  }))

/** The first of two lists' places that differ, for rows that name it. */
type Place<T> = readonly [words: (at: number) => string, read: (of: T) => readonly unknown[]]

const MACHINE: Rows<DomainDef> = [
  ['Target domain virt type %d does not match source %s', ({ type }) => type],
  ['Target domain uuid %d does not match source %s', ({ uuid }) => uuid],
  ['Target domain requested genid does not match source', ({ genid }) => given(genid)],
  ['Target domain genid %d does not match source %s', ({ genid }) => genid],
  ["Target domain name '%d' does not match source '%s'", ({ name }) => name]
]

const currentMemory: Row<DomainDef> = [
  'Target domain current memory %d does not match source %s',
  ({ currentMemoryKiB, memoryKiB }) => currentMemoryKiB ?? memoryKiB
]

const MEMORY: Rows<DomainDef> = [
  ["Target maximum memory size '%d' doesn't match source '%s'", ({ maxMemory }) => number(maxMemory?.sizeKiB)],
  ["Target domain memory slots count '%d' doesn't match source '%s'", ({ maxMemory }) => number(maxMemory?.slots)],
  ["Target NUMA node count '%d' doesn't match source '%s'", def => numaCells(def).length]
]

const NODES: Place<DomainDef>[] = [
  [
    at => `Size of target NUMA node ${at} (%d) doesn't match source (%s)`,
    def => numaCells(def).map(cell => cell.memoryKiB)
  ],
  [
    at => `Processor mask of target NUMA node ${at} doesn't match source`,
    def => numaCells(def).map(cell => [...bitsOf(cellCpus(cell) as Bitmap)].join())
  ],
  [
    at => `Target NUMA distance from ${at} to others doesn't match source`,
    def => {
      const cells = numaCells(def)
      return cells.map((_, from) => cells.map((__, to) => cellDistance(cells, from, to)).join())
    }
  ],
  [
    at => `State of vCPU '${at}' differs between source and destination definitions`,
    def => vcpus(def).map(({ online }) => online)
  ],
  [
    at => `vcpu enable order of vCPU '${at}' differs between source and destination definitions`,
    def => vcpus(def).map(({ order }) => order)
  ]
]

const SYSTEM: Rows<DomainDef> = [
  ['Target domain OS type %d does not match source %s', ({ os }) => os.type],
  ['Target domain architecture %d does not match source %s', ({ os }) => os.arch],
  ['Target domain machine type %d does not match source %s', ({ os }) => os.machine],
  ['Target domain SMBIOS mode %d does not match source %s', ({ os }) => os.smbios ?? 'none'],
  ...FEATURES,
  ['Target domain timers do not match source', ({ clock }) => clock.timers.length]
]

const TIMERS: Rows<DomainDef['clock']['timers'][number]> = [
  ['Target timer %d does not match source %s', ({ name }) => name],
  ["Target timer presence '%d' does not match source '%s'", ({ present }) => yesNo(present)],
  [
    'Target TSC frequency %d does not match source %s',
    ({ name, frequencyHz }) => (name === 'tsc' ? number(frequencyHz) : 0)
  ],
  ['Target TSC mode %d does not match source %s', ({ name, mode }) => (name === 'tsc' ? (mode ?? 'auto') : '')]
]

/** virCPUDefIsEqual */
const CPU: Rows<CpuDef | undefined> = [
  ['Target CPU does not match source', given],
  ['Target CPU mode %d does not match source %s', cpu => cpu?.mode],
  ['Target CPU check %d does not match source %s', cpu => cpu?.check ?? 'default'],
  ['Target CPU model %d does not match source %s', cpu => text(cpu?.model?.name)],
  ['Target CPU vendor %d does not match source %s', cpu => text(cpu?.vendor)],
  ['Target CPU vendor id %d does not match source %s', cpu => text(cpu?.model?.vendorId)],
  ...(['sockets', 'dies', 'clusters', 'cores', 'threads'] as const).map(
    (name): Row<CpuDef | undefined> => [
      `Target CPU ${name} %d does not match source %s`,
      cpu => number(cpu?.topology?.[name])
    ]
  ),
  ['Target CPU maxphysaddr does not match source', cpu => [cpu?.maxphysaddr?.mode, cpu?.maxphysaddr?.bits]],
  ['Target CPU feature count %d does not match source %s', cpu => cpu?.features.length]
]

const CPU_FEATURES: Rows<CpuDef['features'][number]> = [
  ['Target CPU feature %d does not match source %s', ({ name }) => name],
  ['Target CPU feature policy %d does not match source %s', ({ policy }) => policy ?? 'require']
]

const CPU_CACHE: Rows<CpuDef | undefined> = [
  ['Target CPU cache does not match source', cpu => [cpu?.cache?.level, cpu?.cache?.mode]]
]

const same = (one: unknown, other: unknown) => one === other || asText(one) === asText(other)
const asText = (value: unknown) =>
  typeof value === 'object' ? JSON.stringify(value) : value === undefined ? undefined : String(value)

type Failing = (words: string) => Error
const failing: Failing = words => fail('VIR_ERR_CONFIG_UNSUPPORTED', words)
const failingCpu: Failing = words => failCpu('VIR_ERR_CONFIG_UNSUPPORTED', words)

function check<T>(rows: Rows<T>, from: T, to: T, error: Failing = failing): void {
  for (const [words, read] of rows) {
    const [was, is] = [read(from), read(to)]
    if (!same(was, is)) throw error(words.replace('%d', () => String(is)).replace('%s', () => String(was)))
  }
}

function checkEach<T>(rows: Rows<T>, from: readonly T[], to: readonly T[], error: Failing = failing): void {
  for (const [at, one] of from.entries()) check(rows, one, to[at]!, error)
}

function checkPlaces(places: readonly Place<DomainDef>[], from: DomainDef, to: DomainDef): void {
  for (const [words, read] of places) {
    const [was, is] = [read(from), read(to)]
    const at = was.findIndex((one, i) => !same(one, is[i]))
    if (at >= 0) check([[words(at), (of: readonly unknown[]) => of[at]]], was, is)
  }
}

/**
 * Checks that memory of a guest of one definition fits another.
 * @param skipVolatile not the size of the balloon, which changes while the guest runs
 * @throws VIR_ERR_CONFIG_UNSUPPORTED naming the first that differs
 */
export function checkAbiStability(from: DomainDef, to: DomainDef, { skipVolatile = false } = {}): void {
  check(MACHINE, from, to)
  check([['Target domain max memory %d does not match source %s', initialMemoryKiB]], from, to)
  if (!skipVolatile) check([currentMemory], from, to)
  check(MEMORY, from, to)
  checkPlaces(NODES.slice(0, 3), from, to)
  check([['Target domain vCPU max %d does not match source %s', ({ vcpu }) => vcpu.max]], from, to)
  checkPlaces(NODES.slice(3), from, to)
  check(SYSTEM, from, to)
  checkEach(TIMERS, from.clock.timers, to.clock.timers)
  check(CPU, from.cpu, to.cpu, failingCpu)
  checkEach(CPU_FEATURES, from.cpu?.features ?? [], to.cpu?.features ?? [], failingCpu)
  check(CPU_CACHE, from.cpu, to.cpu, failingCpu)
  check([['Target domain count of sysinfo does not match source', ({ sysinfo }) => sysinfo.length]], from, to)
  check([['Target sysinfo does not match source', ({ sysinfo }) => sysinfo]], from, to)
  for (const [kind, family] of Object.entries(FAMILIES)) {
    checkFamily(kind as keyof typeof FAMILIES, family as FamilyRows<DeviceInfo>, from, to)
  }
  const words = "Target memoryBacking source '%d' doesn't match source memoryBacking source'%s'"
  check([[words, ({ memoryBacking }) => memoryBacking?.source ?? 'none']], from, to)
  const alias: Row<DeviceInfo> = [
    "Target memory device alias '%d' doesn't match source alias '%s'",
    dev => text(dev.alias)
  ]
  checkEach([alias], from.devices.memories, to.devices.memories)
}

function checkFamily(
  kind: keyof typeof FAMILIES,
  family: FamilyRows<DeviceInfo>,
  from: DomainDef,
  to: DomainDef
): void {
  const [were, are] = [from.devices[kind], to.devices[kind]] as unknown as [DeviceInfo[], DeviceInfo[]]
  const numbers = SINGLE.has(kind) ? ' does not match source' : ' %d does not match source %s'
  check([[`Target domain ${family.count}${numbers}`, (list: DeviceInfo[]) => list.length]], were, are)
  checkEach(family.rows, were, are)
}
