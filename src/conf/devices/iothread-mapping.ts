// <iothreads> of a <driver>: I/O threads that share the queues of a virtio device (virDomainIothreadMappingDef).
import { attr, child, children, type Def, type Field, type Fields, required } from '../element.ts'
import { uint } from '../scalar.ts'

const id = required(attr('id', uint))

const threadFields = {
  id,
  /** numbers of the queues it serves; none: QEMU deals them out */
  queues: children('queue', { id })
} satisfies Fields
export type IothreadMapping = Def<typeof threadFields>[]

const list = child('iothreads', { threads: children('iothread', threadFields) })

/** Absent without a thread. */
export const iothreadMapping: Field<IothreadMapping | undefined> = {
  names: list.names,
  parse(node, context) {
    const threads = list.parse(node, context)?.threads
    return threads && threads.length > 0 ? threads : undefined
  },
  format(threads, into, context) {
    if (threads) list.format({ threads }, into, context)
  }
}
