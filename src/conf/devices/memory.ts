// <memory> below <devices>: memory modules, persistent memory, resizable memory, SGX enclave memory.

import { bitmapChild } from '../bitmap.ts'
import { memoryAccess, numaCells } from '../domain/numa.ts'
import type { DomainDef } from '../domain-def.ts'
import { attr, claim, custom, type Def, type Fields, required } from '../element.ts'
import { errorsFrom } from '../error.ts'
import { randomUUID } from '../random.ts'
import { enumOf, hexlong, int, string, uuid, yesNo } from '../scalar.ts'
import { childAmount, memoryKiB, missingAmount } from '../scaled.ts'
import { element, firstChild, textOf, type XmlElement } from '../xml.ts'
import { fitsAddress, sameAddress } from './device-address.ts'
import { deviceInfo } from './device-info.ts'
import { deviceFamily } from './family.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

/** Of the hosts QEMU's guests with persistent memory run on. */
const PAGE_KIB = 4
const PAGE_BYTES = BigInt(PAGE_KIB) * 1024n

const model = enumOf('dimm', 'nvdimm', 'virtio-pmem', 'virtio-mem', 'sgx-epc')
export type MemoryModel = (typeof model.values)[number]

/** Host side; SOURCES has the fields of each model. */
export interface MemorySource {
  /** host NUMA nodes */
  nodemask?: string
  pagesizeKiB?: number
  /** file or device with the contents */
  path?: string
  alignsizeKiB?: number
  /** the file lies on persistent memory */
  pmem?: true
}

/** Guest side. */
export interface MemoryTarget {
  sizeKiB: number
  /** guest NUMA cell */
  node?: number
  /** part of an NVDIMM that holds its namespace labels */
  labelSizeKiB?: number
  readonly?: true
  /** virtio-mem plugs memory in blocks, up to the requested size */
  blockKiB?: number
  requestedKiB?: number
  /** memory the guest has plugged; live only */
  currentKiB?: number
  /** where a virtio device's memory begins for the guest, in bytes; QEMU's choice if not given */
  address?: bigint
  /** virtio-mem takes KVM's memory slots as memory is plugged */
  dynamicMemslots?: boolean
}

const kib = (node: XmlElement, name: string) => memoryKiB(childAmount(node, name)) || undefined
const text = (node: XmlElement, name: string) => {
  const found = firstChild(node, name)
  return (found && textOf(found)) || undefined
}

/** The reader of a model's `<source>`, in libvirt's order of reading. */
const SOURCES: Record<MemoryModel, (node: XmlElement) => MemorySource> = {
  dimm: pages,
  'virtio-mem': pages,
  nvdimm: node => ({
    path: text(node, 'path'),
    alignsizeKiB: kib(node, 'alignsize'),
    pmem: firstChild(node, 'pmem') && true
  }),
  'virtio-pmem': node => ({ path: text(node, 'path') }),
  'sgx-epc': node => ({ nodemask: bitmapChild(node, 'nodemask', textOf) })
}

function pages(node: XmlElement): MemorySource {
  const pagesizeKiB = kib(node, 'pagesize')
  return { pagesizeKiB, nodemask: bitmapChild(node, 'nodemask', textOf) }
}

const amount = { unit: attr('unit', string) }
const dynamicMemslots = attr('dynamicMemslots', yesNo)
const addressBase = attr('base', hexlong(1, 16))

const table = {
  model: required(attr('model', model)),
  access: attr('access', memoryAccess),
  discard: attr('discard', yesNo),
  /** NVDIMMs of pSeries guests */
  uuid: custom<string | undefined>({
    names: ['uuid'],
    parse(node) {
      const given = node.attributes.model === 'nvdimm' ? text(node, 'uuid') : undefined
      if (given === undefined) return undefined
      const parsed = uuid.parse(given)
      if (parsed === undefined) throw fail('VIR_ERR_INTERNAL_ERROR', 'malformed uuid element')
      return parsed
    },
    format(value, into) {
      if (value !== undefined) into.children.push(element('uuid', {}, [value]))
    }
  }),
  source: custom<MemorySource>({
    names: [['source', { all: claim('nodemask', ['pagesize', amount], 'path', ['alignsize', amount], 'pmem') }]],
    parse(node) {
      const found = firstChild(node, 'source')
      return found ? SOURCES[node.attributes.model as MemoryModel](found) : {}
    },
    format({ nodemask, pagesizeKiB, path, alignsizeKiB, pmem }, into) {
      const children = [
        one('nodemask', nodemask),
        size('pagesize', pagesizeKiB),
        one('path', path),
        size('alignsize', alignsizeKiB),
        pmem && element('pmem')
      ]
      const node = element('source', {}, children)
      if (node.children.length > 0) into.children.push(node)
    }
  }),
  target: custom<MemoryTarget>({
    names: [
      [
        'target',
        {
          all: claim(
            'node',
            'readonly',
            ['size', amount],
            ['block', amount],
            ['requested', amount],
            ['current', amount],
            ['address', { base: addressBase }]
          ),
          dynamicMemslots,
          label: claim(['label', { size: claim(['size', amount]) }])
        }
      ]
    ],
    parse: node => parseTarget(node),
    format(target, into, { inactive }) {
      const { sizeKiB, node, labelSizeKiB, readonly, blockKiB, requestedKiB, currentKiB, address } = target
      const virtioMem = blockKiB !== undefined
      into.children.push(
        element(
          'target',
          target.dynamicMemslots === undefined ? {} : { dynamicMemslots: yesNo.format(target.dynamicMemslots) },
          [
            size('size', sizeKiB),
            one('node', node === undefined ? undefined : String(node)),
            labelSizeKiB === undefined ? undefined : element('label', {}, [size('size', labelSizeKiB)]),
            readonly && element('readonly'),
            size('block', blockKiB),
            virtioMem ? size('requested', requestedKiB ?? 0) : undefined,
            virtioMem && !inactive ? size('current', currentKiB ?? 0) : undefined,
            address ? element('address', { base: `0x${address.toString(16)}` }) : undefined
          ]
        )
      )
    }
  }),
  ...deviceInfo
} satisfies Fields
export type MemoryDef = Def<typeof table>

