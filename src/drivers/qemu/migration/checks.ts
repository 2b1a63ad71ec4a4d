// Flags and parameters of migrations that do not go together, in the order and the words of libvirt's functions.
import type { DomainDef } from '../../../conf/domain-def.ts'
import { virDomainMigrateFlags } from '../../../conf/enums.ts'
import { argumentErrorsFrom, errorsFrom } from '../../../conf/error.ts'
import { checkAll, orThrow, type Refuse } from '../../../conf/refuse.ts'
import { exclusive, requires } from '../../method.ts'
import type { MigrationParams } from '../../migration.ts'
import { parseStorageUri } from '../block/uri.ts'
import type { QemuConfig } from '../context.ts'

const badArgument = argumentErrorsFrom('VIR_FROM_DOMAIN')
const fail = errorsFrom('VIR_FROM_QEMU')
const wrong = (message: string) => fail('VIR_ERR_INVALID_ARG', message)
const unsupported = (message: string) => fail('VIR_ERR_OPERATION_UNSUPPORTED', message)
const invalid = (message: string) => fail('VIR_ERR_OPERATION_INVALID', message)

const {
  VIR_MIGRATE_LIVE,
  VIR_MIGRATE_NON_SHARED_DISK,
  VIR_MIGRATE_NON_SHARED_INC,
  VIR_MIGRATE_NON_SHARED_SYNCHRONOUS_WRITES,
  VIR_MIGRATE_OFFLINE,
  VIR_MIGRATE_PARALLEL,
  VIR_MIGRATE_PAUSED,
  VIR_MIGRATE_PEER2PEER,
  VIR_MIGRATE_PERSIST_DEST,
  VIR_MIGRATE_POSTCOPY,
  VIR_MIGRATE_TLS,
  VIR_MIGRATE_TUNNELLED,
  VIR_MIGRATE_ZEROCOPY
} = virDomainMigrateFlags

const NON_SHARED = VIR_MIGRATE_NON_SHARED_DISK | VIR_MIGRATE_NON_SHARED_INC

const storageChecks = (flags: number) => [
  () => exclusive(flags, { VIR_MIGRATE_NON_SHARED_DISK, VIR_MIGRATE_NON_SHARED_INC }),
  () =>
    requires(flags, {
      VIR_MIGRATE_NON_SHARED_SYNCHRONOUS_WRITES,
      'VIR_MIGRATE_NON_SHARED_DISK | VIR_MIGRATE_NON_SHARED_INC': NON_SHARED
    })
]

/**
 * Checks what virDomainMigrateToURI3 is given.
 * @throws VIR_ERR_INVALID_ARG, VIR_ERR_ARGUMENT_UNSUPPORTED for what is not peer to peer: QEMU alone is no destination
 */
export function checkToUri(flags: number, dconnuri: string | undefined, refuse: Refuse = orThrow): void {
  checkAll(refuse, [() => exclusive(flags, { VIR_MIGRATE_TUNNELLED, VIR_MIGRATE_PARALLEL }), ...storageChecks(flags)])
  if ((flags & VIR_MIGRATE_PEER2PEER) === 0) {
    const why = 'direct migration is not supported by the source host'
    refuse(errorsFrom('VIR_FROM_DOMAIN')('VIR_ERR_ARGUMENT_UNSUPPORTED', why))
  }
  if (dconnuri === undefined) refuse(badArgument('dconnuri in virDomainMigrateToURI3 must not be NULL'))
  else if (isLocal(dconnuri)) refuse(badArgument('Attempt to migrate guest to the same host'))
}

/** True for a URI of this host; who names a socket knows what he does (virDomainMigrateCheckNotLocal). */
function isLocal(dconnuri: string): boolean {
  const uri = parseStorageUri(dconnuri)
  if (uri?.server !== undefined) return uri.server.startsWith('localhost')
  return !(uri && /^[^+]*\+unix$/.test(uri.scheme) && /(^|[&;])socket=/i.test(uri.query ?? ''))
}

