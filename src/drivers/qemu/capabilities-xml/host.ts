// Capabilities: description of this host, and of the guests it can run (virQEMUDriverCreateCapabilities,
// virCapabilitiesFormatXML).
import { architecture } from '../../../conf/domain/os-type.ts'
import { formatHostCpu } from '../../../conf/host-cpu.ts'
import { element, formatXml, type XmlElement } from '../../../conf/xml.ts'
import { cacheBanks, interconnects, memoryCaches } from '../../../host/caches.ts'
import { hasIommu, hostUuid, suspendTargets } from '../../../host/identity.ts'
import { cellCpus, cellPages, cpuPlace, hostCells, memoryKiB, pageSizesKiB, readText } from '../../../host/topology.ts'
import type { Connect } from '../../connection.ts'
import { findEmulator } from '../capabilities/emulator.ts'
import type { Qemu } from '../capabilities/qemu.ts'
import { hostCpu } from '../cpu/host-cpu.ts'
import { emulatorFor, machinesInOrder } from './emulator-lookup.ts'

const text = (name: string, value: string | number) => element(name, {}, [String(value)])

function cpusOf(cell: number): XmlElement {
  const cpus = cellCpus(cell).map(cpuPlace)
  return element(
    'cpus',
    { num: cpus.length },
    cpus.map(({ id, socket, die, cluster, core, siblings }) =>
      element('cpu', { id, socket_id: socket, die_id: die, cluster_id: cluster, core_id: core, siblings })
    )
  )
}

function distancesOf(cell: number): XmlElement | undefined {
  const told = readText(`/sys/devices/system/node/node${cell}/distance`)
  if (told === undefined) return undefined
  const cells = hostCells()
  const siblings = told.split(/\s+/).map((value, i) => element('sibling', { id: cells[i] ?? i, value }))
  return element('distances', {}, siblings)
}

function cellElement(cell: number): XmlElement {
  const { MemTotal = 0 } = memoryKiB(cell)
  return element('cell', { id: cell }, [
    MemTotal > 0 ? element('memory', { unit: 'KiB' }, [String(MemTotal)]) : undefined,
    ...cellPages(cell).map(({ sizeKiB, total }) => element('pages', { unit: 'KiB', size: sizeKiB }, [String(total)])),
    distancesOf(cell),
    ...memoryCaches(cell),
    cpusOf(cell)
  ])
}

function topologyElement(): XmlElement {
  const cells = hostCells()
  return element('topology', {}, [
    element('cells', { num: cells.length }, cells.map(cellElement)),
    interconnects(cells)
  ])
}

/** Security drivers: none, and for the system's guests file ownership (see seclabel.ts). */
function securityModels({ privileged }: Connect): XmlElement[] {
  const model = (name: string, labels: XmlElement[] = []) =>
    element('secmodel', {}, [text('model', name), text('doi', 0), ...labels])
  const label = `+${process.getuid?.() ?? 0}:+${process.getgid?.() ?? 0}`
  const base = ['kvm', 'qemu'].map(type => element('baselabel', { type }, [label]))
  return privileged ? [model('none'), model('dac', base)] : [model('none')]
}

async function hostElement(connect: Connect): Promise<XmlElement> {
  const uuid = hostUuid()
  const cpu = formatHostCpu(await hostCpu(connect))
  cpu.children.push(...pageSizesKiB().map(size => element('pages', { unit: 'KiB', size })))
  const targets = await suspendTargets()
  return element('host', {}, [
    uuid === undefined ? undefined : text('uuid', uuid),
    cpu,
    element(
      'power_management',
      {},
      targets.map(({ name }) => element(name))
    ),
    element('iommu', { support: hasIommu() ? 'yes' : 'no' }),
    element('migration_features', {}, [
      element('live'),
      element(
        'uri_transports',
        {},
        ['tcp', 'rdma'].map(transport => text('uri_transport', transport))
      )
    ]),
    topologyElement(),
    cacheBanks(),
    ...securityModels(connect)
  ])
}

/** Machines by name; an alias comes right behind its machine. */
function machineElements(qemu: Qemu): XmlElement[] {
  return machinesInOrder(qemu).flatMap(({ name, alias, cpuMax, deprecated }) => {
    const common = { maxCpus: cpuMax > 0 ? cpuMax : undefined, deprecated: deprecated ? 'yes' : undefined }
    const canonical = element('machine', common, [name])
    return alias === undefined ? [canonical] : [canonical, element('machine', { canonical: name, ...common }, [alias])]
  })
}

const isX86 = (arch: string) => arch === 'i686' || arch === 'x86_64'

function guestElement(arch: string, qemu: Qemu): XmlElement {
  const toggled = (name: string, toggle: 'yes' | 'no') => element(name, { default: 'on', toggle })
  return element('guest', {}, [
    text('os_type', 'hvm'),
    element('arch', { name: arch }, [
      text('wordsize', wordSize(arch)),
      text('emulator', qemu.binary),
      ...machineElements(qemu),
      qemu.has('tcg') ? element('domain', { type: 'qemu' }) : undefined,
      qemu.kvm ? element('domain', { type: 'kvm' }) : undefined
    ]),
    element('features', {}, [
      ...(arch === 'i686' ? [element('pae'), element('nonpae')] : []),
      isX86(arch) || arch === 'aarch64' ? toggled('acpi', 'yes') : undefined,
      isX86(arch) ? toggled('apic', 'no') : undefined,
      element('cpuselection'),
      element('deviceboot'),
      toggled('disksnapshot', 'no'),
      element('externalSnapshot')
    ])
  ])
}

/** libvirt's virArchGetWordSize; sh4eb is listed with 64 there. */
const wordSize = (arch: string): number => (/64|^alpha$|^s390x$|^sh4eb$/.test(arch) ? 64 : 32)

/** Guests of one architecture; none where the emulator cannot be probed. */
async function guestsOf(connect: Connect, arch: string): Promise<XmlElement[]> {
  const binary = findEmulator(connect.hostArch, arch)
  if (binary === undefined) return []
  const qemu = await emulatorFor(connect, binary, 'kvm').then(
    fastest => (fastest.kvm ? fastest : emulatorFor(connect, binary, 'qemu')),
    () => undefined
  )
  return qemu ? [guestElement(arch, qemu)] : []
}

/** The document `virsh capabilities` shows. */
export async function capabilities(connect: Connect): Promise<string> {
  const parts = [await hostElement(connect)]
  // one after the other: each may launch a QEMU
  for (const arch of architecture.values) parts.push(...(await guestsOf(connect, arch)))
  return `<capabilities>\n\n${parts.map(part => `${formatXml(part, '  ')}\n`).join('')}</capabilities>\n`
}
