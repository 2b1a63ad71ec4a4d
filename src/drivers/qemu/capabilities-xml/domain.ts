// Domain capabilities: devices and features that guests of one emulator, machine and type can have
// (virQEMUCapsFillDomainCaps, virDomainCapsFormat). One table has the values of each <enum> with their conditions.

import { existsSync } from 'node:fs'
import { isX86Arch } from '../../../conf/arch.ts'
import { type CpuDef, formatCpu } from '../../../conf/domain/cpu.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { element, formatXml, type XmlElement, type XmlNode } from '../../../conf/xml.ts'
import { cpuinfo } from '../../../host/cpuinfo.ts'
import { hasVfio } from '../../../host/devices.ts'
import { swtpmVersions } from '../../../host/swtpm.ts'
import type { Connect } from '../../connection.ts'
import { isNative, runsArch } from '../capabilities/emulator.ts'
import type { Qemu } from '../capabilities/qemu.ts'
import type { Capability } from '../capabilities/signs.ts'
import { expandFeatures } from '../cpu/baseline.ts'
import { cpuidLeaf } from '../cpu/cpuid.ts'
import { disableDeprecated } from '../cpu/guest.ts'
import { hostModel, offeredModels } from '../cpu/host-model.ts'
import { allFeatures, setFeature } from '../cpu/model.ts'
import { canonicalModel, cpuModel } from '../cpu/models.ts'
import { matchesMachine } from '../firmware/choose.ts'
import { readDescriptors } from '../firmware/descriptors.ts'
import { hasBuiltinIde, hasPs2, isPseries, isS390, isX86 } from '../machine-type.ts'
import { type Found, lookUpEmulator, machinesInOrder, type Wanted } from './emulator-lookup.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** Facts that the conditions in the tables may ask for. */
interface Asked {
  qemu: Qemu
  found: Found
  has(...any: Capability[]): boolean
  /** a guest of this architecture and machine, for conditions that go by their names */
  guest: Parameters<typeof hasBuiltinIde>[0]
}

/** A value that is always there, or one with its condition. */
type Value = string | [value: string, holds: boolean | undefined]
type Enum = [name: string, values: (asked: Asked) => Value[]]

const there = (values: Value[]): string[] =>
  values.flatMap(value => (typeof value === 'string' ? [value] : value[1] ? [value[0]] : []))

const enumElement = (name: string, values: string[]): XmlElement =>
  element(
    'enum',
    { name },
    values.map(value => element('value', {}, [value]))
  )

const enumsOf = (enums: Enum[], asked: Asked): XmlElement[] =>
  enums.map(([name, values]) => enumElement(name, there(values(asked))))

const virtioModels = ({ has }: Asked): Value[] => {
  const transitional = has('virtio-pci-non-transitional')
  return ['virtio', ['virtio-transitional', transitional], ['virtio-non-transitional', transitional]]
}

const MEMORY_BACKING: Enum[] = [
  ['sourceType', ({ has }) => ['file', 'anonymous', ['memfd', has('memory-backend-memfd')]]]
]

const USB_CONTROLLERS = [
  'piix3-usb-uhci',
  'piix4-usb-uhci',
  'usb-ehci',
  'ich9-usb-ehci1',
  'vt82c686b-usb-uhci',
  'pci-ohci',
  'nec-usb-xhci',
  'qemu-xhci'
] as const satisfies Capability[]