const one = (name: string, value: string | undefined) => (value === undefined ? undefined : element(name, {}, [value]))
const size = (name: string, value: number | undefined) =>
  value === undefined ? undefined : element(name, { unit: 'KiB' }, [String(value)])

const LABEL_MIN_KIB = 128

/** virDomainMemoryTargetDefParseXML. */
function parseTarget(dev: XmlElement): MemoryTarget {
  const found = firstChild(dev, 'target')
  if (!found) throw fail('VIR_ERR_XML_ERROR', 'missing <target> element for <memory> device')
  const nodeText = text(found, 'node')
  const node = nodeText === undefined ? undefined : int.parse(nodeText)
  if (nodeText !== undefined && (node === undefined || node < 0)) {
    throw fail('VIR_ERR_XML_ERROR', 'invalid value of memory device node')
  }
  if (text(found, 'size') === undefined) throw missingAmount('./size')
  const sizeKiB = memoryKiB(childAmount(found, 'size'))
  const target: MemoryTarget = { sizeKiB, ...(node !== undefined && { node }) }
  if (dev.attributes.model === 'nvdimm') {
    const label = firstChild(found, 'label')
    const labelSizeKiB = label && (memoryKiB(childAmount(label, 'size', './label/size')) || undefined)
    if (labelSizeKiB !== undefined && labelSizeKiB < LABEL_MIN_KIB) {
      throw fail('VIR_ERR_XML_ERROR', 'nvdimm label must be at least 128KiB')
    }
    if ((labelSizeKiB ?? 0) >= sizeKiB) {
      throw fail('VIR_ERR_XML_ERROR', 'label size must be smaller than NVDIMM size')
    }
    if (labelSizeKiB !== undefined) target.labelSizeKiB = labelSizeKiB
    if (firstChild(found, 'readonly')) target.readonly = true
  }
  if (dev.attributes.model === 'virtio-mem') {
    const blockKiB = kib(found, 'block')
    const requestedKiB = kib(found, 'requested')
    if (blockKiB !== undefined) target.blockKiB = blockKiB
    if (requestedKiB !== undefined) target.requestedKiB = requestedKiB
    const slots = dynamicMemslots.parse(found, { inactive: true })
    if (slots !== undefined) target.dynamicMemslots = slots
  }
  if (dev.attributes.model === 'virtio-mem' || dev.attributes.model === 'virtio-pmem') {
    const place = firstChild(found, 'address')
    const address = place && addressBase.parse(place, { inactive: true })
    if (address) target.address = address
  }
  return target
}

export const memory = deviceFamily({
  element: 'memory',
  fields: table,
  postParse(dev, def) {
    // the guest's writes must reach the file
    if (dev.model === 'virtio-pmem') dev.access ??= 'shared'
    if (dev.model === 'nvdimm' && isPpc64(def)) dev.uuid ??= randomUUID()
  },
  validate(dev, def) {
    checkTargetNode(dev, def)
    CHECKS[dev.model]?.(dev, def)
    checkConflict(dev, def)
  },
  same: (wanted, there) => fitsAddress(wanted, there) && sameMemory(wanted, there)
})

/** True if all but their addresses is the same (virDomainMemoryFindByDefInternal). */
export function sameMemory(wanted: MemoryDef, there: MemoryDef): boolean {
  const { path, nodemask, pagesizeKiB } = wanted.source
  const { node, sizeKiB, blockKiB, requestedKiB } = wanted.target
  return (
    (wanted.alias === undefined || wanted.alias === there.alias) &&
    wanted.model === there.model &&
    there.target.node === node &&
    there.target.sizeKiB === sizeKiB &&
    there.target.blockKiB === blockKiB &&
    there.target.requestedKiB === requestedKiB &&
    there.source.path === path &&
    there.source.nodemask === nodemask &&
    there.source.pagesizeKiB === pagesizeKiB
  )
}

