// I/O threads that share the queues of a virtio device.
import type { IothreadMapping } from '../../../conf/devices/iothread-mapping.ts'
import type { DomainDef } from '../../../conf/domain-def.ts'
import { errorsFrom } from '../../../conf/error.ts'
import type { PropValue } from './props.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const unsupported = (message: string) => fail('VIR_ERR_CONFIG_UNSUPPORTED', message)

/** QEMU's id of a thread. */
export const iothreadId = (id: number): string => `iothread${id}`

/** Value of 'iothread-vq-mapping' (qemuBuildIothreadMappingProps). */
export function iothreadMappingProps(threads: IothreadMapping | undefined): PropValue | undefined {
  return threads?.map(({ id, queues }) => ({
    iothread: iothreadId(id),
    vqs: queues.length > 0 ? queues.map(queue => queue.id) : undefined
  }))
}

/**
 * Checks that each thread is one of the guest's and each queue has one thread, or no queue is told
 * (qemuDomainValidateIothreadMapping).
 * @param queueCount queues of the device
 * @throws VIR_ERR_CONFIG_UNSUPPORTED
 */
export function validateIothreadMapping(def: DomainDef, threads: IothreadMapping | undefined, queueCount = 0): void {
  if (!threads) return
  const isExplicit = threads[0]!.queues.length > 0
  if (isExplicit && queueCount === 0)
    throw unsupported("'queue' count must be configured for explicit iothread to queue mapping")
  const mapped = new Set<number>()
  const served = new Set<number>()
  for (const { id, queues } of threads) {
    if (mapped.has(id)) throw unsupported(`duplicate mapping for iothread '${id}'`)
    mapped.add(id)
    if (!def.iothreads.some(one => one.id === id)) throw unsupported(`iothread '${id}' not defined in iothreadid`)
    if (queues.length > 0 !== isExplicit)
      throw unsupported('iothread to queue mapping must be provided for all iothreads or for none')
    for (const queue of queues) {
      if (queue.id >= queueCount) throw unsupported(`iothread queue '${queue.id}' mapping out of range`)
      if (served.has(queue.id)) throw unsupported(`iothread queue '${queue.id}' is already assigned`)
      served.add(queue.id)
    }
  }
  if (!isExplicit) return
  for (let queue = 0; queue < queueCount; queue++)
    if (!served.has(queue)) throw unsupported(`missing iothread mapping for queue '${queue}'`)
}