/** Elements of <devices> with their enumerations, values in the order of libvirt's own. */
const DEVICES: Record<string, Enum[]> = {
  disk: [
    ['diskDevice', ({ guest }) => ['disk', 'cdrom', ['floppy', !isPseries(guest)], 'lun']],
    [
      'bus',
      ({ guest, has }) => [
        ['ide', hasBuiltinIde(guest)],
        ['fdc', !isPseries(guest)],
        'scsi',
        'virtio',
        ['usb', has('usb-storage')],
        ['sata', has('ich9-ahci')]
      ]
    ],
    ['model', virtioModels]
  ],
  graphics: [
    [
      'type',
      ({ has }) => [
        ['sdl', has('sdl')],
        ['vnc', has('vnc')],
        ['spice', has('spice')],
        ['egl-headless', has('egl-headless')],
        ['dbus', has('display-dbus')]
      ]
    ]
  ],
  video: [
    [
      'modelType',
      ({ has }) => [
        ['vga', has('VGA')],
        ['cirrus', has('cirrus-vga')],
        ['vmvga', has('vmware-svga')],
        ['qxl', has('qxl')],
        ['virtio', has('virtio-gpu')],
        'none',
        ['bochs', has('bochs-display')],
        ['ramfb', has('ramfb')]
      ]
    ]
  ],
  hostdev: [
    ['mode', () => ['subsystem']],
    ['startupPolicy', () => ['default', 'mandatory', 'requisite', 'optional']],
    ['subsysType', ({ has }) => [['usb', has(...USB_CONTROLLERS)], 'pci', 'scsi']],
    ['capsType', () => []],
    [
      'pciBackend',
      ({ has }) => {
        const vfio = has('vfio-pci') && hasVfio()
        return [
          ['default', vfio],
          ['vfio', vfio]
        ]
      }
    ]
  ],
  rng: [
    ['model', asked => (asked.has('virtio-rng') ? virtioModels(asked) : [])],
    [
      'backendModel',
      ({ has }) => [
        ['random', has('rng-random')],
        ['egd', has('rng-egd')],
        ['builtin', has('rng-builtin')]
      ]
    ]
  ],
  filesystem: [['driverType', ({ has }) => ['path', 'handle', ['virtiofs', has('vhost-user-fs')]]]],
  tpm: [
    [
      'model',
      ({ has }) => [
        ['tpm-tis', has('tpm-tis')],
        ['tpm-crb', has('tpm-crb')],
        ['tpm-spapr', has('tpm-spapr')],
        ['tpm-spapr-proxy', has('spapr-tpm-proxy')]
      ]
    ],
    [
      'backendModel',
      ({ has }) => {
        const emulator = has('tpm-emulator') && swtpmVersions() !== undefined
        return [
          ['passthrough', has('tpm-passthrough')],
          ['emulator', emulator],
          ['external', emulator]
        ]
      }
    ],
    ['backendVersion', () => swtpmVersions() ?? []]
  ],
  redirdev: [['bus', ({ has }) => [['usb', has('usb-redir')]]]],
  channel: [['type', ({ has }) => ['pty', 'unix', ['spicevmc', has('spice')]]]],
  crypto: [
    ['model', ({ has }) => [['virtio', has('virtio-crypto')]]],
    ['type', () => ['qemu']],
    ['backendModel', ({ has }) => ['builtin', ['lkcf', has('cryptodev-backend-lkcf')]]]
  ],
  interface: [
    [
      'backendType',
      ({ has }) => [
        ['default', has('netdev.user')],
        ['passt', has('netdev.stream')]
      ]
    ]
  ],
  panic: [
    [
      'model',
      ({ guest, has }) => [
        ['isa', has('pvpanic')],
        ['pseries', isPseries(guest)],
        ['hyperv', isX86(guest)],
        ['s390', isS390(guest)],
        ['pvpanic', has('pvpanic-pci')]
      ]
    ]
  ]
}

/** Devices that are only supported if their first enumeration has a value. */
const NEEDS_A_VALUE = new Set(['tpm', 'redirdev', 'panic'])
/** Enumerations that are left out when they are empty. */
const SHOWN_WITH_VALUES = new Set(['backendVersion'])

