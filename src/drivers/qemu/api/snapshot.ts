// Snapshots. None can be made yet: a guest has none, and is told so.
import { virDomainSnapshotListFlags } from '../../../conf/enums.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { array, flags, int, struct, text } from '../../../conf/wire.ts'
import { domainHandle } from '../../connection.ts'
import { methodFor, noFlags } from '../../method.ts'
import type { QemuDomain } from '../domain/domain.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const method = methodFor<QemuDomain>()

/** libvirt's REMOTE_DOMAIN_SNAPSHOT_LIST_MAX. */
const LIST_MAX = 16384

const snapshotHandle = struct({ name: text(), dom: domainHandle })
const listFlags = { flags: flags(virDomainSnapshotListFlags) }

export const snapshot = {
  /** The number of snapshots that all groups of the filter let pass. */
  virDomainSnapshotNum: method({
    since: '0.8.0',
    on: 'domain',
    acl: 'domain:read',
    args: listFlags,
    ret: { num: int() },
    run({ moments }, _args, { api }) {
      moments.snapshots.checkNone(api)
      return { num: 0 }
    }
  }),

  virDomainSnapshotListNames: method({
    since: '0.8.0',
    on: 'domain',
    acl: 'domain:read',
    args: listFlags,
    ret: { names: array(text(), LIST_MAX) },
    run({ moments }, _args, { api }) {
      moments.snapshots.checkNone(api)
      return { names: [] }
    }
  }),

  virDomainListAllSnapshots: method({
    since: '0.9.13',
    on: 'domain',
    acl: 'domain:read',
    args: listFlags,
    ret: { snapshots: array(snapshotHandle, LIST_MAX) },
    run({ moments }, _args, { api }) {
      moments.snapshots.checkNone(api)
      return { snapshots: [] }
    }
  }),

  /** @throws VIR_ERR_NO_DOMAIN_SNAPSHOT (qemuSnapObjFromName) */
  virDomainSnapshotLookupByName: method({
    since: '0.8.0',
    on: 'domain',
    acl: 'domain:read',
    args: { name: text(), ...noFlags },
    ret: { snap: snapshotHandle },
    run({ moments }, { name }, { api }) {
      moments.snapshots.checkNone(api)
      throw fail('VIR_ERR_NO_DOMAIN_SNAPSHOT', `no domain snapshot with matching name '${name}'`)
    }
  }),

  virDomainHasCurrentSnapshot: method({
    since: '0.8.0',
    on: 'domain',
    acl: 'domain:read',
    args: noFlags,
    ret: { result: int() },
    run({ moments }, _args, { api }) {
      moments.snapshots.checkNone(api)
      return { result: 0 }
    }
  }),

  /** @throws VIR_ERR_NO_DOMAIN_SNAPSHOT */
  virDomainSnapshotCurrent: method({
    since: '0.8.0',
    on: 'domain',
    acl: 'domain:read',
    args: noFlags,
    ret: { snap: snapshotHandle },
    run({ moments }, _args, { api }) {
      moments.snapshots.checkNone(api)
      throw fail('VIR_ERR_NO_DOMAIN_SNAPSHOT', 'the domain does not have a current snapshot')
    }
  })
}
