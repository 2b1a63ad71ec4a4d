// IOThreads that come, go and change: those of a running guest, and those of a definition for its next start.
import type { IothreadMapping } from '../../../conf/devices/iothread-mapping.ts'
import { type IothreadDef, withIothread, withKeptNumbers, withoutIothread } from '../../../conf/domain/iothreads.ts'
import type { DomainDef } from '../../../conf/domain-def.ts'
import { errorsFrom } from '../../../conf/error.ts'
import type { Meant } from '../../method.ts'
import { iothreadObject } from '../command/iothread.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { iothreadId } from '../parts/iothread-mapping.ts'
import { queryIothreads } from '../process/iothreads.ts'
import { forgetThread, setUpThread } from '../process/threads.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const failDomain = errorsFrom('VIR_FROM_DOMAIN')
const badArgument = (message: string) => failDomain('VIR_ERR_INVALID_ARG', message)
const invalid = (message: string) => fail('VIR_ERR_OPERATION_INVALID', message)

/** Changes definitions; libvirt reads the persistent one anew before: threads that it lists have their numbers for good. */
function change(domain: QemuDomain, meant: Meant, edit: (def: DomainDef) => DomainDef): void {
  domain.change(meant, def => edit(def === meant.live ? def : withKeptNumbers(def)))
}

/** The persistent definition is looked at first. */
const meantDefs = ({ config, live }: Meant): DomainDef[] => [config, live].filter(def => def !== undefined)

/**
 * Makes an IOThread (qemuDomainHotplugAddIOThread). What fails leaves none.
 * @throws VIR_ERR_INVALID_ARG for a number that is taken, VIR_ERR_INTERNAL_ERROR with QEMU's words
 */
export async function addIothread(domain: QemuDomain, id: number, meant: Meant): Promise<void> {
  if (meantDefs(meant).some(({ iothreads }) => iothreads.some(one => one.id === id))) {
    throw badArgument(`an IOThread is already using iothread_id '${id}'`)
  }
  const done = () => change(domain, meant, def => withIothread(def, id))
  if (!meant.live) return done()
  const { qmp } = domain
  await qmp.execute('object-add', iothreadObject({ id }))
  try {
    const tid = (await queryIothreads(qmp)).get(id)
    if (tid === undefined) throw fail('VIR_ERR_INTERNAL_ERROR', `cannot find new IOThread '${id}' in QEMU monitor.`)
    domain.checkActive()
    await setUpThread(domain, { kind: 'iothread', id, tid })
    done()
  } catch (error) {
    await qmp.execute('object-del', { id: iothreadId(id) }).catch(left(domain, id))
    await forgetThread(domain, { kind: 'iothread', id }).catch(left(domain, id))
    throw error
  }
}

const left = (domain: QemuDomain, iothread: number) => (error: unknown) =>
  domain.log.warn({ err: error, iothread }, 'an IOThread is not what the definition says')

/**
 * Removes an IOThread that nothing uses (qemuDomainHotplugDelIOThread).
 * @throws VIR_ERR_INVALID_ARG for one that is not there or in use, VIR_ERR_INTERNAL_ERROR with QEMU's words
 */
export async function deleteIothread(domain: QemuDomain, id: number, meant: Meant): Promise<void> {
  for (const def of meantDefs(meant)) checkUnused(def, id)
  const done = () => change(domain, meant, def => withoutIothread(def, id))
  if (!meant.live) return done()
  const thread = meant.live.iothreads.find(one => one.id === id)!
  const { qmp } = domain
  await qmp.execute('object-del', { id: iothreadId(id) })
  domain.checkActive()
  try {
    done()
  } catch (error) {
    await qmp.execute('object-add', iothreadObject(thread)).catch(left(domain, id))
    throw error
  }
  await forgetThread(domain, { kind: 'iothread', id })
}

/** virDomainDriverDelIOThreadCheck */
function checkUnused({ iothreads, devices }: DomainDef, id: number): void {
  if (!iothreads.some(one => one.id === id)) throw badArgument(`cannot find IOThread '${id}' in iothreadids list`)
  const uses = (driver: { iothread?: number; iothreads?: IothreadMapping } = {}) =>
    driver.iothread === id || driver.iothreads?.some(one => one.id === id)
  const disk = devices.disks.find(({ driver }) => uses(driver))
  if (disk) {
    throw badArgument(`cannot remove IOThread ${id} since it is being used by disk '${disk.target?.dev}'`)
  }
  if (devices.controllers.some(({ driver }) => uses(driver))) {
    throw badArgument(`cannot remove IOThread '${id}' since it is being used by controller`)
  }
}

/** Settings of an IOThread by libvirt's names. */
export interface IothreadSettings {
  /** ns */
  poll_max_ns?: bigint
  poll_grow?: number
  poll_shrink?: number
  poll_weight?: number
  /** -1: QEMU's own */
  thread_pool_min?: number
  thread_pool_max?: number
}

/** QEMU's properties, in the order it is told of them. */
const PROPERTIES = {
  poll_max_ns: 'poll-max-ns',
  poll_grow: 'poll-grow',
  poll_shrink: 'poll-shrink',
  poll_weight: 'poll-weight',
  thread_pool_min: 'thread-pool-min',
  thread_pool_max: 'thread-pool-max'
} as const satisfies Record<keyof IothreadSettings, string>

