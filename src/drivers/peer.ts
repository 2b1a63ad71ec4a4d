// Another host's daemon, as a guest has to do with it that goes there by itself.
import type { MigrationFinished, MigrationPhase, MigrationPrepared } from './connection.ts'

/** A connection to it. Each call fails as the daemon does, or with VIR_ERR_OPERATION_FAILED once it is gone. */
export interface Peer {
  /** @param feature virDrvFeature */
  supports(feature: number): Promise<boolean>
  prepare(phase: MigrationPhase): Promise<MigrationPrepared>
  finish(phase: MigrationPhase & { cancelled: boolean }): Promise<MigrationFinished>
  /** it is gone */
  readonly isLost: boolean
  /** called once it is */
  onLost(listener: () => void): void
  close(): void
}

/** Connects to the daemon of a URI. @throws VIR_ERR_SYSTEM_ERROR, VIR_ERR_INVALID_ARG, VIR_ERR_NO_CONNECT */
export type OpenPeer = (uri: string) => Promise<Peer>
