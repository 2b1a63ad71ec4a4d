// <cputune>: host CPUs, CPU time and scheduling of the guest's threads, and their shares of the host's caches.
import { bitsOf, parseBitmap, requireBits } from '../bitmap.ts'
import type { DomainDef } from '../domain-def.ts'
import {
  attr,
  claim,
  custom,
  type Def,
  type Field,
  type Fields,
  missingAttribute,
  type ParseContext,
  parseAttribute,
  parseFields,
  required
} from '../element.ts'
import { errorsFrom } from '../error.ts'
import { enumOf, int, longlong, type Scalar, string, uint, ulonglong } from '../scalar.ts'
import { childElements, element, firstChild, gathered, textOf, type XmlElement } from '../xml.ts'
import { iothreadFields } from './iothreads.ts'
import { formatResctrl, parseResctrl, type ResctrlDef, resctrlNames } from './resctrl.ts'
import { vcpuCount } from './vcpu.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

const scheduler = enumOf('batch', 'idle', 'fifo', 'rr')

/** A thread's scheduling policy; fifo and rr have a priority. */
export interface Scheduling {
  scheduler: (typeof scheduler.values)[number]
  priority?: number
}

/** A number in a child element; what libvirt writes only if it is not 0 is absent then. */
function number(name: string, type: Scalar<bigint>, keepZero = false): Field<bigint | undefined> {
  return {
    names: [name],
    parse(node) {
      const found = firstChild(node, name)
      const text = found ? textOf(found) : ''
      if (text === '') return undefined
      const value = type.parse(text)
      if (value === undefined) {
        throw fail('VIR_ERR_XML_ERROR', `can't parse cputune ${name.replace('_', ' ')} value`)
      }
      return value === 0n && !keepZero ? undefined : value
    },
    format(value, into) {
      if (value !== undefined) into.children.push(element(name, {}, [String(value)]))
    }
  }
}

const limits = {
  /** weight among the host's groups */
  shares: number('shares', ulonglong, true),
  /** CPU time of each vCPU: quota microseconds in every period; a negative quota is no limit */
  period: number('period', ulonglong),
  quota: number('quota', longlong),
  globalPeriod: number('global_period', ulonglong),
  globalQuota: number('global_quota', longlong),
  emulatorPeriod: number('emulator_period', ulonglong),
  emulatorQuota: number('emulator_quota', longlong),
  iothreadPeriod: number('iothread_period', ulonglong),
  iothreadQuota: number('iothread_quota', longlong)
} satisfies Fields

export interface CputuneDef extends Def<typeof limits> {
  vcpupins: { vcpu: number; cpuset: string }[]
  emulatorpin?: string
  iothreadpins: { iothread: number; cpuset: string }[]
  emulatorsched?: Scheduling
  vcpuscheds: ({ vcpu: number } & Scheduling)[]
  iothreadscheds: ({ iothread: number } & Scheduling)[]
  resctrls: ResctrlDef[]
}

const cpuset = attr('cpuset', string)
const sched = { scheduler: attr('scheduler', scheduler), priority: attr('priority', int) }
const iothreadAttribute = attr('iothread', uint)

