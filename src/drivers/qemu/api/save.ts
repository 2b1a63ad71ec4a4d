// The saved image a start would restore. None can be made yet: what lies there is another daemon's.
import { existsSync, unlinkSync } from 'node:fs'
import { virDomainSaveImageXMLFlags } from '../../../conf/enums.ts'
import { systemError } from '../../../conf/errno.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { flags, int, text } from '../../../conf/wire.ts'
import { methodFor, noFlags } from '../../method.ts'
import type { QemuDomain } from '../domain/domain.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const method = methodFor<QemuDomain>()

export const save = {
  /** Tells that a start would restore a saved image. */
  virDomainHasManagedSaveImage: method({
    since: '0.8.0',
    on: 'domain',
    acl: 'domain:read',
    args: noFlags,
    ret: { result: int() },
    run: ({ root }) => ({ result: Number(existsSync(root.managedSave)) })
  }),

  /** Removes the saved image. @throws VIR_ERR_SYSTEM_ERROR, also where there is none */
  virDomainManagedSaveRemove: method({
    since: '0.8.0',
    on: 'domain',
    acl: 'domain:hibernate',
    job: 'modify',
    args: noFlags,
    ret: {},
    run(domain) {
      const { managedSave } = domain.root
      try {
        unlinkSync(managedSave)
      } catch (error) {
        throw systemError('VIR_FROM_QEMU', `Failed to remove managed save file '${managedSave}'`, error)
      }
      domain.changed()
      return {}
    }
  }),

  /** @throws VIR_ERR_OPERATION_INVALID where there is no saved image, VIR_ERR_NO_SUPPORT where there is one */
  virDomainManagedSaveGetXMLDesc: method({
    since: '3.7.0',
    on: 'domain',
    acl: 'domain:read',
    args: { flags: flags(virDomainSaveImageXMLFlags) },
    ret: { xml: text() },
    run({ root }, _args, { api }) {
      if (existsSync(root.managedSave)) throw errorsFrom('VIR_FROM_DOMAIN')('VIR_ERR_NO_SUPPORT', api)
      throw fail('VIR_ERR_OPERATION_INVALID', 'domain does not have managed save image')
    }
  })
}
