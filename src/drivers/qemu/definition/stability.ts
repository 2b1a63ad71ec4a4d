// Another definition for a guest's memory: what the guest sees of its machine must be the same.
import { checkAbiStability } from '../../../conf/abi-stability.ts'
import type { DomainDef } from '../../../conf/domain-def.ts'
import type { QemuContext } from '../context.ts'
import { formatMigratable } from './migratable.ts'
import { type ContextFor, loadDomain } from './passes.ts'

/** A definition as its migratable XML has it (qemuDomainDefCopy). */
async function migratable(def: DomainDef, context: QemuContext, originalCpu?: string): Promise<DomainDef> {
  const xml = formatMigratable(def, context, originalCpu)
  return (await loadDomain(xml, async () => context, { check: false, abiUpdate: false })).def
}

/**
 * A definition that a running guest can have instead of its own (qemuDomainCheckABIStability).
 * @param originalCpu <cpu> the guest was started with, where it has another now
 * @throws VIR_ERR_CONFIG_UNSUPPORTED for one that it cannot have, and as loadDomain
 */
export async function loadInstead(
  xml: string,
  running: { def: DomainDef; context: QemuContext; originalCpu?: string | undefined }
): Promise<DomainDef> {
  const { def: from, context, originalCpu } = running
  const { def } = await loadDomain(xml, async () => context, { check: false, abiUpdate: false })
  const [was, is] = [await migratable(from, context, originalCpu), await migratable(def, context)]
  checkAbiStability(was, is, { skipVolatile: true })
  def.currentMemoryKiB = from.currentMemoryKiB
  return def
}

/**
 * A definition with which saved memory can go on, instead of that it was saved with (qemuSaveImageUpdateDef).
 * @throws VIR_ERR_CONFIG_UNSUPPORTED for one with which it cannot, and as loadDomain
 */
export async function loadUpdated(
  from: DomainDef,
  xml: string,
  contextFor: ContextFor
): Promise<{ def: DomainDef; context: QemuContext }> {
  const { def: wanted, context } = await loadDomain(xml, contextFor, { abiUpdate: false })
  const def = await migratable(wanted, context)
  checkAbiStability(from, def)
  return { def, context }
}
