// Snapshots of a guest's disks and memory, as libvirt keeps them.
import {
  virDomainSnapshotCreateFlags,
  virDomainSnapshotDeleteFlags,
  virDomainSnapshotListFlags,
  virDomainSnapshotRevertFlags,
  virDomainSnapshotXMLFlags
} from '../../../conf/enums.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { array, flags, flagsIn, int, text } from '../../../conf/wire.ts'
import { handleOf, momentArgument, momentHandle } from '../../connection.ts'
import { exclusive, methodFor, noFlags, requires } from '../../method.ts'
import type { QemuDomain } from '../domain/domain.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const method = methodFor<QemuDomain>()

const tree = () => import('../snapshot/tree.ts')

/** libvirt's REMOTE_DOMAIN_SNAPSHOT_LIST_MAX. */
const LIST_MAX = 16384

const handle = (domain: QemuDomain, { name }: { name: string }) => ({ name, dom: handleOf(domain) })

const onSnapshot = { snap: momentArgument, ...noFlags }
const listFlags = { flags: flags(virDomainSnapshotListFlags) }

/** Domain of what the library refuses itself. */
const LIBRARY = 'VIR_FROM_DOMAIN_SNAPSHOT'

const {
  VIR_DOMAIN_SNAPSHOT_CREATE_CURRENT,
  VIR_DOMAIN_SNAPSHOT_CREATE_HALT,
  VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA,
  VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE
} = virDomainSnapshotCreateFlags
const { VIR_DOMAIN_SNAPSHOT_REVERT_RUNNING, VIR_DOMAIN_SNAPSHOT_REVERT_PAUSED } = virDomainSnapshotRevertFlags
const { VIR_DOMAIN_SNAPSHOT_DELETE_CHILDREN, VIR_DOMAIN_SNAPSHOT_DELETE_CHILDREN_ONLY } = virDomainSnapshotDeleteFlags

/** The snapshots flags let pass, of all or below one. */
async function listed(domain: QemuDomain, bits: number, from?: string) {
  const { findSnapshot, listSnapshots, snapshotsOf } = await tree()
  const start = from === undefined ? undefined : findSnapshot(domain, from)
  return listSnapshots(snapshotsOf(domain), bits, start)
}

