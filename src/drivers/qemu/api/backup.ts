// Backups of a running guest's disks, pushed by QEMU or pulled from it.
import { virDomainBackupBeginFlags } from '../../../conf/enums.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { formatBackup } from '../../../conf/moment/backup.ts'
import { flagsIn, optional, text } from '../../../conf/wire.ts'
import { methodFor } from '../../method.ts'
import type { QemuDomain } from '../domain/domain.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const method = methodFor<QemuDomain>()

export const backup = {
  /**
   * Begins a backup, with a checkpoint if one is given; virDomainAbortJob ends it. A guest that is shut down ends it too,
   * unless VIR_DOMAIN_BACKUP_BEGIN_PRESERVE_SHUTDOWN_DOMAIN has its QEMU stay until it is over.
   */
  virDomainBackupBegin: method({
    since: '6.0.0',
    on: 'domain',
    acl: 'domain:checkpoint',
    job: { async: 'backup' },
    args: {
      backupXML: text(),
      checkpointXML: optional(text()),
      flags: flagsIn({ function: 'qemuBackupBegin' }, virDomainBackupBeginFlags)
    },
    ret: {},
    async run(domain, { backupXML: xml, checkpointXML: checkpointXml, flags }) {
      await (await import('../backup/begin.ts')).beginBackup(domain, { xml, checkpointXml, flags })
      return {}
    }
  }),

  /** @throws VIR_ERR_NO_DOMAIN_BACKUP (qemuDomainGetBackup) */
  virDomainBackupGetXMLDesc: method({
    since: '6.0.0',
    on: 'domain',
    acl: 'domain:read',
    args: { flags: flagsIn({ function: 'qemuBackupGetXMLDesc' }) },
    ret: { xml: text() },
    run({ run }) {
      if (!run?.backup) throw fail('VIR_ERR_NO_DOMAIN_BACKUP', 'no domain backup job present')
      return { xml: formatBackup(run.backup.def) }
    }
  })
}