export const cputuneFields = {
  cputune: custom<CputuneDef | undefined>({
    names: [
      [
        'cputune',
        {
          ...limits,
          children: claim(
            ['vcpupin', { vcpu: attr('vcpu', uint), cpuset }],
            ['emulatorpin', { cpuset }],
            ['iothreadpin', { iothread: iothreadAttribute, cpuset }],
            ['vcpusched', { vcpus: attr('vcpus', string), ...sched }],
            ['iothreadsched', { iothreads: attr('iothreads', string), ...sched }],
            ['emulatorsched', sched],
            ...resctrlNames
          )
        }
      ]
    ],
    parse(node, context) {
      const found = gathered(node, 'cputune')
      return found && parseCputune(found, node, context)
    },
    format(value, into, context) {
      if (!value) return
      const node = element('cputune')
      for (const key of Object.keys(limits) as (keyof typeof limits)[]) limits[key].format(value[key], node, context)
      const add = (name: string, attributes: Record<string, string | number | undefined>) =>
        node.children.push(element(name, attributes))
      for (const pin of value.vcpupins) add('vcpupin', { ...pin })
      if (value.emulatorpin !== undefined) add('emulatorpin', { cpuset: value.emulatorpin })
      for (const pin of value.iothreadpins) add('iothreadpin', { ...pin })
      if (value.emulatorsched) add('emulatorsched', { ...value.emulatorsched })
      for (const { vcpu, ...how } of value.vcpuscheds) add('vcpusched', { vcpus: vcpu, ...how })
      for (const { iothread, ...how } of value.iothreadscheds) add('iothreadsched', { iothreads: iothread, ...how })
      node.children.push(...formatResctrl(value.resctrls, context))
      if (node.children.length > 0) into.children.push(node)
    }
  })
} satisfies Fields

function parseCputune(node: XmlElement, domain: XmlElement, context: ParseContext): CputuneDef {
  const vcpus = vcpuCount(domain)
  const iothreads = iothreadFields.iothreads.parse(domain, context).map(({ id }) => id)
  const all = (name: string) => childElements(node, name)
  const one = (name: string) => {
    const [found, second] = all(name)
    if (second) throw fail('VIR_ERR_XML_ERROR', `only one ${name} is supported`)
    return found
  }
  const numbers = parseFields(node, limits, context)
  const vcpupins = parseVcpupins(all('vcpupin'), vcpus)
  const emulatorpin = one('emulatorpin')
  const emulatorCpus = emulatorpin && pinnedCpus(emulatorpin)
  const iothreadpins = parseIothreadpins(all('iothreadpin'), iothreads)
  const vcpuscheds = parseScheds(all('vcpusched'), 'vcpus', vcpu => {
    if (vcpu < vcpus) return
    throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `vCPU '${vcpu}' is not present in domain definition`)
  })
  const known = new Set(iothreads)
  const iothreadscheds = parseScheds(all('iothreadsched'), 'iothreads', iothread => {
    if (!known.has(iothread)) throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `Cannot find 'iothread' : ${iothread}`)
  })
  const emulatorsched = one('emulatorsched')
  const emulatorScheduling = emulatorsched && parseScheduling(emulatorsched)
  const order = new Map(iothreads.map((id, index) => [id, index]))
  return {
    ...numbers,
    vcpupins,
    ...(emulatorCpus !== undefined && { emulatorpin: emulatorCpus }),
    iothreadpins,
    ...(emulatorScheduling && { emulatorsched: emulatorScheduling }),
    vcpuscheds: vcpuscheds.map(({ id, ...how }) => ({ vcpu: id, ...how })).sort((a, b) => a.vcpu - b.vcpu),
    iothreadscheds: iothreadscheds
      .map(({ id, ...how }) => ({ iothread: id, ...how }))
      .sort((a, b) => order.get(a.iothread)! - order.get(b.iothread)!),
    resctrls: parseResctrl(node, vcpus, context)
  }
}

function pinnedCpus(node: XmlElement): string {
  const text = node.attributes.cpuset
  if (text === undefined) throw fail('VIR_ERR_INTERNAL_ERROR', `missing cpuset for ${node.name}`)
  return requireBits(text, 'cpuset')
}

/** Pins of vCPUs the guest does not have are passed over, as in libvirt. */
function parseVcpupins(nodes: XmlElement[], vcpus: number): CputuneDef['vcpupins'] {
  const pins = new Map<number, string>()
  for (const node of nodes) {
    const vcpu = parseAttribute(node, 'vcpu', uint)
    if (vcpu === undefined) throw missingAttribute(node, 'vcpu')
    if (vcpu >= vcpus) continue
    if (node.attributes.cpuset !== undefined && pins.has(vcpu)) {
      throw fail('VIR_ERR_INTERNAL_ERROR', `duplicate vcpupin for vcpu '${vcpu}'`)
    }
    pins.set(vcpu, pinnedCpus(node))
  }
  return [...pins].map(([vcpu, cpuset]) => ({ vcpu, cpuset })).sort((a, b) => a.vcpu - b.vcpu)
}

