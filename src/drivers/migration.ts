// Migrations, as both sides speak of them: a client with a connection, a guest with the other host's daemon.

import { array, int, optional, struct, text, typedInput, type WireValue } from '../conf/wire.ts'
import type { ByteChannel } from './method.ts'

/** Parameters of a migration (VIR_MIGRATE_PARAM_*); sizes and speeds in bytes and MiB/s as libvirt has them. */
export const migrationParams = typedInput(
  {
    migrate_uri: 'string',
    destination_name: 'string',
    destination_xml: 'string',
    bandwidth: 'ullong',
    graphics_uri: 'string',
    listen_address: 'string',
    migrate_disks: 'strings',
    migrate_disks_detect_zeroes: 'strings',
    migrate_disks_target_zero: 'strings',
    disks_port: 'int',
    compression: 'strings',
    'compression.mt.level': 'int',
    'compression.mt.threads': 'int',
    'compression.mt.dthreads': 'int',
    'compression.xbzrle.cache': 'ullong',
    persistent_xml: 'string',
    'auto_converge.initial': 'int',
    'auto_converge.increment': 'int',
    'bandwidth.postcopy': 'ullong',
    'parallel.connections': 'int',
    'compression.zlib.level': 'int',
    'compression.zstd.level': 'int',
    'tls.destination': 'string',
    disks_uri: 'string',
    'bandwidth.avail.switchover': 'ullong'
  },
  { mayBeEmpty: true }
)
export type MigrationParams = WireValue<typeof migrationParams>

/** Something that a dry run of a migration has found: libvirt's error of the check, or one like it. */
const finding = struct({
  side: text("'source' or 'destination'"),
  severity: text("'error': the migration would fail; 'warning': it may, or the guest may suffer"),
  about: text('what was looked at: flags, guest, definition, disks, cpu, ports, …'),
  device: optional(text('the one of several that it is of')),
  code: int('virErrorNumber'),
  codeName: text(),
  domain: int('virErrorDomain'),
  domainName: text(),
  message: text()
})
export type Finding = WireValue<typeof finding>

/** A guest can have more devices than anybody reads findings. */
export const FINDINGS_MAX = 4096
export const findings = array(finding, FINDINGS_MAX)

/** A phase of a migration, as a client asks for it. */
export interface MigrationPhase {
  /** VIR_MIGRATE_PARAM_* */
  params: MigrationParams
  /** virDomainMigrateFlags */
  flags: number
  /** the other side's words, in libvirt's form */
  cookie: Uint8Array | undefined
}

/** What the side has to say to which a guest comes. */
export interface MigrationPrepared {
  cookie: Uint8Array
  /** where the guest is waited for, if that is another place than its client's */
  uri?: string | undefined
}

/** The same, and where what comes is to go. */
export interface MigrationTunnel {
  cookie: Uint8Array
  channel: ByteChannel
}

export interface MigrationFinished {
  /** the guest's handle */
  dom: { name: string; uuid: string; id: number }
  cookie: Uint8Array
}

/** Bytes that go there. */
export interface PeerStream {
  /** @returns false where it is behind: no more is to be sent until it has caught up */
  write(data: Buffer): boolean
  onDrain(listener: () => void): void
  /** Settles once it has taken all. @throws what it says, VIR_ERR_OPERATION_FAILED when it is gone */
  finish(): Promise<void>
  /** It is not to wait for more. */
  abort(): void
}

/** Another host's daemon, connected. Each call fails as the daemon does, or with VIR_ERR_OPERATION_FAILED once it is gone. */
export interface Peer {
  /** @param feature virDrvFeature */
  supports(feature: number): Promise<boolean>
  prepare(phase: MigrationPhase): Promise<MigrationPrepared>
  /** The same for a guest whose bytes go by this connection. */
  prepareTunnel(phase: MigrationPhase): Promise<{ cookie: Uint8Array; stream: PeerStream }>
  finish(phase: MigrationPhase & { cancelled: boolean }): Promise<MigrationFinished>
  /** it is gone */
  readonly isLost: boolean
  /** called once it is */
  onLost(listener: () => void): void
  close(): void
}

/** Connects to the daemon of a URI. @throws VIR_ERR_SYSTEM_ERROR, VIR_ERR_INVALID_ARG, VIR_ERR_NO_CONNECT */
export type OpenPeer = (uri: string) => Promise<Peer>
