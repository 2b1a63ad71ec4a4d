// Guests that end with the connection of the client that started them (VIR_DOMAIN_START_AUTODESTROY). As in libvirt, the
// tie is of this process: whoever takes the guest over knows of no such client, and the guest goes on.
import { virDomainCreateFlags, virDomainShutoffReason } from '../../../conf/enums.ts'
import type { QemuDomain } from '../domain/domain.ts'
import type { Run } from '../domain/run.ts'
import { stopDomain } from './stop.ts'

const { VIR_DOMAIN_START_AUTODESTROY } = virDomainCreateFlags

/** True for the arguments of a start that is tied to its client's connection. */
export const asksForTie = ({ flags }: { flags: number }) => (flags & VIR_DOMAIN_START_AUTODESTROY) !== 0

/** True for a guest that ends with its client's connection or with this process; neither can be handed on. */
export const isTied = ({ run }: QemuDomain) => run?.autoDestroy === true && run.exited !== undefined

/**
 * Destroys the guest when the connection closes, as long as it is in that run; a start under way is over first
 * (virCloseCallbacksDomainAdd with qemuProcessAutoDestroy).
 * @param connection aborts when it closes
 */
export function tieTo(connection: AbortSignal, domain: QemuDomain, run: Run): void {
  let isLoose = false
  const isOver = () => isLoose || domain.run !== run || run.phase === 'stopping'
  const destroy = async () => {
    await run.startDone
    if (isOver()) return
    domain.log.info({}, 'the client that started the guest is gone, destroying it')
    await domain.jobs.run('destroy', { api: 'virConnectClose' }, async () => {
      if (isOver()) return
      domain.setFakeReboot(false)
      await stopDomain(domain, virDomainShutoffReason.VIR_DOMAIN_SHUTOFF_DESTROYED)
    })
  }
  const closed = () => void destroy().catch(error => domain.log.error({ err: error }, 'auto destroy failed'))
  run.untie = () => {
    isLoose = true
    connection.removeEventListener('abort', closed)
  }
  if (connection.aborted) closed()
  else connection.addEventListener('abort', closed, { once: true })
}
