// Images as QEMU's block nodes: for each a node of its storage and one of its format, and the objects both need,
// from the bottom of a chain to its top (qemuBuildStorageSourceChainAttachPrepareBlockdev).
//
//   device -> [throttle] -> [copy-on-read] -> [libvirt-1-format] -> [libvirt-1-slice-sto] -> libvirt-1-storage
//                                                 | data-file
//                                                 +--> libvirt-2-storage
//                                                 | backing
//                                             libvirt-3-format -> …
//
// The uppermost of an image is its effective node, which has what the device asks for: newer QEMU needs none above the
// storage of a raw image.
import type { DiskCache } from '../../../conf/devices/disk-driver.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { storageChain } from '../../../conf/storage/chain.ts'
import type { SecretLookup } from '../../../conf/storage/secret.ts'
import type { StorageFormat, StorageSource } from '../../../conf/storage/source.ts'
import type { SecretStore, SecretUsage } from '../../../state/secrets.ts'
import type { Qemu } from '../capabilities/qemu.ts'
import type { QmpMonitor } from '../monitor/qmp.ts'
import type { BlockdevProps, Builder } from '../parts/builder.ts'
import type { Props } from '../parts/props.ts'
import { addSecret } from '../parts/secret.ts'
import { encryptionSecrets, formatProps, needsFormatNode, needsSliceNode } from './format.ts'
import { NODE_NAME_MAX, type StorageIds, type StorageUse, storageIds } from './node-names.ts'
import { protocolProps } from './protocol.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** QEMU's switches for libvirt's cache modes: two of the nodes, one of the device (qemuDomainDiskCachemodeFlags). */
export const CACHE_MODES: Record<DiskCache, { writeback: boolean; direct: boolean; noFlush: boolean }> = {
  none: { writeback: true, direct: true, noFlush: false },
  writethrough: { writeback: false, direct: false, noFlush: false },
  writeback: { writeback: true, direct: false, noFlush: false },
  directsync: { writeback: false, direct: true, noFlush: false },
  unsafe: { writeback: true, direct: false, noFlush: true }
}

function cacheProps(cache: DiskCache | undefined): Props | undefined {
  if (cache === undefined) return undefined
  const { direct, noFlush } = CACHE_MODES[cache]
  return { direct, 'no-flush': noFlush }
}

type NamedSecret = [usage: SecretUsage, lookup: SecretLookup]

/** The secrets an image needs: towards its server, and for its content (qemuDomainSecretStorageSourcePrepare). */
export function secretsOf(source: StorageSource): { auth: NamedSecret[]; encryption: NamedSecret[] } {
  const { auth, encryption } = source
  const usage = source.type === 'network' && source.protocol === 'rbd' ? 'ceph' : 'iscsi'
  return {
    auth: auth ? [[usage, auth.secret.lookup]] : [],
    encryption: (encryption?.secrets ?? []).map(({ lookup }) => ['volume', lookup])
  }
}

/** Their values. @throws as SecretStore.value */
export function storageSecrets(source: StorageSource, secrets: SecretStore) {
  const { auth, encryption } = secretsOf(source)
  const values = (named: NamedSecret[]) => named.map(one => secrets.value(...one))
  const [password] = values(auth)
  return { auth: password, encryption: values(encryption) }
}

/**
 * Objects the nodes of an image refer to (qemuBuildStorageSourceAttachPrepareCommon).
 * @param keys ids of the secrets that decrypt it
 */
export function addStorageObjects(
  to: Builder,
  source: StorageSource,
  ids: StorageIds,
  keys = encryptionSecrets(source, ids, to.qemu)
): void {
  const { reservations } = source
  const { config } = to.context
  const { auth, encryption } = storageSecrets(source, to.context.secrets)
  if (reservations && !reservations.managed)
    to.object({ 'qom-type': 'pr-manager-helper', id: ids.prManager, path: reservations.path })
  if (auth) addSecret(to, ids.authSecret, auth)
  if (source.type === 'network' && source.cookies) {
    const text = source.cookies.map(({ name, value }) => `${name}=${value}`).join('; ')
    addSecret(to, ids.cookieSecret, Buffer.from(text))
  }
  if (source.type === 'network' && source.tls) {
    const dir = source.protocol === 'vxhs' ? config.vxhsTlsX509CertDir : config.nbdTlsX509CertDir
    to.object({ 'qom-type': 'tls-creds-x509', id: ids.tls, dir, endpoint: 'client', 'verify-peer': true })
  }
  for (const [layer, value] of encryption.entries()) addSecret(to, keys[layer]!, value)
}

/** The uppermost node below that of an image's format (qemuBlockStorageSourceGetEffectiveStorageNodename). */
const contentNode = (source: StorageSource, ids: StorageIds) =>
  needsSliceNode(source) ? ids.sliceNode : ids.storageNode

/** An image's uppermost node (qemuBlockStorageSourceGetEffectiveNodename). */
export const effectiveNode = (source: StorageSource, qemu: Qemu, ids = storageIds(source)): string =>
  needsFormatNode(source, qemu) ? ids.formatNode : contentNode(source, ids)

