// Needs of a guest's run on the host, one thing at a time. The list in index.ts is gone through by start, failed
// start, stop and reattach alike, so that none of them can forget what another one does.
import type { ProcessIdentity } from '../../../../state/status.ts'
import type { GuestCommand } from '../../command/index.ts'
import type { QemuContext } from '../../context.ts'
import type { QemuDomain } from '../../domain/domain.ts'

/** A start under way. */
export interface Starting {
  domain: QemuDomain
  /** the guest's surroundings, with the changes this start brings */
  context: QemuContext
}

export interface StartingWithCommand extends Starting {
  command: GuestCommand
}

/**
 * One thing on the host. The guest's status is on disk before the first `prepare`, and is removed after the last
 * `release`: whatever a need leaves, when this process is killed at any moment, is found again.
 */
export interface Need {
  name: string
  /** before the command line is built: completes the live definition */
  prepare?(starting: Starting): void | Promise<void>
  /** before QEMU is spawned: what it will open, and what follows from its command line */
  start?(starting: StartingWithCommand): void | Promise<void>
  /** with QEMU there, while it initialises */
  attach?(domain: QemuDomain, qemu: ProcessIdentity): void | Promise<void>
  /**
   * After QEMU is gone; undoes the others. It also runs when they were not reached, or by a process that knows no more
   * than the status file, and may run again; nothing to undo is no failure.
   */
  release(domain: QemuDomain): void | Promise<void>
}
