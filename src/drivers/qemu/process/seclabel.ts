// Security labels of a guest that starts. The drivers are `none` and, for the system's guests, `dac`, file ownership
// (virSecurityManagerGenLabel, virSecurityDACGenLabel).
import type { SeclabelDef } from '../../../conf/domain/seclabel.ts'
import type { DomainDef } from '../../../conf/domain-def.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { ownerIds, type ProcessOwner } from '../../../host/owner.ts'

const fail = errorsFrom('VIR_FROM_SECURITY')

function ownerLabel(owner: ProcessOwner): string {
  const { uid, gid } = ownerIds(owner) ?? { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 }
  return `+${uid}:+${gid}`
}

/** Refuses labels of other drivers (virSecurityManagerCheckAllLabel). @throws VIR_ERR_CONFIG_UNSUPPORTED */
function checkModels({ seclabels, devices }: DomainDef, drivers: (string | undefined)[]): void {
  const { disks, serials, parallels, channels, consoles } = devices
  const overrides = [
    ...disks.map(({ source }) => source),
    ...[...serials, ...parallels, ...channels, ...consoles].map(({ source }) => source)
  ].flatMap(source => source.seclabels ?? [])
  for (const { model } of [...seclabels, ...overrides]) {
    if (!drivers.includes(model))
      throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `Security driver model '${model}' is not available`)
  }
}

/**
 * Gives the guest its label where the drivers make one.
 * @throws VIR_ERR_CONFIG_UNSUPPORTED for labels of other drivers
 */
export function generateLabels(def: DomainDef, owner: ProcessOwner, privileged: boolean): void {
  checkModels(def, privileged ? ['none', 'dac'] : ['none'])
  for (const label of def.seclabels) {
    if (label.type === 'default') Object.assign(label, { type: 'none', relabel: false } satisfies Partial<SeclabelDef>)
  }
  if (!privileged) return
  let dac = def.seclabels.find(({ model }) => model === 'dac')
  if (!dac) {
    dac = { type: 'dynamic', model: 'dac', relabel: true, implicit: true }
    def.seclabels.push(dac)
  }
  if (dac.type === 'dynamic') dac.label = ownerLabel(owner)
  if (dac.relabel && dac.label !== undefined) dac.imagelabel = dac.label
}
