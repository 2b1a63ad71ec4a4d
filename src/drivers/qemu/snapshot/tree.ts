// The snapshots of a guest: read from their files when they are first asked for, found and listed.
import { virDomainSnapshotListFlags } from '../../../conf/enums.ts'
import { errorsFrom } from '../../../conf/error.ts'
import {
  formatSnapshot,
  isExternalSnapshot,
  parseSnapshotFile,
  type SnapshotDef
} from '../../../conf/moment/snapshot.ts'
import { storageChain } from '../../../conf/storage/chain.ts'
import { storagePath } from '../../../conf/storage/source.ts'
import type { MomentFilter, MomentTree } from '../../../state/moments.ts'
import { completeDomain } from '../definition/passes.ts'
import type { QemuDomain } from '../domain/domain.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

const LIST = virDomainSnapshotListFlags

export type SnapshotTree = MomentTree<SnapshotDef>

/** The guest's snapshots. */
export function snapshotsOf(domain: QemuDomain): SnapshotTree {
  return domain.moments.snapshots.read({
    parse: text => parseSnapshotFile(text, { complete: def => completeDomain(def, domain.context, { isNew: false }) }),
    format: (def, current) => formatSnapshot(def, { secure: true, uuid: domain.uuid, current }),
    refused: (file, error) => domain.log.error({ err: error, file }, 'snapshot file cannot be read')
  })
}

/** @throws VIR_ERR_NO_DOMAIN_SNAPSHOT (qemuSnapObjFromName) */
export function findSnapshot(domain: QemuDomain, name: string): SnapshotDef {
  const found = snapshotsOf(domain).get(name)
  if (!found) throw fail('VIR_ERR_NO_DOMAIN_SNAPSHOT', `no domain snapshot with matching name '${name}'`)
  return found
}

/** Snapshots with no guest that runs in them. */
const isOffline = ({ state }: SnapshotDef) => state === 'shutoff' || state === 'disk-snapshot'

/** Properties in groups: of each group that some but not all flags are given of, a snapshot must have one that is. */
const GROUPS: [flag: number, has: (def: SnapshotDef) => boolean][][] = [
  [
    [LIST.VIR_DOMAIN_SNAPSHOT_LIST_INACTIVE, ({ state }) => state === 'shutoff'],
    [LIST.VIR_DOMAIN_SNAPSHOT_LIST_ACTIVE, def => !isOffline(def)],
    [LIST.VIR_DOMAIN_SNAPSHOT_LIST_DISK_ONLY, ({ state }) => state === 'disk-snapshot']
  ],
  [
    [LIST.VIR_DOMAIN_SNAPSHOT_LIST_INTERNAL, def => !isExternalSnapshot(def)],
    [LIST.VIR_DOMAIN_SNAPSHOT_LIST_EXTERNAL, isExternalSnapshot]
  ],
  // all there are have metadata: libvirt does not look for others in the images
  [
    [LIST.VIR_DOMAIN_SNAPSHOT_LIST_METADATA, () => true],
    [LIST.VIR_DOMAIN_SNAPSHOT_LIST_NO_METADATA, () => false]
  ]
]

/**
 * The snapshots that all groups of the flags let pass (virDomainSnapshotObjListGetNames).
 * @param bits virDomainSnapshotListFlags
 * @param from those below it; absent: of the whole tree
 */
export function listSnapshots(tree: SnapshotTree, bits: number, from?: SnapshotDef): SnapshotDef[] {
  const asked = (flag: number) => (bits & flag) !== 0
  const wanted = GROUPS.map(group => group.filter(([flag]) => asked(flag))).filter(group => group.length > 0)
  const filter: MomentFilter<SnapshotDef> = {
    from,
    // the flag says: roots only, or below another: its children's children too
    deep: asked(LIST.VIR_DOMAIN_SNAPSHOT_LIST_DESCENDANTS) === (from !== undefined),
    topological: asked(LIST.VIR_DOMAIN_SNAPSHOT_LIST_TOPOLOGICAL),
    leaves: asked(LIST.VIR_DOMAIN_SNAPSHOT_LIST_LEAVES),
    noLeaves: asked(LIST.VIR_DOMAIN_SNAPSHOT_LIST_NO_LEAVES),
    passes: def => wanted.every(group => group.some(([, has]) => has(def)))
  }
  return tree.list(filter)
}

/** True for an image that a snapshot's guest has, or stands on. @param but that snapshot goes */
export function isNeeded(tree: SnapshotTree, path: string, but?: SnapshotDef): boolean {
  return tree
    .list({ deep: true })
    .some(
      def =>
        def !== but &&
        [def.dom, def.inactiveDom].some(dom =>
          dom?.devices.disks.some(({ source }) => storageChain(source).some(image => storagePath(image) === path))
        )
    )
}
