// Open files of clients for a guest's images.
import { virDomainFDAssociateFlags } from '../../../conf/enums.ts'
import { flags, text } from '../../../conf/wire.ts'
import type { FileGroup } from '../../../host/inherited-files.ts'
import { methodFor } from '../../method.ts'
import type { QemuDomain } from '../domain/domain.ts'

const method = methodFor<QemuDomain>()

const { VIR_DOMAIN_FD_ASSOCIATE_SECLABEL_WRITABLE } = virDomainFDAssociateFlags

export const files = {
  /**
   * Gives a name to open files, by which images of the guest are then in them (`fdgroup`), as long as the connection they
   * came over is open and nobody gives others that name. Source: qemuDomainFDAssociate.
   */
  virDomainFDAssociate: method({
    since: '9.0.0',
    on: 'domain',
    acl: 'domain:write',
    takesFiles: true,
    tied: () => true,
    args: { name: text(), flags: flags(virDomainFDAssociateFlags) },
    ret: {},
    run({ fileGroups }, { name, flags: bits }, { files, connection }) {
      if (files!.count === 0) return {}
      const group: FileGroup = {
        files: files!.take(),
        writable: (bits & VIR_DOMAIN_FD_ASSOCIATE_SECLABEL_WRITABLE) !== 0
      }
      close(fileGroups.get(name))
      fileGroups.set(name, group)
      connection!.addEventListener('abort', () => {
        close(group)
        if (fileGroups.get(name) === group) fileGroups.delete(name)
      })
      return {}
    }
  })
}

function close(group: FileGroup | undefined): void {
  for (const { from, back } of group?.files ?? []) {
    from.destroy()
    back.destroy()
  }
}
