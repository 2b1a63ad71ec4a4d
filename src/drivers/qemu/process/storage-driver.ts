// Volumes and secrets a start fetches from libvirt's drivers: places of pools' volumes, and secrets that are not in the
// host's files (virDomainDiskTranslateSourcePool, qemuDomainSecretInfoSetup).
import type { DiskDef } from '../../../conf/devices/disk.ts'
import type { Devices } from '../../../conf/devices/index.ts'
import type { DomainDef } from '../../../conf/domain-def.ts'
import { errorsFrom, toVirError } from '../../../conf/error.ts'
import { checkAll, type Refuse } from '../../../conf/refuse.ts'
import { storageChain, storageImages } from '../../../conf/storage/chain.ts'
import type { SecretLookup } from '../../../conf/storage/secret.ts'
import type { StorageSource } from '../../../conf/storage/source.ts'
import type { SecretStore, SecretUsage } from '../../../state/secrets.ts'
import type { SecondaryDrivers, Volume } from '../../secondary-drivers.ts'
import { secretsOf } from '../block/nodes.ts'
import { applyStartupPolicy } from '../block/startup-policy.ts'
import type { QemuContext } from '../context.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')
const failInternal = errorsFrom('VIR_FROM_NONE')

/** Kinds of storage by virStorageVolType; a ploop volume is a file too. */
const VOLUME_TYPES = ['file', 'block', 'dir', 'network', 'netdir', 'file'] as const
/** Pools whose volumes are files or devices of this host. */
const LOCAL_POOLS = ['dir', 'fs', 'netfs', 'logical', 'disk', 'scsi', 'zfs', 'vstorage', 'iscsi']

/** Hears of a disk whose volume is not there. @throws where it must be */
type Lost = (disk: DiskDef, error: Error) => void

/** The devices that have volumes and secrets. */
type Stored = Pick<Devices, 'disks' | 'tpms'>

/**
 * Finds the volumes of the guest's disks, which are then files or devices of this host, and the secrets we have no file
 * of. Without drivers everything stays as it is.
 * @returns the surroundings to start the guest in
 * @throws the drivers' errors
 */
export const withHostStorage = (def: DomainDef, context: QemuContext): Promise<QemuContext> =>
  withStorageOf(def.devices, context, (disk, error) => applyStartupPolicy(def, disk, error))

/** The same for a disk that a running guest gets, whatever its startup policy is. @throws the drivers' errors */
export const withDiskStorage = (disk: DiskDef, context: QemuContext): Promise<QemuContext> =>
  withStorageOf({ disks: [disk], tpms: [] }, context, (_, error) => {
    throw error
  })

async function withStorageOf(devices: Stored, context: QemuContext, lost: Lost): Promise<QemuContext> {
  if (!context.drivers) return context
  const missing = missingSecrets(devices, context.secrets)
  const volumes = devices.disks.some(({ source }) => storageChain(source).some(volumeOf))
  if (!volumes && missing.length === 0) return context
  const drivers = await context.drivers()
  for (const disk of [...devices.disks]) await findVolumes(disk, drivers, lost)
  return missing.length === 0 ? context : { ...context, secrets: await fetched(missing, context.secrets, drivers) }
}

/** True for an error that only tells that there is no such driver: the caller has one of its own then. */
const isAbsent = (error: unknown) => toVirError(error).code === 'VIR_ERR_NO_SUPPORT'

const volumeOf = (image: StorageSource) => (image.type === 'volume' && image.pool !== undefined ? image : image.inPool)

async function findVolumes(disk: DiskDef, drivers: SecondaryDrivers, lost: Lost): Promise<void> {
  for (const image of storageChain(disk.source)) {
    const volume = volumeOf(image)
    if (!volume) continue
    const { pool, volume: name, mode } = volume
    try {
      const place = placeOf(await drivers.volume(pool!, name!), mode)
      Object.assign(image, { ...place, inPool: { pool, volume: name, mode } })
      image.format ??= 'raw'
    } catch (error) {
      if (!isAbsent(error)) lost(disk, toVirError(error))
      return
    }
  }
}

/** Type and path of a volume on this host. @throws VIR_ERR_CONFIG_UNSUPPORTED for kinds of pools without such a path */
function placeOf({ path, type, poolType }: Volume, mode: 'host' | 'direct' | undefined) {
  if (mode !== undefined && poolType !== 'iscsi') {
    throw fail('VIR_ERR_XML_ERROR', 'disk source mode is only valid when storage pool is of iscsi type')
  }
  if (!LOCAL_POOLS.includes(poolType) || mode === 'direct') {
    throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `using '${poolType}' pools for backing 'volume' disks isn't yet supported`)
  }
  const kind = poolType === 'iscsi' ? 'block' : VOLUME_TYPES[type]
  if (kind === 'file' || kind === 'block' || kind === 'dir') return { type: kind, path }
  throw failInternal(
    'VIR_ERR_INTERNAL_ERROR',
    `unexpected storage volume type '${kind}' for storage pool type '${poolType}'`
  )
}

type Secret = [usage: SecretUsage, lookup: SecretLookup]

/** Secrets a start needs. */
function wantedSecrets({ disks, tpms }: Stored): Secret[] {
  const images = disks.flatMap(({ source }) => storageImages(source))
  const wanted: Secret[] = images.flatMap(image => Object.values(secretsOf(image)).flat())
  for (const { backend } of tpms) {
    if (backend.type === 'emulator' && backend.secret) wanted.push(['vtpm', { uuid: backend.secret }])
  }
  return wanted
}

/** Checks that the secrets a start needs are there. @throws VIR_ERR_NO_SECRET, and what the secret driver says */
export function checkSecrets({ devices }: DomainDef, secrets: SecretStore, refuse: Refuse): void {
  checkAll(
    refuse,
    wantedSecrets(devices).map(([usage, lookup]) => () => {
      secrets.value(usage, lookup)
    })
  )
}

/** Those that are in no file of the host's. */
function missingSecrets(stored: Stored, secrets: SecretStore): Secret[] {
  return wantedSecrets(stored).filter(([usage, lookup]) => {
    try {
      secrets.value(usage, lookup)
      return false
    } catch {
      return true
    }
  })
}

const keyOf = (usage: SecretUsage, lookup: SecretLookup) => `${usage} ${JSON.stringify(lookup)}`

/** The host's secrets, and those that the driver gives; its refusal is an error only when one is used. */
async function fetched(missing: Secret[], secrets: SecretStore, drivers: SecondaryDrivers): Promise<SecretStore> {
  const values = new Map<string, Uint8Array>()
  const refusals = new Map<string, Error>()
  for (const [usage, lookup] of missing) {
    try {
      values.set(keyOf(usage, lookup), await drivers.secret(usage, lookup))
    } catch (error) {
      if (!isAbsent(error)) refusals.set(keyOf(usage, lookup), toVirError(error))
    }
  }
  return {
    value(usage, lookup) {
      const key = keyOf(usage, lookup)
      const refusal = refusals.get(key)
      if (refusal) throw refusal
      return values.get(key) ?? secrets.value(usage, lookup)
    }
  }
}