export const snapshot = {
  /**
   * Takes a snapshot, or makes one known again. Source: qemuSnapshotCreateXML.
   * @throws VIR_ERR_CONFIG_UNSUPPORTED, VIR_ERR_OPERATION_UNSUPPORTED, VIR_ERR_OPERATION_INVALID,
   * VIR_ERR_OPERATION_FAILED for a name that is taken; nothing is left then
   */
  virDomainSnapshotCreateXML: method({
    since: '0.8.0',
    on: 'domain',
    acl: 'domain:snapshot',
    job: { async: 'snapshot' },
    check({ flags: bits }) {
      requires(bits, { VIR_DOMAIN_SNAPSHOT_CREATE_CURRENT, VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE }, LIBRARY)
      exclusive(bits, { VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE, VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA }, LIBRARY)
      exclusive(bits, { VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE, VIR_DOMAIN_SNAPSHOT_CREATE_HALT }, LIBRARY)
    },
    args: {
      xmlDesc: text('XML of the snapshot'),
      flags: flagsIn({ function: 'qemuSnapshotCreateXML' }, virDomainSnapshotCreateFlags)
    },
    ret: { snap: momentHandle },
    async run(domain, { xmlDesc, flags: bits }, { job }) {
      const { createSnapshot } = await import('../snapshot/create.ts')
      return { snap: handle(domain, await createSnapshot(domain, job!, xmlDesc, bits)) }
    }
  }),

  virDomainSnapshotGetXMLDesc: method({
    since: '0.8.0',
    on: 'domain',
    acl: 'domain:read',
    args: { snap: momentArgument, flags: flags(virDomainSnapshotXMLFlags) },
    ret: { xml: text() },
    async run(domain, { snap: { name }, flags: bits }) {
      const { findSnapshot } = await tree()
      const { formatSnapshot } = await import('../../../conf/moment/snapshot.ts')
      const secure = (bits & virDomainSnapshotXMLFlags.VIR_DOMAIN_SNAPSHOT_XML_SECURE) !== 0
      return { xml: formatSnapshot(findSnapshot(domain, name), { secure, uuid: domain.uuid }) }
    }
  }),

  /** The number of snapshots that all groups of the filter let pass. */
  virDomainSnapshotNum: method({
    since: '0.8.0',
    on: 'domain',
    acl: 'domain:read',
    args: listFlags,
    ret: { num: int() },
    run: async (domain, { flags: bits }) => ({ num: (await listed(domain, bits)).length })
  }),

  virDomainSnapshotListNames: method({
    since: '0.8.0',
    on: 'domain',
    acl: 'domain:read',
    args: listFlags,
    ret: { names: array(text(), LIST_MAX) },
    run: async (domain, { flags: bits }) => ({ names: (await listed(domain, bits)).map(({ name }) => name) })
  }),

  virDomainListAllSnapshots: method({
    since: '0.9.13',
    on: 'domain',
    acl: 'domain:read',
    args: listFlags,
    ret: { snapshots: array(momentHandle, LIST_MAX) },
    run: async (domain, { flags: bits }) => ({
      snapshots: (await listed(domain, bits)).map(one => handle(domain, one))
    })
  }),

  virDomainSnapshotNumChildren: method({
    since: '0.9.7',
    on: 'domain',
    acl: 'domain:read',
    args: { snap: momentArgument, ...listFlags },
    ret: { num: int() },
    run: async (domain, { snap: { name }, flags: bits }) => ({ num: (await listed(domain, bits, name)).length })
  }),

  virDomainSnapshotListChildrenNames: method({
    since: '0.9.7',
    on: 'domain',
    acl: 'domain:read',
    args: { snap: momentArgument, ...listFlags },
    ret: { names: array(text(), LIST_MAX) },
    run: async (domain, { snap: { name }, flags: bits }) => ({
      names: (await listed(domain, bits, name)).map(({ name }) => name)
    })
  }),

  virDomainSnapshotListAllChildren: method({
    since: '0.9.13',
    on: 'domain',
    acl: 'domain:read',
    args: { snapshot: momentArgument, ...listFlags },
    ret: { snapshots: array(momentHandle, LIST_MAX) },
    run: async (domain, { snapshot: { name }, flags: bits }) => ({
      snapshots: (await listed(domain, bits, name)).map(one => handle(domain, one))
    })
  }),

  /** @throws VIR_ERR_NO_DOMAIN_SNAPSHOT (qemuSnapObjFromName) */
  virDomainSnapshotLookupByName: method({
    since: '0.8.0',
    on: 'domain',
    acl: 'domain:read',
    args: { name: text(), ...noFlags },
    ret: { snap: momentHandle },
    run: async (domain, { name }) => ({ snap: handle(domain, (await tree()).findSnapshot(domain, name)) })
  }),

  virDomainHasCurrentSnapshot: method({
    since: '0.8.0',
    on: 'domain',
    acl: 'domain:read',
    args: noFlags,
    ret: { result: int() },
    run: async domain => ({ result: Number((await tree()).snapshotsOf(domain).current !== undefined) })
  }),

  /** @throws VIR_ERR_NO_DOMAIN_SNAPSHOT */
  virDomainSnapshotCurrent: method({
    since: '0.8.0',
    on: 'domain',
    acl: 'domain:read',
    args: noFlags,
    ret: { snap: momentHandle },
    async run(domain) {
      const { current } = (await tree()).snapshotsOf(domain)
      if (!current) throw fail('VIR_ERR_NO_DOMAIN_SNAPSHOT', 'the domain does not have a current snapshot')
      return { snap: handle(domain, current) }
    }
  }),

  /** @throws VIR_ERR_NO_DOMAIN_SNAPSHOT, also for one that has no parent */
  virDomainSnapshotGetParent: method({
    since: '0.9.7',
    on: 'domain',
    acl: 'domain:read',
    args: onSnapshot,
    ret: { snap: momentHandle },
    async run(domain, { snap: { name } }) {
      const { parentName } = (await tree()).findSnapshot(domain, name)
      if (parentName === undefined) {
        throw fail('VIR_ERR_NO_DOMAIN_SNAPSHOT', `snapshot '${name}' does not have a parent`)
      }
      return { snap: handle(domain, { name: parentName }) }
    }
  }),

  virDomainSnapshotIsCurrent: method({
    since: '0.9.13',
    on: 'domain',
    acl: 'domain:read',
    args: onSnapshot,
    ret: { current: int() },
    async run(domain, { snap: { name } }) {
      const { findSnapshot, snapshotsOf } = await tree()
      return { current: Number(findSnapshot(domain, name) === snapshotsOf(domain).current) }
    }
  }),

  /** All that can be named have metadata: libvirt does not look for others in the images. */
  virDomainSnapshotHasMetadata: method({
    since: '0.9.13',
    on: 'domain',
    acl: 'domain:read',
    args: onSnapshot,
    ret: { metadata: int() },
    async run(domain, { snap: { name } }) {
      const { findSnapshot } = await tree()
      findSnapshot(domain, name)
      return { metadata: 1 }
    }
  }),

  /**
   * Takes the guest back to what it was. Source: qemuSnapshotRevert.
   * @throws VIR_ERR_NO_DOMAIN_SNAPSHOT, VIR_ERR_SNAPSHOT_REVERT_RISKY where force is needed, VIR_ERR_OPERATION_INVALID
   */
  virDomainRevertToSnapshot: method({
    since: '0.8.0',
    on: 'domain',
    acl: 'domain:snapshot',
    job: { async: 'snapshot' },
    check: ({ flags: bits }) =>
      exclusive(bits, { VIR_DOMAIN_SNAPSHOT_REVERT_RUNNING, VIR_DOMAIN_SNAPSHOT_REVERT_PAUSED }, LIBRARY),
    args: { snap: momentArgument, flags: flagsIn({ function: 'qemuSnapshotRevert' }, virDomainSnapshotRevertFlags) },
    ret: {},
    async run(domain, { snap: { name }, flags: bits }, { job }) {
      await (await import('../snapshot/revert.ts')).revertToSnapshot(domain, job!, name, bits)
      return {}
    }
  }),

  /**
   * Deletes a snapshot, those below it, or both; what went on upon it is kept. Source: qemuSnapshotDelete.
   * @throws VIR_ERR_NO_DOMAIN_SNAPSHOT, VIR_ERR_CONFIG_UNSUPPORTED, VIR_ERR_OPERATION_UNSUPPORTED
   */
  virDomainSnapshotDelete: method({
    since: '0.8.0',
    on: 'domain',
    acl: 'domain:snapshot',
    job: { async: 'snapshot' },
    check: ({ flags: bits }) =>
      exclusive(bits, { VIR_DOMAIN_SNAPSHOT_DELETE_CHILDREN, VIR_DOMAIN_SNAPSHOT_DELETE_CHILDREN_ONLY }, LIBRARY),
    args: { snap: momentArgument, flags: flagsIn({ function: 'qemuSnapshotDelete' }, virDomainSnapshotDeleteFlags) },
    ret: {},
    async run(domain, { snap: { name }, flags: bits }, { job }) {
      await (await import('../snapshot/delete.ts')).deleteSnapshot(domain, job!, name, bits)
      return {}
    }
  })
}
