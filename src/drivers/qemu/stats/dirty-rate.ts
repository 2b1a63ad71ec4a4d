// Measurement of how fast a guest changes its memory (qemuDomainStartDirtyRateCalc).
import { virDomainDirtyRateCalcFlags } from '../../../conf/enums.ts'
import { errorsFrom } from '../../../conf/error.ts'
import type { QemuDomain } from '../domain/domain.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

const { VIR_DOMAIN_DIRTYRATE_MODE_DIRTY_BITMAP, VIR_DOMAIN_DIRTYRATE_MODE_DIRTY_RING } = virDomainDirtyRateCalcFlags

const MODES: Record<number, string> = {
  [VIR_DOMAIN_DIRTYRATE_MODE_DIRTY_BITMAP]: 'dirty-bitmap',
  [VIR_DOMAIN_DIRTYRATE_MODE_DIRTY_RING]: 'dirty-ring'
}

const SECONDS = [1, 60] as const

/** @throws VIR_ERR_CONFIG_UNSUPPORTED for times that are not measured */
export function checkDirtyRateSeconds(seconds: number): void {
  const [min, max] = SECONDS
  if (seconds >= min && seconds <= max) return
  const range = `[${min}, ${max}]`
  throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `seconds=${seconds} is invalid, please choose value within ${range}.`)
}

/**
 * Begins to measure for that many seconds.
 * @param flag VIR_DOMAIN_DIRTYRATE_MODE_*
 * @throws VIR_ERR_OPERATION_UNSUPPORTED for a ring the guest has not, VIR_ERR_INTERNAL_ERROR with QEMU's words
 */
export async function startDirtyRate(domain: QemuDomain, seconds: number, flag: number): Promise<void> {
  if (flag === VIR_DOMAIN_DIRTYRATE_MODE_DIRTY_RING && !domain.def.features?.kvm?.dirtyRing?.state) {
    const what = 'dirty-ring calculation mode requires dirty-ring feature enabled.'
    throw fail('VIR_ERR_OPERATION_UNSUPPORTED', what)
  }
  await domain.qmp.execute('calc-dirty-rate', { 'calc-time': seconds, mode: MODES[flag] ?? 'page-sampling' })
}
