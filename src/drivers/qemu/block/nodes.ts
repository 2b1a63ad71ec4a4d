// Images as QEMU's block nodes: for each a node of its storage and one of its format, and the objects both need,
// from the bottom of a chain to its top (qemuBuildStorageSourceChainAttachPrepareBlockdev).
//
//   device -> [copy-on-read] -> libvirt-1-format -> [libvirt-1-slice-sto] -> libvirt-1-storage
//                                   | backing
//                               libvirt-2-format -> …
import type { DiskCache } from '../../../conf/devices/disk-driver.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { storageChain } from '../../../conf/storage/chain.ts'
import type { SecretLookup } from '../../../conf/storage/secret.ts'
import type { StorageFormat, StorageSource } from '../../../conf/storage/source.ts'
import type { SecretStore, SecretUsage } from '../../../state/secrets.ts'
import type { Builder } from '../parts/builder.ts'
import type { Props } from '../parts/props.ts'
import { addSecret } from '../parts/secret.ts'
import { formatProps, needsSliceNode } from './format.ts'
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
export function secretsOf(source: StorageSource): { auth?: NamedSecret; encryption?: NamedSecret } {
  const { auth, encryption } = source
  const usage = source.type === 'network' && source.protocol === 'rbd' ? 'ceph' : 'iscsi'
  const [passphrase] = encryption?.secrets ?? []
  return {
    ...(auth && { auth: [usage, auth.secret.lookup] }),
    ...(passphrase && { encryption: ['volume', passphrase.lookup] })
  }
}

/** Their values. @throws as SecretStore.value */
export function storageSecrets(source: StorageSource, secrets: SecretStore) {
  const { auth, encryption } = secretsOf(source)
  return { auth: auth && secrets.value(...auth), encryption: encryption && secrets.value(...encryption) }
}

/** Objects the nodes of an image refer to (qemuBuildStorageSourceAttachPrepareCommon). */
export function addStorageObjects(to: Builder, source: StorageSource, ids: StorageIds): void {
  const { reservations } = source
  const { config } = to.context
  const { auth, encryption } = storageSecrets(source, to.context.secrets)
  if (reservations && !reservations.managed)
    to.object({ 'qom-type': 'pr-manager-helper', id: ids.prManager, path: reservations.path })
  if (auth) addSecret(to, ids.authSecret, auth)
  if (encryption) addSecret(to, ids.encryptionSecret, encryption)
  if (source.type !== 'network') return
  if (source.cookies) {
    const text = source.cookies.map(({ name, value }) => `${name}=${value}`).join('; ')
    addSecret(to, ids.cookieSecret, Buffer.from(text))
  }
  if (source.tls) {
    const dir = source.protocol === 'vxhs' ? config.vxhsTlsX509CertDir : config.nbdTlsX509CertDir
    to.object({ 'qom-type': 'tls-creds-x509', id: ids.tls, dir, endpoint: 'client', 'verify-peer': true })
  }
}

/** The node of an image's storage. */
export function storageNodeProps(to: Builder, source: StorageSource, use: StorageUse, ids = storageIds(source)) {
  return {
    ...protocolProps(to, source, use, ids),
    'node-name': nodeName(ids.storageNode),
    cache: cacheProps(use.cache),
    'auto-read-only': true,
    discard: 'unmap'
  }
}

function sliceNodeProps({ slice }: StorageSource, { cache }: StorageUse, { sliceNode, storageNode }: StorageIds) {
  return {
    driver: 'raw',
    'node-name': nodeName(sliceNode),
    ...slice,
    file: storageNode,
    'auto-read-only': true,
    discard: 'unmap',
    cache: cacheProps(cache)
  }
}

/** Formats that can stand on a backing image. */
const STACKABLE: (StorageFormat | undefined)[] = ['cow', 'qcow', 'qcow2', 'qed', 'vmdk']

/** The node of the image below; null tells QEMU not to look for one. */
function backingProps({ format, backingStore }: StorageSource): { backing?: string | null } {
  if (!backingStore) return {}
  if (STACKABLE.includes(format))
    return { backing: backingStore.type === 'none' ? null : storageIds(backingStore).formatNode }
  if (backingStore.type === 'none') return {}
  throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `storage format '${format}' does not support backing store`)
}

/** The node of an image's format. */
export function formatNodeProps(source: StorageSource, use: StorageUse, ids = storageIds(source)) {
  const { discard, detectZeroes } = use
  return {
    'node-name': nodeName(ids.formatNode),
    'read-only': use.readOnly,
    discard,
    'detect-zeroes': detectZeroes === 'unmap' && discard !== 'unmap' ? 'on' : detectZeroes,
    cache: cacheProps(use.cache),
    ...formatProps(source, ids),
    file: needsSliceNode(source) ? ids.sliceNode : ids.storageNode,
    ...backingProps(source)
  }
}

function nodeName(name: string): string {
  if (name.length > NODE_NAME_MAX) throw fail('VIR_ERR_INTERNAL_ERROR', `node-name '${name}' too long for qemu`)
  return name
}

/** -object and -blockdev of one image (qemuBuildBlockStorageSourceAttachDataCommandline). */
export function addStorage(to: Builder, source: StorageSource, use: StorageUse, ids = storageIds(source)): void {
  addStorageObjects(to, source, ids)
  to.blockdev(storageNodeProps(to, source, use, ids))
  if (needsSliceNode(source)) to.blockdev(sliceNodeProps(source, use, ids))
  to.blockdev(formatNodeProps(source, use, ids))
}

/** As `addStorage`, of an image and all it stands on; those are only read. */
export function addStorageChain(to: Builder, source: StorageSource, use: StorageUse): void {
  const { detectZeroes, ...shared } = use
  const chain = storageChain(source).map((image, depth) => ({
    image,
    use: depth === 0 ? use : { ...shared, readOnly: true }
  }))
  for (const { image } of chain) backingProps(image)
  for (const one of chain.reverse()) addStorage(to, one.image, one.use)
}
