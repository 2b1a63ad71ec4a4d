// Names of the block nodes and helper objects of an image.
import type { DiskCache, DiskDriver } from '../../../conf/devices/disk-driver.ts'
import type { StorageSource } from '../../../conf/storage/source.ts'

/** A device's use of an image. */
export interface StorageUse {
  readOnly: boolean
  cache?: DiskCache
  io?: DiskDriver['io']
  discard?: DiskDriver['discard']
  detectZeroes?: DiskDriver['detectZeroes']
  discardNoUnref?: boolean
  isFloppy?: boolean
  isCdrom?: boolean
}

/** QEMU's ids of one image: block nodes and the objects that go with them. */
export interface StorageIds {
  storageNode: string
  formatNode: string
  sliceNode: string
  authSecret: string
  cookieSecret: string
  tls: string
  prManager: string
}

/** QEMU's limit for the name of a node. */
export const NODE_NAME_MAX = 31

/** Of the helper for persistent reservations that is started with the guest. */
export const MANAGED_PR_MANAGER = 'pr-helper0'

/**
 * The ids of an image.
 * @param prefix of its nodes; images of disks are numbered when the guest starts
 */
export const storageIds = (source: StorageSource, prefix = `libvirt-${source.index}`): StorageIds =>
  idsAfter(source, `${prefix}-storage`, `${prefix}-format`)

/** The number in the name of a node of a disk's image, or of a filter on it. */
export function numberOfNode(node: string): number | undefined {
  const [, number] = /^libvirt-(\d+)-(?:storage|format|slice-sto|filter)$/.exec(node) ?? []
  return number === undefined ? undefined : Number(number)
}

/** The ids of an image by the names of its nodes. */
export function idsAfter(source: StorageSource, storageNode: string, formatNode: string): StorageIds {
  return {
    storageNode,
    formatNode,
    sliceNode: `libvirt-${source.index}-slice-sto`,
    authSecret: `${storageNode}-auth-secret0`,
    cookieSecret: `${storageNode}-httpcookie-secret0`,
    tls: `obj${storageNode}_tls0`,
    prManager: source.reservations?.managed ? MANAGED_PR_MANAGER : `pr-helper-${storageNode}`
  }
}