/** <features> that are there or not, in order. */
const FEATURES: [name: string, holds: (asked: Asked) => boolean][] = [
  ['gic', () => false],
  ['vmcoreinfo', ({ has }) => has('vmcoreinfo')],
  ['genid', ({ has }) => has('vmgenid')],
  ['backingStoreInput', () => true],
  ['backup', () => true],
  ['async-teardown', ({ has }) => has('run-with.async-teardown')],
  ['ps2', ({ guest, qemu, has }) => has('machine-i8042-opt') && hasPs2(guest, qemu)]
]

/** Ways to keep a guest's memory from the host. */
const LAUNCH_SECURITY: Enum = [
  'sectype',
  ({ qemu, has }) => [
    ['sev', qemu.sev && has('sev-guest')],
    ['sev-snp', qemu.sev && has('sev-snp-guest')],
    ['s390-pv', has('s390-pv-guest') && has('confidential-guest-support')]
  ]
]

/** libvirt's order of enlightenments (virDomainHyperv). */
const HYPERV = [
  'relaxed',
  'vapic',
  'spinlocks',
  'vpindex',
  'runtime',
  'synic',
  'stimer',
  'reset',
  'vendor_id',
  'frequencies',
  'reenlightenment',
  'tlbflush',
  'ipi',
  'evmcs',
  'avic',
  'emsr_bitmap',
  'xmm_input'
]

const supported = (name: string, is: boolean, children: (XmlNode | undefined)[] = []): XmlElement =>
  element(name, { supported: is ? 'yes' : 'no' }, is ? children : [])

function deviceElement(name: string, enums: Enum[], asked: Asked): XmlElement {
  const shown = enumsOf(enums, asked)
  const isSupported = !NEEDS_A_VALUE.has(name) || shown[0]!.children.length > 0
  return supported(
    name,
    isSupported,
    shown.filter(({ attributes, children }) => children.length > 0 || !SHOWN_WITH_VALUES.has(attributes.name!))
  )
}

/** <os>: firmware the host has for the machine (virQEMUCapsFillDomainOSCaps). */
function osElement({ arch, machine = '' }: Found, connect: Connect): XmlElement {
  const fitting = readDescriptors(connect).filter(descriptor => matchesMachine(descriptor, arch, machine))
  const paths = fitting.flatMap(({ mapping }) =>
    mapping.device === 'flash' ? [mapping.executable.filename] : mapping.device === 'memory' ? [mapping.filename] : []
  )
  const has = (kind: 'bios' | 'uefi') => fitting.some(({ interfaces }) => interfaces.includes(kind))
  const candidates = paths.length > 0 ? paths : BUILT_IN_FIRMWARE
  const loaders = [...new Set(candidates)].filter(path => existsSync(path))
  const secure = fitting.some(({ features }) => features.has('requires-smm'))
  return supported('os', true, [
    enumElement(
      'firmware',
      there([
        ['bios', has('bios')],
        ['efi', has('uefi')]
      ])
    ),
    supported('loader', true, [
      ...loaders.map(path => element('value', {}, [path])),
      enumElement('type', ['rom', 'pflash']),
      enumElement('readonly', ['yes', 'no']),
      enumElement('secure', there([['yes', secure], 'no']))
    ])
  ])
}

/** Images libvirt knows without descriptors, whatever the architecture (its DEFAULT_LOADER_NVRAM). */
const BUILT_IN_FIRMWARE = [
  '/usr/share/OVMF/OVMF_CODE.fd',
  '/usr/share/OVMF/OVMF_CODE.secboot.fd',
  '/usr/share/AAVMF/AAVMF_CODE.fd',
  '/usr/share/AAVMF/AAVMF32_CODE.fd'
]

const mode = (name: string, is: boolean, children: XmlNode[] = []): XmlElement =>
  element('mode', { name, supported: is ? 'yes' : 'no' }, is ? children : [])

