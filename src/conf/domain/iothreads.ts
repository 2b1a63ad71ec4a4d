// <iothreads>, <iothreadids> and <defaultiothread>: threads of QEMU that do the I/O of disks and controllers.
import type { DomainDef } from '../domain-def.ts'
import {
  attr,
  child,
  claim,
  custom,
  type Def,
  type Fields,
  missingAttribute,
  nonZero,
  parseFields
} from '../element.ts'
import { errorsFrom } from '../error.ts'
import { nonNegativeInt, uint, ulonglong } from '../scalar.ts'
import { childElements, element, firstChild, textOf } from '../xml.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

/** More than any host runs; bounds what a hostile count makes us allocate. */
const IOTHREADS_MAX = 16384

/** Bounds of a thread's pool of workers; absent: QEMU's own. */
export interface ThreadPool {
  poolMin?: number
  poolMax?: number
}
export interface IothreadDef extends ThreadPool {
  id: number
  poll?: IothreadPoll
  /** numbered by us, not by the user */
  autofill?: true
}

const pool = {
  poolMin: attr('thread_pool_min', nonNegativeInt),
  poolMax: attr('thread_pool_max', nonNegativeInt)
} satisfies Fields
const iothreadId = nonZero(attr('id', uint))

/** Most bits a 64-bit interval can be shifted by. */
const POLL_WEIGHT_MAX = 63

const pollFields = {
  /** longest time, ns */
  max: attr('max', ulonglong),
  grow: attr('grow', ulonglong),
  shrink: attr('shrink', ulonglong),
  /** shift of what the latest interval counts; since 12.7 */
  weight: attr('weight', uint)
} satisfies Fields
/** Time that a thread polls before it sleeps, and the steps it is changed by; zero leaves a step to QEMU. */
export type IothreadPoll = Def<typeof pollFields>
const poll = child('poll', pollFields)

export const iothreadFields = {
  iothreads: custom<IothreadDef[]>({
    names: ['iothreads', ['iothreadids', { iothread: claim(['iothread', { id: iothreadId, ...pool, poll }]) }]],
    parse(node, context) {
      const text = textOf(firstChild(node, 'iothreads') ?? element('iothreads'))
      const count = text === '' ? 0 : uint.parse(text)
      if (count === undefined || count > IOTHREADS_MAX) {
        throw fail('VIR_ERR_XML_ERROR', `invalid iothreads count '${text}'`)
      }
      const threads: IothreadDef[] = []
      const used = new Set<number>()
      for (const one of childElements(node, 'iothreadids').flatMap(list => childElements(list, 'iothread'))) {
        const id = iothreadId.parse(one, context)
        if (id === undefined) throw missingAttribute(one, 'id')
        const thread = { id, ...parseFields(one, { ...pool, poll }, context) }
        if (used.has(id)) throw fail('VIR_ERR_XML_ERROR', `duplicate iothread id '${id}' found`)
        used.add(id)
        threads.push(thread)
      }
      for (let id = 1; threads.length < count; id++) if (!used.has(id)) threads.push({ id, autofill: true })
      return threads
    },
    format(value, into, context) {
      if (value.length === 0) return
      into.children.push(element('iothreads', {}, [String(value.length)]))
      if (!isListed(value)) return
      const ids = value.map(one => {
        const node = element('iothread', { id: one.id, ...poolAttributes(one) })
        poll.format(one.poll, node, context)
        return node
      })
      into.children.push(element('iothreadids', {}, ids))
    }
  }),
  /** the pool of QEMU's main loop */
  defaultIothread: custom<ThreadPool | undefined>({
    names: [['defaultiothread', pool]],
    parse(node, context) {
      const found = firstChild(node, 'defaultiothread')
      const parsed = found ? parseFields(found, pool, context) : {}
      return Object.keys(parsed).length > 0 ? parsed : undefined
    },
    format(value, into) {
      if (value) into.children.push(element('defaultiothread', poolAttributes(value)))
    }
  })
} satisfies Fields

const poolAttributes = ({ poolMin, poolMax }: ThreadPool) => ({ thread_pool_min: poolMin, thread_pool_max: poolMax })

/** True if a definition lists the threads, instead of counting them (virDomainDefIothreadShouldFormat). */
const isListed = (threads: readonly IothreadDef[]): boolean =>
  threads.some(one => !one.autofill || one.poll || one.poolMin !== undefined || one.poolMax !== undefined)

const withNumber = ({ autofill: _, ...thread }: IothreadDef): IothreadDef => thread

/** The definition as it is read again: threads that are listed have been given their numbers. */
export const withKeptNumbers = (def: DomainDef): DomainDef =>
  isListed(def.iothreads) ? { ...def, iothreads: def.iothreads.map(withNumber) } : def

/** The definition with one more thread (virDomainIOThreadIDAdd). */
export const withIothread = (def: DomainDef, id: number): DomainDef => ({
  ...def,
  iothreads: [...def.iothreads, { id }]
})

/** The definition without that thread, and without what was said of it alone (virDomainIOThreadIDDel). */
export function withoutIothread(def: DomainDef, id: number): DomainDef {
  const at = def.iothreads.findIndex(one => one.id === id)
  if (at < 0) return def
  // those behind are no longer numbered as they would be by themselves
  const behind = def.iothreads.slice(at + 1).map(withNumber)
  const isOther = ({ iothread }: { iothread: number }) => iothread !== id
  const { cputune } = def
  return {
    ...def,
    iothreads: [...def.iothreads.slice(0, at), ...behind],
    ...(cputune && {
      cputune: {
        ...cputune,
        iothreadpins: cputune.iothreadpins.filter(isOther),
        iothreadscheds: cputune.iothreadscheds.filter(isOther)
      }
    })
  }
}

/** virDomainDefValidateIOThreads. @throws VIR_ERR_CONFIG_UNSUPPORTED */
export function validateIothreads({ iothreads, defaultIothread }: DomainDef): void {
  for (const { poolMin, poolMax } of [...iothreads, ...(defaultIothread ? [defaultIothread] : [])]) {
    if (poolMax === 0) throw fail('VIR_ERR_CONFIG_UNSUPPORTED', 'thread_pool_max must be a positive integer')
    // an absent maximum counts as -1 in libvirt: a minimum alone is refused
    if (poolMin !== undefined && poolMin > (poolMax ?? -1)) {
      throw fail('VIR_ERR_CONFIG_UNSUPPORTED', 'thread_pool_min must be smaller or equal to thread_pool_max')
    }
  }
  for (const { poll } of iothreads) {
    if (poll?.weight !== undefined && poll.weight > POLL_WEIGHT_MAX) {
      const range = `[0, ${POLL_WEIGHT_MAX}]`
      throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `poll weight ${poll.weight} is out of range ${range}`)
    }
  }
}