/** Checks the flags of a migration that its client drives (virDomainMigrate3). @throws VIR_ERR_INVALID_ARG */
export function checkManaged(flags: number, refuse: Refuse = orThrow): void {
  checkAll(refuse, storageChecks(flags))
  if ((flags & VIR_MIGRATE_PEER2PEER) !== 0) {
    refuse(badArgument('use virDomainMigrateToURI3 for peer-to-peer migration'))
  }
  if ((flags & VIR_MIGRATE_TUNNELLED) !== 0) {
    refuse(badArgument('cannot perform tunnelled migration without using peer2peer flag'))
  }
}

/**
 * Checks that a migration is encrypted, where the host wants that; the first thing either side looks at.
 * @throws VIR_ERR_OPERATION_INVALID
 */
export function checkEncrypted({ migrateTlsForce: isForced }: QemuConfig, flags: number): void {
  if (!isForced || (flags & (VIR_MIGRATE_TUNNELLED | VIR_MIGRATE_TLS)) !== 0) return
  throw invalid('this libvirtd instance allows migration only with VIR_MIGRATE_TLS flag')
}

const isUnix = (uri: string | undefined) => uri?.startsWith('unix:') === true

/** @throws VIR_ERR_INVALID_ARG for an address where there is a path */
function checkListenAddress({ listen_address: address, migrate_uri: uri }: MigrationParams): void {
  if (address !== undefined && isUnix(uri)) {
    throw wrong('Usage of listen-address is forbidden when migration URI uses UNIX transport method')
  }
}

/** @throws VIR_ERR_INVALID_ARG for disks that would need a port where there is none */
function checkDisksUri(params: MigrationParams, flags: number): void {
  const copies = (flags & NON_SHARED) !== 0 || params.migrate_disks !== undefined
  if (copies && isUnix(params.migrate_uri) && params.disks_uri === undefined) {
    throw wrong('NBD URI must be supplied when migration URI uses UNIX transport method')
  }
}

/** @throws VIR_ERR_INVALID_ARG for two places that disks are to go to */
function checkDisksPort({ disks_uri: uri, disks_port: port }: MigrationParams): void {
  if (uri !== undefined && port) {
    throw wrong('Both port and URI requested for disk migration while being mutually exclusive')
  }
}

/**
 * Checks what a destination is given, once its settings are known (qemuDomainMigratePrepare3Params).
 * @throws VIR_ERR_INVALID_ARG, VIR_ERR_INTERNAL_ERROR for a tunnel without its stream
 */
export function checkPrepare(params: MigrationParams, flags: number, refuse: Refuse = orThrow): void {
  checkAll(refuse, [() => checkDisksUri(params, flags), () => checkDisksPort(params), () => checkListenAddress(params)])
  if ((flags & VIR_MIGRATE_TUNNELLED) !== 0) {
    refuse(fail('VIR_ERR_INTERNAL_ERROR', 'Tunnelled migration requested but invalid RPC method called'))
  }
}

/** Checks a stream's flags, before its settings are known (qemuDomainMigratePrepareTunnel3Params). */
export function checkPrepareTunnel(flags: number): void {
  if ((flags & VIR_MIGRATE_TUNNELLED) === 0) {
    throw fail('VIR_ERR_INTERNAL_ERROR', 'PrepareTunnel called but no TUNNELLED flag set')
  }
}

/**
 * Checks what a source is given, before its settings are known (qemuDomainMigratePerform3Params).
 * @throws VIR_ERR_INVALID_ARG
 */
export function checkPerform(params: MigrationParams, flags: number, refuse: Refuse = orThrow): void {
  checkAll(refuse, [() => checkDisksPort(params), () => checkListenAddress(params), () => checkDisksUri(params, flags)])
}