/** Models a guest may name, each with what it needs and this host lacks (virDomainCapsCPUCustomFormat). */
function modelElements(qemu: Qemu): XmlElement[] {
  const isX86 = isX86Arch(qemu.arch)
  const offered = offeredModels(qemu)
  return qemu.cpuModels
    .filter(({ name }) => name !== 'host' && (!isX86 || cpuModel(name)))
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap(({ name, deprecated }) => {
      const blockers = [...new Set(offered.get(name))].sort()
      const model = element(
        'model',
        {
          usable: blockers.length === 0 ? 'yes' : 'no',
          deprecated: deprecated ? 'yes' : undefined,
          vendor: (isX86 && cpuModel(name)?.vendor) || 'unknown',
          canonical: isX86 ? canonicalModel(name) : undefined
        },
        [name]
      )
      if (blockers.length === 0) return [model]
      return [
        model,
        element(
          'blockers',
          { model: name },
          blockers.map(blocker => element('feature', { name: blocker }))
        )
      ]
    })
}

/** Forms of the host's model that clients may ask for. */
export interface HostModelForm {
  /** features that QEMU calls deprecated are disabled */
  withoutDeprecated: boolean
  /** what the host has and guests get only if they ask for it by name is there too */
  supported: boolean
  /** every feature by name, those of the model included */
  expand: boolean
}

/** The CPU of a guest with `host-model` here; undefined where there is none. */
function hostModelCpu({ qemu, type }: Found, { hostArch }: Connect, form: HostModelForm): CpuDef | undefined {
  const found = hostModel({ qemu, hostArch }, type)
  if (!found) return undefined
  const { model: name, vendor, features } = found.reported
  if (form.supported) for (const feature of allFeatures(found.full)) setFeature(features, feature, 'require')
  if (form.withoutDeprecated) disableDeprecated(features, qemu)
  const limit = type === 'kvm' ? cpuinfo().physicalAddressBits : undefined
  const cpu: CpuDef = {
    mode: 'custom',
    match: 'exact',
    model: { name, fallback: 'forbid' },
    ...(vendor !== undefined && { vendor }),
    ...(limit !== undefined && { maxphysaddr: { mode: 'passthrough', limit } }),
    features
  }
  return form.expand ? expandFeatures(cpu) : cpu
}

/** <cpu>: the modes, with models for those that name one (virQEMUCapsFillDomainCPUCaps). */
function cpuElement(found: Found, connect: Connect, form: HostModelForm): XmlElement {
  const { qemu, type } = found
  const model = hostModelCpu(found, connect, form)
  const models = modelElements(qemu)
  const passthrough = (type === 'kvm' || type === 'hvf') && isNative(connect.hostArch, qemu.arch)
  const max = qemu.cpuModels.some(({ name }) => name === 'max')
  return element('cpu', {}, [
    mode('host-passthrough', passthrough, [
      enumElement('hostPassthroughMigratable', there([['on', qemu.has('cpu.migratable')], 'off']))
    ]),
    mode('maximum', max, [enumElement('maximumMigratable', ['on', 'off'])]),
    mode('host-model', model !== undefined, model && formatCpu(model).children),
    mode('custom', models.length > 0, models)
  ])
}

/** CPUID leaf of AMD's memory encryption: how many guests may have it, and from which number on without SEV-ES. */
const SEV_LEAF = 0x8000_001f

function sevElement({ sev }: Qemu): XmlElement {
  if (!sev) return supported('sev', false)
  const { ecx = 0, edx = 0 } = cpuidLeaf(SEV_LEAF) ?? {}
  const leaf = (name: string, value: number) => element(name, {}, [String(value)])
  return supported('sev', true, [
    leaf('cbitpos', sev.cbitpos),
    leaf('reducedPhysBits', sev.reducedPhysBits),
    leaf('maxGuests', edx > 0 ? ecx - edx + 1 : 0),
    leaf('maxESGuests', edx > 0 ? edx - 1 : 0)
  ])
}