/** @throws VIR_ERR_CONFIG_UNSUPPORTED for sizes no pool has (qemuDomainIOThreadParseParams) */
function checkSettings({ thread_pool_min: min = 0, thread_pool_max: max = 1 }: IothreadSettings): void {
  if (min < -1) {
    throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `thread_pool_min (${min}) must be equal to or greater than -1`)
  }
  if (max < -1 || max === 0) {
    throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `thread_pool_max (${max}) must be a positive number or -1`)
  }
}

/** The thread that is meant, checked with its settings (qemuDomainIOThreadValidate). */
function checkThread(def: DomainDef, id: number, settings: IothreadSettings, isLive: boolean): void {
  const thread = def.iothreads.find(one => one.id === id)
  if (!thread) throw fail('VIR_ERR_INVALID_ARG', `cannot find IOThread '${id}' in iothreadids`)
  for (const name of ['thread_pool_min', 'thread_pool_max'] as const) {
    const value = settings[name]
    // a running QEMU does not go back to what it would do by itself
    if (isLive && value !== undefined && value < 0) {
      throw invalid(`${name} (${value}) must be equal to or greater than 0 for live change`)
    }
  }
  const min = settings.thread_pool_min ?? thread.poolMin ?? -1
  const max = settings.thread_pool_max ?? thread.poolMax ?? -1
  if (min > max) throw invalid(`thread_pool_min (${min}) can't be greater than thread_pool_max (${max})`)
}

/**
 * Changes settings of an IOThread (qemuDomainHotplugModIOThread). What fails leaves all of them as they were.
 * @throws VIR_ERR_INVALID_ARG for one that is not there, VIR_ERR_CONFIG_UNSUPPORTED and VIR_ERR_OPERATION_INVALID for
 *   sizes no pool has, VIR_ERR_INTERNAL_ERROR with QEMU's words
 */
export async function setIothread(
  domain: QemuDomain,
  id: number,
  settings: IothreadSettings,
  meant: Meant
): Promise<void> {
  checkSettings(settings)
  const { live, config } = meant
  if (config) checkThread(config, id, settings, false)
  if (live) checkThread(live, id, settings, true)
  const done = () => change(domain, meant, def => withSettings(def, id, settings))
  if (!live) return done()
  const undo = await tellSettings(domain, id, settings)
  try {
    domain.checkActive()
    done()
  } catch (error) {
    await undo()
    throw error
  }
}

/** Tells QEMU of settings, all or none (qemuMonitorJSONSetIOThread). @returns how to take them back */
async function tellSettings(domain: QemuDomain, id: number, settings: IothreadSettings): Promise<() => Promise<void>> {
  const { qmp } = domain
  const path = `/objects/${iothreadId(id)}`
  const wanted = Object.entries(PROPERTIES).flatMap(([name, property]) => {
    const value = settings[name as keyof IothreadSettings]
    return value === undefined ? [] : [{ property, value }]
  })
  const get = async ({ property }: { property: string }) =>
    [property, await qmp.execute<number>('qom-get', { path, property })] as const
  const before = new Map(await Promise.all(wanted.map(get)))
  // the pool's least size is at no time above its greatest
  const grows = (before.get(PROPERTIES.thread_pool_max) ?? Infinity) < (settings.thread_pool_min ?? 0)
  const told = grows ? [...wanted.slice(0, -2), ...wanted.slice(-2).reverse()] : wanted
  const done: string[] = []
  const undo = async () => {
    for (const property of done.toReversed()) {
      await qmp.execute('qom-set', { path, property, value: before.get(property) }).catch(left(domain, id))
    }
  }
  try {
    for (const { property, value } of told) {
      await qmp.execute('qom-set', { path, property, value })
      done.push(property)
    }
  } catch (error) {
    await undo()
    throw error
  }
  return undo
}

/** qemuDomainHotplugModIOThreadIDDef */
function withSettings(def: DomainDef, id: number, settings: IothreadSettings): DomainDef {
  const { poll_max_ns: max, poll_grow: grow, poll_shrink: shrink, poll_weight: weight } = settings
  const poll = {
    ...(max !== undefined && { max }),
    ...(grow !== undefined && { grow: BigInt(grow) }),
    ...(shrink !== undefined && { shrink: BigInt(shrink) }),
    ...(weight !== undefined && { weight })
  }
  const { thread_pool_min: min, thread_pool_max: poolMax } = settings
  const pool = {
    ...(min !== undefined && { poolMin: min }),
    ...(poolMax !== undefined && { poolMax })
  }
  const changed = (thread: IothreadDef): IothreadDef => {
    const all = { ...thread, ...(Object.keys(poll).length > 0 && { poll: { ...thread.poll, ...poll } }), ...pool }
    if (all.poolMin === -1) delete all.poolMin
    if (all.poolMax === -1) delete all.poolMax
    return all
  }
  return { ...def, iothreads: def.iothreads.map(one => (one.id === id ? changed(one) : one)) }
}