function checkPostcopy(flags: number, refuse: Refuse): void {
  const has = (flag: number) => (flags & flag) !== 0
  if (!has(VIR_MIGRATE_POSTCOPY)) return
  const why =
    !has(VIR_MIGRATE_LIVE) || has(VIR_MIGRATE_PAUSED)
      ? 'post-copy migration is not supported with non-live or paused migration'
      : has(VIR_MIGRATE_TUNNELLED) && 'post-copy is not supported with tunnelled migration'
  if (why) refuse(fail('VIR_ERR_ARGUMENT_UNSUPPORTED', why))
}

function checkOffline(flags: number, refuse: Refuse): void {
  const has = (flag: number) => (flags & flag) !== 0
  if (!has(VIR_MIGRATE_OFFLINE)) return
  if (has(NON_SHARED)) refuse(invalid('offline migration cannot handle non-shared storage'))
  if (!has(VIR_MIGRATE_PERSIST_DEST)) {
    refuse(invalid('offline migration must be specified with the persistent flag set'))
  }
  if (has(VIR_MIGRATE_TUNNELLED)) refuse(invalid('tunnelled offline migration does not make sense'))
}

/**
 * Refuses RDMA; where a guest comes, after what libvirt wants for it (qemuMigrationDstPrepareActive, qemuMigrationSrcPerformNative).
 * @param uri absent: another way
 * @throws VIR_ERR_OPERATION_INVALID without a limit of memory, VIR_ERR_OPERATION_UNSUPPORTED
 */
export function refuseRdma({ memtune }: DomainDef, uri: string | undefined, way: 'incoming' | 'outgoing'): void {
  if (!uri?.startsWith('rdma:')) return
  if (way === 'incoming' && memtune?.hardLimitKiB === undefined) {
    throw invalid('cannot start RDMA migration with no memory hard limit set')
  }
  throw unsupported(`${way} RDMA migration is not supported with this QEMU binary`)
}

/**
 * Checks that a guest can be taken so (qemuMigrationDstPrepareAny).
 * @throws VIR_ERR_OPERATION_INVALID, VIR_ERR_ARGUMENT_UNSUPPORTED
 */
export function checkDestination(flags: number, refuse: Refuse = orThrow): void {
  checkOffline(flags, refuse)
  checkPostcopy(flags, refuse)
}

/**
 * Checks that the guest can be moved so, once it may be moved at all (qemuMigrationSrcBeginPhase).
 * @throws VIR_ERR_ARGUMENT_UNSUPPORTED, VIR_ERR_OPERATION_INVALID, VIR_ERR_OPERATION_UNSUPPORTED, VIR_ERR_INVALID_ARG
 */
export function checkBegin(def: DomainDef, params: MigrationParams, flags: number, refuse: Refuse = orThrow): void {
  checkPostcopy(flags, refuse)
  checkOffline(flags, refuse)
  if ((flags & VIR_MIGRATE_ZEROCOPY) !== 0 && (flags & VIR_MIGRATE_PARALLEL) === 0) {
    refuse(invalid('zero-copy is only available for parallel migration'))
  }
  checkDisks(def, params, flags, refuse)
}

/** Parameters that choose disks. */
const DISKS = ['migrate_disks', 'migrate_disks_detect_zeroes', 'migrate_disks_target_zero'] as const

function checkDisks({ devices }: DomainDef, params: MigrationParams, flags: number, refuse: Refuse): void {
  const copies = (flags & NON_SHARED) !== 0
  if (copies && (flags & VIR_MIGRATE_TUNNELLED) !== 0) {
    refuse(unsupported('migration of non-shared storage is not supported with tunnelled migration and this QEMU'))
  }
  for (const param of DISKS) {
    const targets = params[param]
    if (!targets) continue
    if (!copies) {
      refuse(
        unsupported(
          `use of 'VIR_MIGRATE_PARAM_${param.toUpperCase()}' requires use of 'VIR_MIGRATE_NON_SHARED_DISK' or ` +
            "'VIR_MIGRATE_NON_SHARED_INC' flag"
        )
      )
      continue
    }
    const unknown = targets.filter(target => !devices.disks.some(disk => disk.target?.dev === target))
    for (const target of unknown) refuse(wrong(`disk target ${target} not found`))
  }
}
