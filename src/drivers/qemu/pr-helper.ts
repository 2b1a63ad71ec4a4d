// qemu-pr-helper: does SCSI persistent reservations for a guest's LUNs, for which QEMU itself has no right
// (qemuProcessStartManagedPRDaemon).
import { chownSync, readFileSync, rmSync } from 'node:fs'
import type { DomainDef } from '../../conf/domain-def.ts'
import { hasManagedReservations, managedReservationsPath } from './command/disk.ts'
import type { QemuContext } from './context.ts'
import { runHostCommand } from './host-command.ts'
import { groupId, userId } from './host-ids.ts'

const PROGRAM = 'qemu-pr-helper'
/** The kernel cuts names of programs. */
const PROCESS_NAME = PROGRAM.slice(0, 15)

const pidFile = (context: QemuContext): string => managedReservationsPath(context).replace(/\.sock$/, '.pid')

/**
 * Starts the helper if a disk needs it; it detaches itself once its socket is there.
 * @param owner who QEMU runs as and so connects as
 * @throws VIR_ERR_INTERNAL_ERROR with what it said
 */
export async function startReservationsHelper(
  def: DomainDef,
  context: QemuContext,
  owner: { user?: string; group?: string }
): Promise<void> {
  if (!hasManagedReservations(def)) return
  const socket = managedReservationsPath(context)
  rmSync(socket, { force: true })
  await runHostCommand(PROGRAM, ['-d', '-k', socket, '-f', pidFile(context)])
  if (owner.user !== undefined) chownSync(socket, userId(owner.user), groupId(owner.group ?? owner.user))
}

/** Ends the helper, if there is one, and takes its files away. */
export function stopReservationsHelper(context: QemuContext): void {
  const file = pidFile(context)
  try {
    const pid = Number(readFileSync(file, 'utf8'))
    if (readFileSync(`/proc/${pid}/comm`, 'utf8').trim() === PROCESS_NAME) process.kill(pid, 'SIGTERM')
  } catch {
    // it was never there, or it is gone already
  }
  for (const left of [file, managedReservationsPath(context)]) rmSync(left, { force: true })
}
