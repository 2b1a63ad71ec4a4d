// <memoryBacking>: pages, files and sharing of the guest's memory on the host.
import { formatBitmap, parseBitmap, requireBits } from '../bitmap.ts'
import type { DomainDef } from '../domain-def.ts'
import { attr, claim, custom, type Def, type Field, type Fields, flag, gatheredChild, readFirst } from '../element.ts'
import { errorsFrom } from '../error.ts'
import { enumOf, type Scalar, string, uint } from '../scalar.ts'
import { attributeAmount, memoryKiB, missingAmount } from '../scaled.ts'
import { childElements, element, gathered, type XmlElement, xpathAttribute } from '../xml.ts'
import { memoryAccess, numaCells } from './numa.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

/** A huge page size, for the guest's NUMA nodes named or for all others. */
export interface HugePage {
  sizeKiB: number
  nodeset?: string
}

/** One enum attribute of a child, with the message libvirt has for these. */
function choice<T extends string>(name: string, attribute: string, type: Scalar<T>): Field<T | undefined> {
  return {
    names: [[name, { value: attr(attribute, type) }]],
    parse(node) {
      const text = xpathAttribute(node, name, attribute)
      if (!text) return undefined
      const value = type.parse(text)
      if (value !== undefined) return value
      throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `unknown memoryBacking/${name}/${attribute} '${text}'`)
    },
    format(value, into) {
      if (value !== undefined) into.children.push(element(name, { [attribute]: value }))
    }
  }
}

const mode = choice('allocation', 'mode', enumOf('immediate', 'ondemand'))

const table = {
  /** `[]`: pages of the host's default size */
  hugepages: custom<HugePage[] | undefined>({
    names: [
      [
        'hugepages',
        {
          page: claim([
            'page',
            { size: attr('size', string), unit: attr('unit', string), nodeset: attr('nodeset', string) }
          ])
        }
      ]
    ],
    parse(node) {
      const found = gathered(node, 'hugepages')
      return found && childElements(found, 'page').map(parsePage)
    },
    format(value, into) {
      if (!value) return
      const pages = value.map(({ sizeKiB, nodeset }) => element('page', { size: sizeKiB, unit: 'KiB', nodeset }))
      into.children.push(element('hugepages', {}, pages))
    }
  }),
  /** no merging of equal pages by the host (KSM) */
  nosharepages: flag('nosharepages'),
  /** the host never swaps the guest's memory */
  locked: flag('locked'),
  source: choice('source', 'type', enumOf('file', 'anonymous', 'memfd')),
  access: choice('access', 'mode', memoryAccess),
  allocation: custom<{ mode?: 'immediate' | 'ondemand'; threads?: number } | undefined>({
    names: [['allocation', { mode: attr('mode', string), threads: attr('threads', uint) }]],
    parse(node, context) {
      const kind = mode.parse(node, context)
      const text = xpathAttribute(node, 'allocation', 'threads')
      const threads = text ? uint.parse(text) : 0
      if (threads === undefined) throw fail('VIR_ERR_XML_ERROR', 'Failed to parse memory allocation threads')
      return kind || threads ? { ...(kind && { mode: kind }), ...(threads > 0 && { threads }) } : undefined
    },
    format(value, into) {
      if (value) into.children.push(element('allocation', { mode: value.mode, threads: value.threads }))
    }
  }),
  discard: flag('discard')
} satisfies Fields
export type MemoryBackingDef = Def<typeof table>

const gatheredTable = gatheredChild('memoryBacking', table)
const gatheredAsRead = gatheredChild('memoryBacking', readFirst(table, 'source', 'access', 'allocation'))

export const memoryBackingFields = {
  memoryBacking: custom<MemoryBackingDef | undefined>({ ...gatheredTable, parse: gatheredAsRead.parse })
} satisfies Fields

function parsePage(node: XmlElement): HugePage {
  if (!node.attributes.size) throw missingAmount('./@size')
  const sizeKiB = memoryKiB(attributeAmount(node, 'size'))
  if (sizeKiB === 0) throw fail('VIR_ERR_XML_DETAIL', "hugepage size can't be zero")
  const { nodeset } = node.attributes
  return nodeset === undefined ? { sizeKiB } : { sizeKiB, nodeset: requireBits(nodeset, 'nodeset') }
}

/** Node 0 alone means all memory if the guest has no NUMA nodes (virDomainDefPostParseMemtune). */
export function postParseHugepages(def: DomainDef): void {
  if (numaCells(def).length > 0) return
  for (const page of def.memoryBacking?.hugepages ?? []) if (page.nodeset === '0') page.nodeset = undefined
}

/** virDomainDefMemtuneValidate. @throws VIR_ERR_XML_DETAIL */
export function validateHugepages(def: DomainDef): void {
  const bad = (message: string) => fail('VIR_ERR_XML_DETAIL', message)
  const cells = BigInt(numaCells(def).length)
  const earlier: { sizeKiB: number; bits: bigint | undefined }[] = []
  for (const { sizeKiB, nodeset } of def.memoryBacking?.hugepages ?? []) {
    const bits = nodeset === undefined ? undefined : parseBitmap(nodeset)
    for (const other of earlier) {
      if (bits !== undefined && other.bits !== undefined && (bits & other.bits) !== 0n) {
        throw bad(`nodeset attribute of hugepages of sizes ${sizeKiB} and ${other.sizeKiB} intersect`)
      }
      if (bits === undefined && other.bits === undefined) {
        throw bad(`two master hugepages detected: ${sizeKiB} and ${other.sizeKiB}`)
      }
    }
    const unknown = formatBitmap(((bits ?? 0n) >> cells) << cells)
    if (unknown !== '') throw bad(`hugepages: node ${Number.parseInt(unknown, 10)} not found`)
    earlier.push({ sizeKiB, bits })
  }
}