/** What the effective node is told: what its device asks for (qemuBlockStorageSourceAddBlockdevCommonProps). */
const askedProps = ({ readOnly, cache, discard, detectZeroes }: StorageUse): Props => ({
  'read-only': readOnly,
  discard,
  'detect-zeroes': detectZeroes === 'unmap' && discard !== 'unmap' ? 'on' : detectZeroes,
  cache: cacheProps(cache)
})

/** What nodes below it are told: as little as can do. */
const lowerProps = ({ cache, readOnly }: StorageUse, handed?: StorageSource['handed']): Props => ({
  // a client's only file is open in one way
  ...(handed?.count === 1 ? { 'read-only': !handed.writable && readOnly } : { 'auto-read-only': true }),
  discard: 'unmap',
  cache: cacheProps(cache)
})

/** Formats that can stand on a backing image. */
export const STACKABLE: (StorageFormat | undefined)[] = ['cow', 'qcow', 'qcow2', 'qed', 'vmdk']

/** The node of the image below; null tells QEMU not to look for one. */
function backingProps({ format, backingStore }: StorageSource, qemu: Qemu): { backing?: string | null } {
  if (!backingStore) return {}
  if (STACKABLE.includes(format))
    return { backing: backingStore.type === 'none' ? null : effectiveNode(backingStore, qemu) }
  if (backingStore.type === 'none') return {}
  throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `storage format '${format}' does not support backing store`)
}

function nodeName(name: string): string {
  if (name.length > NODE_NAME_MAX) throw fail('VIR_ERR_INTERNAL_ERROR', `node-name '${name}' too long for qemu`)
  return name
}

/** The parts of one image, each told by itself: an image that is to be made is made between them. */
export interface StorageParts {
  /** what the nodes refer to */
  objects(to: Builder): void
  /** nodes of where its bytes are */
  storage(to: Builder): void
  /** the node of its format, if it has one */
  format(to: Pick<Builder, 'blockdev'>): void
}

/**
 * The parts of one image (qemuBlockStorageSourceAttachPrepareBlockdev).
 * @param hasFormatNode also where QEMU could do without
 */
export function storageParts(
  source: StorageSource,
  use: StorageUse,
  qemu: Qemu,
  ids = storageIds(source),
  hasFormatNode = needsFormatNode(source, qemu)
): StorageParts {
  const { storageNode, sliceNode, formatNode } = ids
  const effective = hasFormatNode ? formatNode : contentNode(source, ids)
  const common = (node: string) => ({
    'node-name': nodeName(node),
    ...(node === effective ? askedProps(use) : lowerProps(use, source.handed))
  })
  return {
    objects: to => addStorageObjects(to, source, ids),
    storage(to) {
      to.blockdev({ ...protocolProps(to, source, use, ids), ...common(storageNode) })
      if (needsSliceNode(source))
        to.blockdev({ driver: 'raw', file: storageNode, ...source.slice, ...common(sliceNode) })
    },
    format(to) {
      if (effective !== formatNode) return
      const file = contentNode(source, ids)
      const dataNode = source.dataStore && effectiveNode(source.dataStore, qemu)
      const format = formatProps(source, ids, use, dataNode)
      to.blockdev({ ...common(formatNode), ...format, file, ...backingProps(source, qemu) })
    }
  }
}

/** -object and -blockdev of one image. @param hasFormatNode also where QEMU could do without */
export function addStorage(
  to: Builder,
  source: StorageSource,
  use: StorageUse,
  ids?: StorageIds,
  hasFormatNode?: boolean
): void {
  const { objects, storage, format } = storageParts(source, use, to.qemu, ids, hasFormatNode)
  objects(to)
  storage(to)
  format(to)
}

/**
 * Opens an image anew, for writing or only for reading; one without a format node is left as it is
 * (qemuBlockReopenAccess). QEMU writes out first what it knows of it.
 * @param use as it was added with, but for `readOnly`
 */
export async function reopenImage(
  qmp: Pick<QmpMonitor, 'execute'>,
  source: StorageSource,
  qemu: Qemu,
  use: StorageUse
): Promise<void> {
  if (!needsFormatNode(source, qemu)) return
  const options: BlockdevProps[] = []
  storageParts(source, use, qemu).format({ blockdev: props => void options.push(props) })
  await qmp.execute('blockdev-reopen', { options })
}

/**
 * As `addStorage`, of an image and all it stands on; those are only read. Data that the top keeps elsewhere is opened for
 * writing even of a disk that is not: libvirt asks before it has read `<readonly>`. Zeroes are detected in all layers,
 * as newer libvirt does (11.3 in the top alone, Debian 13’s in all).
 */
export function addStorageChain(to: Builder, source: StorageSource, use: StorageUse): void {
  const images = storageChain(source).flatMap((image, depth) => {
    const ofData = { ...use, readOnly: depth > 0 }
    const own = depth > 0 ? ofData : use
    return [{ image, use: own }, ...(image.dataStore ? [{ image: image.dataStore, use: ofData }] : [])]
  })
  for (const { image } of images) if (needsFormatNode(image, to.qemu)) backingProps(image, to.qemu)
  for (const { image, use } of images.reverse()) addStorage(to, image, use)
}
