// qemu-pr-helper: does SCSI persistent reservations for a guest's LUNs, for which QEMU itself has no right
// (qemuProcessStartManagedPRDaemon). All disks of a guest share one.
import { join } from 'node:path'
import type { DiskDef } from '../../../../conf/devices/disk.ts'
import type { DomainDef } from '../../../../conf/domain-def.ts'
import { errorsFrom } from '../../../../conf/error.ts'
import { storageChain } from '../../../../conf/storage/chain.ts'
import { endHelper, isServed, startHelper } from '../../../../host/helper-process.ts'
import { helperLog } from '../../../../state/root.ts'
import { MANAGED_PR_MANAGER } from '../../block/node-names.ts'
import type { QemuContext } from '../../context.ts'
import type { HostEnd, HostGuest } from '../family.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** Socket of the helper that comes and goes with the guest. */
export function managedReservationsPath({ paths }: QemuContext): string {
  return join(paths.libDir, `${MANAGED_PR_MANAGER}.sock`)
}

const isManaged = ({ source }: DiskDef) => storageChain(source).some(image => image.reservations?.managed)

/** Some image has its reservations done by the helper (virDomainDefHasManagedPR). */
export const hasManagedReservations = ({ devices }: DomainDef): boolean => devices.disks.some(isManaged)

/** No other disk of the guest has the helper do its reservations. */
export const isOnlyManaged = (disk: DiskDef, { devices }: DomainDef): boolean =>
  isManaged(disk) && !devices.disks.some(other => other !== disk && isManaged(other))

export const reservationsHelper: HostEnd<DiskDef> = {
  /** @throws VIR_ERR_OPERATION_FAILED with what it said, VIR_ERR_OPERATION_TIMEOUT */
  async take(disk, guest) {
    if (isManaged(disk) && !isServed(managedReservationsPath(guest.context))) await startReservationsHelper(guest)
  },
  async give(disk, { def, context }) {
    if (isOnlyManaged(disk, def)) await stopReservationsHelper(context)
  }
}

/** Starts the helper, anew if it is there already. @throws as `take` */
export async function startReservationsHelper({ context, root, owner }: HostGuest): Promise<void> {
  const socket = managedReservationsPath(context)
  await startHelper({
    command: 'qemu-pr-helper',
    args: ['-k', socket],
    socket,
    log: helperLog(root, 'pr-helper'),
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