function sgxElement({ sgx }: Qemu): XmlElement {
  if (!sgx) return supported('sgx', false)
  const leaf = (name: string, is: boolean) => element(name, {}, [is ? 'yes' : 'no'])
  const sections = sgx.sections.map(({ node, sizeKiB }) => element('section', { node, size: sizeKiB, unit: 'KiB' }))
  return supported('sgx', true, [
    leaf('flc', sgx.flc),
    leaf('sgx1', sgx.sgx1),
    leaf('sgx2', sgx.sgx2),
    element('section_size', { unit: 'KiB' }, [String(sgx.sectionSizeKiB)]),
    sections.length > 0 ? element('sections', {}, sections) : undefined
  ])
}

function featuresElement(asked: Asked): XmlElement {
  const { hyperv } = asked.qemu
  const [security] = enumsOf([LAUNCH_SECURITY], asked)
  const enlightenments = HYPERV.filter(name => hyperv?.includes(name))
  return element('features', {}, [
    ...FEATURES.map(([name, holds]) => supported(name, holds(asked))),
    sevElement(asked.qemu),
    sgxElement(asked.qemu),
    enlightenments.length > 0 ? supported('hyperv', true, [enumElement('features', enlightenments)]) : undefined,
    supported('launchSecurity', security!.children.length > 0, [security])
  ])
}

/**
 * The domain capabilities of an emulator named by any of its parts.
 * @throws VIR_ERR_INVALID_ARG, VIR_ERR_CONFIG_UNSUPPORTED, VIR_ERR_SYSTEM_ERROR
 */
export async function lookUpDomainCapabilities(connect: Connect, wanted: Wanted, form: HostModelForm): Promise<string> {
  const found = await lookUpEmulator(connect, wanted)
  const { qemu, arch, type, machine } = found
  const refuse = (code: 'VIR_ERR_INVALID_ARG' | 'VIR_ERR_CONFIG_UNSUPPORTED', what: string) =>
    fail(code, `Emulator '${qemu.binary}' does not support ${what}`)
  if (!runsArch(qemu.arch, arch)) throw refuse('VIR_ERR_INVALID_ARG', `arch '${arch}'`)
  const canRun = type === 'qemu' ? qemu.has('tcg') : type === 'kvm' && qemu.kvm
  if (!canRun) throw refuse('VIR_ERR_INVALID_ARG', `virt type '${type}'`)
  if (!machinesInOrder(qemu).some(({ name }) => name === machine)) {
    throw refuse('VIR_ERR_CONFIG_UNSUPPORTED', `machine type '${machine ?? '<null>'}'`)
  }
  return domainCapabilities(connect, found, form)
}

/** KVM's own limit of vCPUs of a guest on x86 with no word from the kernel (KVM_MAX_VCPUS). */
const KVM_MAX_VCPUS = 1024

/** The document `virsh domcapabilities` shows. */
function domainCapabilities(connect: Connect, found: Found, form: HostModelForm): string {
  const { qemu, arch, type, machine } = found
  const has = (...any: Capability[]) => any.some(capability => qemu.has(capability))
  const guest = { os: { arch, machine } } as Asked['guest']
  const asked: Asked = { qemu, found, has, guest }
  const cpuMax = qemu.machine(machine ?? '')?.cpuMax ?? 0
  const vcpus = type === 'kvm' ? Math.min(cpuMax, KVM_MAX_VCPUS) : cpuMax
  const text = (name: string, value: string) => element(name, {}, [value])
  return formatXml(
    element('domainCapabilities', {}, [
      text('path', qemu.binary),
      text('domain', type),
      machine === undefined ? undefined : text('machine', machine),
      text('arch', arch),
      vcpus > 0 ? element('vcpu', { max: vcpus }) : undefined,
      supported('iothreads', true),
      osElement(found, connect),
      cpuElement(found, connect, form),
      supported('memoryBacking', true, enumsOf(MEMORY_BACKING, asked)),
      element(
        'devices',
        {},
        Object.entries(DEVICES).map(([name, enums]) => deviceElement(name, enums, asked))
      ),
      featuresElement(asked)
    ])
  )
}
