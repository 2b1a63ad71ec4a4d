// Checkpoints and backups. None can be made yet: a guest has none, and is told so.
import { virDomainCheckpointListFlags } from '../../../conf/enums.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { array, flags, flagsIn, struct, text } from '../../../conf/wire.ts'
import { domainHandle } from '../../connection.ts'
import { methodFor, noFlags } from '../../method.ts'
import type { QemuDomain } from '../domain/domain.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const method = methodFor<QemuDomain>()

/** libvirt's REMOTE_DOMAIN_CHECKPOINT_LIST_MAX. */
const LIST_MAX = 16384

const checkpointHandle = struct({ name: text(), dom: domainHandle })

export const checkpoint = {
  virDomainListAllCheckpoints: method({
    since: '5.6.0',
    on: 'domain',
    acl: 'domain:read',
    args: { flags: flags(virDomainCheckpointListFlags) },
    ret: { checkpoints: array(checkpointHandle, LIST_MAX) },
    run({ moments }, _args, { api }) {
      moments.checkpoints.checkNone(api)
      return { checkpoints: [] }
    }
  }),

  /** @throws VIR_ERR_NO_DOMAIN_CHECKPOINT (qemuCheckpointObjFromName) */
  virDomainCheckpointLookupByName: method({
    since: '5.6.0',
    on: 'domain',
    acl: 'domain:read',
    args: { name: text(), ...noFlags },
    ret: { checkpoint: checkpointHandle },
    run({ moments }, { name }, { api }) {
      moments.checkpoints.checkNone(api)
      throw fail('VIR_ERR_NO_DOMAIN_CHECKPOINT', `no domain checkpoint with matching name '${name}'`)
    }
  }),

  /** @throws VIR_ERR_NO_DOMAIN_BACKUP (qemuDomainGetBackup) */
  virDomainBackupGetXMLDesc: method({
    since: '6.0.0',
    on: 'domain',
    acl: 'domain:read',
    args: { flags: flagsIn({ function: 'qemuBackupGetXMLDesc' }) },
    ret: { xml: text() },
    run() {
      throw fail('VIR_ERR_NO_DOMAIN_BACKUP', 'no domain backup job present')
    }
  })
}
