// Definitions and command lines of a made-up QEMU 7.2, for tests that need neither libvirtd nor QEMU.
import type { DomainDef } from '../../src/conf/domain-def.ts'
import {
  type Fields,
  type FormatContext,
  formatFields,
  type ParseContext,
  parseFields
} from '../../src/conf/element.ts'
import { VirError } from '../../src/conf/error.ts'
import { formatXml, parseXml } from '../../src/conf/xml.ts'
import type { Qemu } from '../../src/drivers/qemu/capabilities/qemu.ts'
import type { Capability } from '../../src/drivers/qemu/capabilities/signs.ts'
import { buildCommand } from '../../src/drivers/qemu/command/index.ts'
import { DEFAULT_CONFIG, type QemuConfig, type QemuContext } from '../../src/drivers/qemu/context.ts'
import { loadDomain, prepareNative } from '../../src/drivers/qemu/definition/passes.ts'
import { ShownFiles } from '../../src/host/inherited-files.ts'

const machine = (name: string, alias: string) => ({
  name,
  alias,
  isDefault: alias === 'pc',
  cpuMax: 255,
  hotpluggableCpus: true,
  defaultCpuType: 'qemu64-x86_64-cpu',
  defaultRamId: 'pc.ram',
  numaMemSupported: true,
  deprecated: false
})
const MACHINES = [machine('pc-i440fx-7.2', 'pc'), machine('pc-q35-7.2', 'q35')]

/** What only QEMUs of other architectures have. */
const ELSEWHERE: Capability[] = [
  'zpci',
  'virtio-ccw',
  'virtio-gpu-ccw',
  's390-sclp',
  'sclplmconsole',
  'vfio-ccw',
  'vfio-ap'
]

/** A QEMU for x86 that has every capability but these. */
export function fakeQemu(missing: Capability[] = []): Qemu {
  return {
    binary: '/usr/bin/qemu-system-x86_64',
    version: 7_002_000,
    package: '',
    arch: 'x86_64',
    kvm: false,
    machines: MACHINES,
    cpuModels: [],
    has: capability => !missing.includes(capability) && !ELSEWHERE.includes(capability),
    machine: name => MACHINES.find(one => one.name === name || one.alias === name)
  }
}

/** Of a host with the firmware of test/data. */
export const TEST_CONFIG: QemuConfig = { ...DEFAULT_CONFIG, firmwareDirs: ['test/data/firmware'] }

/** Surroundings without a host: nothing of it is read, nothing made. */
export function testContext(given: Partial<QemuContext> & { missing?: Capability[] } = {}): QemuContext {
  const { missing, ...rest } = given
  return {
    qemu: fakeQemu(missing),
    config: TEST_CONFIG,
    paths: {
      libDir: '/lib/guest',
      channelTargetDir: '/lib/channel/guest',
      nvramDir: '/lib/nvram',
      memoryBackingDir: '/lib/ram',
      hugepageSubdir: 'guest',
      socketDir: '/lib/guest',
      monitorSocket: '/lib/guest/monitor.sock',
      swtpmDir: '/lib/tpm',
      swtpmSocket: '/run/guest/swtpm.sock',
      dbusSocket: '/lib/guest/dbus.sock'
    },
    privileged: true,
    secrets: { value: () => new Uint8Array() },
    hostArch: 'x86_64',
    pretend: true,
    files: new ShownFiles(),
    ...rest
  }
}

export interface GuestOptions extends Partial<QemuContext> {
  machine?: string
  type?: string
  /** elements beside `<devices>` */
  outside?: string
  /** elements in `<os>`, and its attributes */
  os?: string
  osAttributes?: string
  /** attributes of `<domain>` */
  attributes?: string
  missing?: Capability[]
}

/** Domain XML around `<devices>`. */
export function guestXml(devices: string, options: GuestOptions = {}): string {
  const { machine = 'pc', type = 'qemu', outside = '', os = '', osAttributes = '', attributes = '' } = options
  return `<domain type='${type}'${attributes}><name>guest</name><memory unit='MiB'>64</memory>
    <os${osAttributes}><type arch='x86_64' machine='${machine}'>hvm</type>${os}</os>${outside}<devices>${devices}</devices></domain>`
}

/** The definition after all passes. */
export async function define(devices: string, options: GuestOptions = {}): Promise<DomainDef> {
  return (await loadDomain(guestXml(devices, options), async () => testContext(options))).def
}

/** The arguments QEMU would get: one `option value` a line, JSON values as they are. */
export async function argvOf(devices: string, options: GuestOptions = {}): Promise<string[]> {
  const def = await define(devices, options)
  const { argv } = buildCommand(def, prepareNative(def, testContext(options)))
  const lines: string[] = []
  for (const word of argv.slice(1)) {
    if (/^-[a-z]/.test(word) || lines.length === 0) lines.push(word)
    else lines.push(`${lines.pop()} ${word}`)
  }
  return lines
}

/** An element read by its table and written again, on one line. */
export function throughTable(
  fields: Fields,
  xml: string,
  { parse, format }: { parse?: Partial<ParseContext>; format?: Partial<FormatContext> } = {}
): string {
  const node = parseXml(xml)
  const def = parseFields(node, fields, { inactive: true, ...parse })
  const context = { inactive: true, secure: true, migratable: false, ...format }
  return formatXml(formatFields(node.name, def, fields, context)).replace(/\n\s*/g, '')
}

/** `code: message` of what the function throws or rejects with, or 'accepted'. */
export async function errorOf(work: () => unknown): Promise<string> {
  try {
    await work()
    return 'accepted'
  } catch (error) {
    return error instanceof VirError ? `${error.code}: ${error.message}` : String(error)
  }
}