function parseIothreadpins(nodes: XmlElement[], iothreads: number[]): CputuneDef['iothreadpins'] {
  const pins = new Map<number, string>()
  const known = new Set(iothreads)
  for (const node of nodes) {
    const iothread = required(iothreadAttribute).parse(node, { inactive: true })
    if (iothread === 0) {
      throw fail(
        'VIR_ERR_XML_ERROR',
        "Invalid value for attribute 'iothread' in element 'iothreadpin': Zero is not permitted"
      )
    }
    if (!known.has(iothread)) throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `Cannot find 'iothread' : ${iothread}`)
    const cpuset = pinnedCpus(node)
    if (pins.has(iothread)) {
      throw fail('VIR_ERR_INTERNAL_ERROR', `duplicate iothreadpin for same iothread '${iothread}'`)
    }
    pins.set(iothread, cpuset)
  }
  return iothreads.flatMap(iothread => {
    const cpuset = pins.get(iothread)
    return cpuset === undefined ? [] : [{ iothread, cpuset }]
  })
}

/** virDomainSchedulerParseCommonAttrs. */
function parseScheduling(node: XmlElement): Scheduling {
  const policy = parseAttribute(node, 'scheduler', scheduler)
  if (policy === undefined) throw missingAttribute(node, 'scheduler')
  if (policy !== 'fifo' && policy !== 'rr') return { scheduler: policy }
  const priority = parseAttribute(node, 'priority', int)
  if (priority === undefined) throw missingAttribute(node, 'priority')
  return { scheduler: policy, priority }
}

/** virDomainThreadSchedParseHelper: one entry a thread. */
function parseScheds(nodes: XmlElement[], attribute: string, check: (id: number) => void) {
  const out = new Map<number, { id: number } & Scheduling>()
  for (const node of nodes) {
    const text = node.attributes[attribute]
    if (text === undefined) {
      throw fail('VIR_ERR_XML_ERROR', `Missing attribute '${attribute}' in element '${node.name}'`)
    }
    const bits = parseBitmap(text)
    if (bits === 0n) throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `'${attribute}' scheduler bitmap '${text}' is empty`)
    const scheduling = parseScheduling(node)
    for (const id of bitsOf(bits)) {
      check(id)
      if (out.has(id)) {
        throw fail('VIR_ERR_XML_DETAIL', `'${node.name}' attributes '${attribute}' must not overlap`)
      }
      out.set(id, { id, ...scheduling })
    }
  }
  return [...out.values()]
}

const PERIOD = [1000n, 1_000_000n] as const
const QUOTA = [1000n, 17_592_186_044_415n] as const

/** Ranges the kernel accepts, in libvirt's order of checking. */
const RANGES: [keyof typeof limits, string, readonly [bigint, bigint]][] = [
  ['period', "'period'", PERIOD],
  ['globalPeriod', "'global_period'", PERIOD],
  ['emulatorPeriod', "'emulator_period'", PERIOD],
  ['iothreadPeriod', "'iothread_period'", PERIOD],
  ['quota', "'quota'", QUOTA],
  ['globalQuota', "'global_quota'", QUOTA],
  ['emulatorQuota', "'emulator_quota'", QUOTA],
  ['iothreadQuota', "'iothread_quota'", QUOTA]
]

/** virDomainDefCputuneValidate. @throws VIR_ERR_CONFIG_UNSUPPORTED */
export function validateCputune({ cputune }: DomainDef): void {
  for (const [key, name, [min, max]] of RANGES) {
    const value = cputune?.[key] ?? 0n
    if (value > 0n && (value < min || value > max)) {
      throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `Value of cputune ${name} must be in range [${min}, ${max}]`)
    }
  }
}
