// -object of I/O threads and of the main loop's thread pool.
import type { IothreadDef, IothreadPoll, ThreadPool } from '../../../conf/domain/iothreads.ts'
import type { DomainDef } from '../../../conf/domain-def.ts'
import { errorsFrom } from '../../../conf/error.ts'
import type { QemuContext } from '../context.ts'
import type { ObjectProps } from '../parts/builder.ts'
import { iothreadId } from '../parts/iothread-mapping.ts'
import type { Props } from '../parts/props.ts'
import type { Command } from './command.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** Zero leaves a step to QEMU. */
const pollProps = ({ max, grow, shrink, weight }: IothreadPoll = {}): Props => ({
  'poll-max-ns': max,
  'poll-grow': grow,
  'poll-shrink': shrink,
  'poll-weight': weight
})

const poolProps = ({ poolMin, poolMax }: ThreadPool): Props => ({
  'thread-pool-min': poolMin,
  'thread-pool-max': poolMax
})

/** The object of an I/O thread. */
export const iothreadObject = (thread: IothreadDef): ObjectProps => ({
  'qom-type': 'iothread',
  id: iothreadId(thread.id),
  ...poolProps(thread),
  ...pollProps(thread.poll)
})

/** An object for each I/O thread, and one for the pool of the main loop (qemuBuildIOThreadCommandLine). */
export function iothreadsArgs(command: Command): void {
  const { iothreads, defaultIothread } = command.def
  for (const thread of iothreads) command.object(iothreadObject(thread))
  if (defaultIothread) command.object({ 'qom-type': 'main-loop', id: 'main-loop', ...poolProps(defaultIothread) })
}

/** qemuValidateDomainDefIOThreads. @throws VIR_ERR_CONFIG_UNSUPPORTED */
export function validateIothreadPools({ iothreads, defaultIothread }: DomainDef, { qemu }: QemuContext): void {
  const asked = [...iothreads, defaultIothread ?? {}].some(
    ({ poolMin, poolMax }: ThreadPool) => poolMin !== undefined || poolMax !== undefined
  )
  if (asked && !qemu.has('iothread.thread-pool-max')) {
    throw fail('VIR_ERR_CONFIG_UNSUPPORTED', 'thread_pool_min and thread_pool_max is not supported by this QEMU binary')
  }
}
