// Forgetting a guest, and what goes with it (qemuDomainUndefineFlags).
import { existsSync, rmSync } from 'node:fs'
import {
  virDomainEventType,
  virDomainEventUndefinedDetailType,
  virDomainUndefineFlagsValues
} from '../../../conf/enums.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { nvramFile } from '../firmware/nvram.ts'
import type { QemuDomain } from './domain.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const refuse = (message: string) => fail('VIR_ERR_OPERATION_INVALID', message)

const FLAGS = virDomainUndefineFlagsValues

/**
 * Removes the persistent definition. Everything is checked before anything is removed.
 * @throws VIR_ERR_OPERATION_INVALID for a transient guest, and where something is there that the flags do not name
 */
export function undefineDomain(domain: QemuDomain, bits: number): Record<string, never> {
  const asked = (flag: keyof typeof FLAGS) => (bits & FLAGS[flag]) !== 0
  if (asked('VIR_DOMAIN_UNDEFINE_NVRAM') && asked('VIR_DOMAIN_UNDEFINE_KEEP_NVRAM')) {
    throw refuse('cannot both keep and delete nvram')
  }
  if (asked('VIR_DOMAIN_UNDEFINE_TPM') && asked('VIR_DOMAIN_UNDEFINE_KEEP_TPM')) {
    throw refuse('cannot both keep and delete TPM')
  }
  if (!domain.isPersistent) throw refuse('cannot undefine transient domain')
  const { root, def, isActive } = domain
  const moments = [
    ['snapshots', domain.moments.snapshots, 'VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA'],
    ['checkpoints', domain.moments.checkpoints, 'VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA']
  ] as const
  if (!isActive) {
    for (const [kind, { count }, flag] of moments) {
      if (count > 0 && !asked(flag)) throw refuse(`cannot delete inactive domain with ${count} ${kind}`)
    }
  }
  if (existsSync(root.managedSave) && !asked('VIR_DOMAIN_UNDEFINE_MANAGED_SAVE')) {
    throw refuse('Refusing to undefine while domain managed save image exists')
  }
  const nvram = nvramFile(def)
  const hasNvram = nvram !== undefined && existsSync(nvram)
  if (hasNvram && !asked('VIR_DOMAIN_UNDEFINE_NVRAM') && !asked('VIR_DOMAIN_UNDEFINE_KEEP_NVRAM')) {
    throw refuse('cannot undefine domain with nvram')
  }

  remove(root.managedSave)
  if (!isActive) for (const [, tree] of moments) tree.remove()
  if (hasNvram && asked('VIR_DOMAIN_UNDEFINE_NVRAM')) remove(nvram)
  if (!isActive && !keepsTpm(domain, asked)) remove(root.swtpmDir)
  domain.autostart = false
  domain.autostartOnce = false
  domain.setPersistent(undefined)
  domain.lifecycle(
    virDomainEventType.VIR_DOMAIN_EVENT_UNDEFINED,
    virDomainEventUndefinedDetailType.VIR_DOMAIN_EVENT_UNDEFINED_REMOVED
  )
  domain.removed = !isActive
  domain.changed()
  return {}
}

/** A TPM's state goes with its guest, unless it was to be kept (qemuTPMEmulatorCleanupHost). */
function keepsTpm({ def }: QemuDomain, asked: (flag: keyof typeof FLAGS) => boolean): boolean {
  return def.devices.tpms.some(({ backend }) =>
    backend.type === 'emulator' && backend.persistentState
      ? !asked('VIR_DOMAIN_UNDEFINE_TPM')
      : asked('VIR_DOMAIN_UNDEFINE_KEEP_TPM')
  )
}

function remove(path: string): void {
  try {
    rmSync(path, { force: true, recursive: true })
  } catch (error) {
    throw fail('VIR_ERR_SYSTEM_ERROR', `cannot remove '${path}': ${(error as Error).message}`, error)
  }
}