/** The first address of a device, in bytes, where the user has chosen one. */
const startOf = ({ address, target }: MemoryDef): bigint =>
  address?.type === 'dimm' ? BigInt(address.base ?? 0) : (target.address ?? 0n)

/** The size of what is mapped into the guest, without an NVDIMM's label (virDomainMemoryGetMappedSize). */
function mappedBytes({ source, target }: MemoryDef): bigint {
  const align = source.alignsizeKiB ?? PAGE_KIB
  const label = Math.ceil((target.labelSizeKiB ?? 0) / align) * align
  return BigInt(target.sizeKiB - label) * 1024n
}

/** No two devices have one slot or overlap (virDomainMemoryDefCheckConflict). */
function checkConflict(dev: MemoryDef, { devices }: DomainDef): void {
  const slot = dev.address?.type === 'dimm' ? dev.address.slot : undefined
  const start = startOf(dev)
  if (start === 0n && slot === undefined) return
  const end = start + mappedBytes(dev)
  for (const other of devices.memories) {
    if (other === dev) continue
    if (slot !== undefined && other.address?.type === 'dimm' && other.address.slot === slot) {
      throw fail(
        'VIR_ERR_CONFIG_UNSUPPORTED',
        `memory device slot '${slot}' is already being used by another memory device`
      )
    }
    // a device that is updated is not its own neighbour
    if (slot === undefined && (sameAddress(other.address, dev.address) || (dev.alias && other.alias === dev.alias)))
      continue
    const otherStart = startOf(other)
    if (start === 0n || otherStart === 0n) continue
    if (start <= otherStart ? end > otherStart : otherStart + mappedBytes(other) > start) {
      const [from, to, there] = [start, end, otherStart].map(one => `0x${one.toString(16)}`)
      throw fail(
        'VIR_ERR_CONFIG_UNSUPPORTED',
        `memory device address [${from}:${to}] overlaps with other memory device (${there})`
      )
    }
  }
}

const isPpc64 = ({ os }: DomainDef) => os.arch === 'ppc64' || os.arch === 'ppc64le'

function checkTargetNode({ target }: MemoryDef, def: DomainDef): void {
  if (target.node === undefined) return
  const count = numaCells(def).length
  if (count === 0) {
    throw fail('VIR_ERR_XML_DETAIL', "can't add memory backend as guest has no NUMA nodes configured")
  }
  if (target.node >= count) {
    throw fail(
      'VIR_ERR_XML_DETAIL',
      `can't add memory backend for guest node '${target.node}' as the guest has only '${count}' NUMA nodes configured`
    )
  }
}

/** virDomainMemoryDefValidate, by model; virtio-mem's checks need the host and are QEMU's driver's. */
const CHECKS: Partial<Record<MemoryModel, (dev: MemoryDef, def: DomainDef) => void>> = {
  nvdimm(dev, def) {
    if (dev.source.path === undefined) throw fail('VIR_ERR_XML_DETAIL', "path is required for model 'nvdimm'")
    if (dev.discard) throw fail('VIR_ERR_CONFIG_UNSUPPORTED', 'discard is not supported for nvdimms')
    if (isPpc64(def)) {
      if (dev.target.labelSizeKiB !== undefined) return
      throw fail('VIR_ERR_CONFIG_UNSUPPORTED', 'label size is required for NVDIMM device')
    }
    if (dev.uuid) throw fail('VIR_ERR_CONFIG_UNSUPPORTED', 'UUID is not supported for NVDIMM device')
  },
  'virtio-pmem'({ source, discard, access, target }) {
    if (source.path === undefined) throw fail('VIR_ERR_XML_DETAIL', "path is required for model 'virtio-pmem'")
    if (discard) throw fail('VIR_ERR_CONFIG_UNSUPPORTED', "discard is not supported for model 'virtio-pmem'")
    if (access !== 'shared') {
      throw fail('VIR_ERR_CONFIG_UNSUPPORTED', 'shared access mode required for virtio-pmem device')
    }
    if (target.node !== undefined) {
      throw fail('VIR_ERR_CONFIG_UNSUPPORTED', 'virtio-pmem does not support NUMA nodes')
    }
    if ((target.address ?? 0n) % PAGE_BYTES !== 0n) {
      throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `memory address must be aligned to ${PAGE_BYTES} bytes`)
    }
  },
  'sgx-epc'({ address }) {
    if (!address) return
    throw fail('VIR_ERR_CONFIG_UNSUPPORTED', "memory device address is not supported for model 'sgx-epc'")
  }
}
