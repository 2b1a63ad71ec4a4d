// qemu-pr-helper: does SCSI persistent reservations for a guest's LUNs, for which QEMU itself has no right
// (qemuProcessStartManagedPRDaemon).
import type { DomainDef } from '../../../../conf/domain-def.ts'
import { errorsFrom } from '../../../../conf/error.ts'
import { endHelper, startHelper } from '../../../../host/helper-process.ts'
import type { ProcessOwner } from '../../../../host/owner.ts'
import type { QemuContext } from '../../context.ts'
import { hasManagedReservations, managedReservationsPath } from './disk.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/**
 * Starts the helper if a disk needs it.
 * @param log where its output goes
 * @throws VIR_ERR_OPERATION_FAILED with what it said, VIR_ERR_OPERATION_TIMEOUT
 */
export async function startReservationsHelper(
  def: DomainDef,
  context: QemuContext,
  log: string,
  owner: ProcessOwner
): Promise<void> {
  if (!hasManagedReservations(def)) return
  const socket = managedReservationsPath(context)
  await startHelper({
    command: 'qemu-pr-helper',
    args: ['-k', socket],
    socket,
    log,
    logMode: 'w',
    owner,
    failure: words =>
      words === undefined
        ? fail('VIR_ERR_OPERATION_TIMEOUT', 'pr helper socked did not show up')
        : fail('VIR_ERR_OPERATION_FAILED', `pr helper died and reported: ${words}`)
  })
}

/** Ends the helper, if there is one, and takes its files away. */
export const stopReservationsHelper = (context: QemuContext): Promise<void> =>
  endHelper(managedReservationsPath(context))
