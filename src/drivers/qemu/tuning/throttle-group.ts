// Named limits that disks share by <throttlefilters>: objects of a running QEMU, and parts of definitions.
import type { IoTune } from '../../../conf/devices/disk-iotune.ts'
import type { ThrottleGroup } from '../../../conf/domain/throttlegroups.ts'
import type { DomainDef } from '../../../conf/domain-def.ts'
import { errorsFrom } from '../../../conf/error.ts'
import type { Meant } from '../../method.ts'
import { throttleGroupId, throttleGroupLimits } from '../block/throttle.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { checkBursts, checkIoLimits, tunableParams, withFormer } from './io-limits.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

const groupNamed = ({ throttlegroups = [] }: DomainDef, name: string): ThrottleGroup | undefined =>
  throttlegroups.find(({ group_name }) => group_name === name)

/** The definition with other limits of a group, in its place; a new one comes last. */
function withGroup(def: DomainDef, given: ThrottleGroup): DomainDef {
  const { throttlegroups = [] } = def
  const before = groupNamed(def, given.group_name)
  const group = { ...withFormer(given, before ?? {}), group_name: given.group_name }
  return {
    ...def,
    throttlegroups: before ? throttlegroups.map(one => (one === before ? group : one)) : [...throttlegroups, group]
  }
}

/** Has QEMU make a group, or gives the one it has other limits. @returns takes that back */
async function tell({ qmp }: QemuDomain, group: ThrottleGroup, before: ThrottleGroup | undefined) {
  const id = throttleGroupId(group.group_name)
  const set = (to: ThrottleGroup) =>
    qmp.execute('qom-set', { property: 'limits', path: id, value: throttleGroupLimits(to) })
  if (before) {
    await set(group)
    return () => set(before)
  }
  await qmp.execute('object-add', { 'qom-type': 'throttle-group', id, limits: throttleGroupLimits(group) })
  return () => qmp.execute('object-del', { id })
}

/**
 * Makes a group, or sets limits of one; of those not given, each keeps what it had (qemuDomainSetThrottleGroup).
 * @throws VIR_ERR_INVALID_ARG, VIR_ERR_ARGUMENT_UNSUPPORTED, VIR_ERR_CONFIG_UNSUPPORTED, VIR_ERR_INTERNAL_ERROR with
 *   QEMU's words; nothing has changed then
 */
export async function setThrottleGroup(
  domain: QemuDomain,
  name: string,
  limits: IoTune,
  { live, config }: Meant
): Promise<void> {
  checkIoLimits(limits)
  if (live) checkBursts(limits)
  const given = { ...limits, group_name: name }
  const takeBack = live && (await tell(domain, groupNamed(withGroup(live, given), name)!, groupNamed(live, name)))
  try {
    domain.change({ live, config }, def => withGroup(def, given))
  } catch (error) {
    await takeBack?.()
    throw error
  }
  if (live) domain.events.emit('VIR_DOMAIN_EVENT_ID_TUNABLE', { params: tunableParams('group_name', name, limits) })
}

/**
 * Removes a group no disk uses; one that a definition has not is removed from it all the same (qemuDomainDelThrottleGroup).
 * @throws VIR_ERR_INVALID_ARG for one in use, VIR_ERR_INTERNAL_ERROR with QEMU's words
 */
export async function deleteThrottleGroup(domain: QemuDomain, name: string, { live, config }: Meant): Promise<void> {
  for (const def of [live, config]) if (def) checkUnused(def, name)
  const before = live && groupNamed(live, name)
  if (live) await domain.qmp.execute('object-del', { id: throttleGroupId(name) })
  try {
    domain.change({ live, config }, def => {
      const groups = def.throttlegroups?.filter(({ group_name }) => group_name !== name) ?? []
      return { ...def, throttlegroups: groups.length > 0 ? groups : undefined }
    })
  } catch (error) {
    if (before) await tell(domain, before, undefined)
    throw error
  }
}

/** qemuDomainCheckThrottleGroupRef */
function checkUnused({ devices }: DomainDef, name: string): void {
  const user = devices.disks.find(({ throttlefilters = [] }) => throttlefilters.some(({ group }) => group === name))
  if (!user) return
  const message = `throttle group '${name}' is still being used by disk ${user.target?.dev}`
  throw fail('VIR_ERR_INVALID_ARG', message)
}
