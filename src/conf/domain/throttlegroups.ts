// <throttlegroups>: named limits for the reads and writes of disks that name the groups in <throttlefilters>.
import { checkIoTuneSums, IOTUNE_LIMITS, type IoTune, parseLimits } from '../devices/disk-iotune.ts'
import type { DomainDef } from '../domain-def.ts'
import { claim, custom, type Fields } from '../element.ts'
import { errorsFrom } from '../error.ts'
import { childElements, element } from '../xml.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')
const wrong = (message: string) => fail('VIR_ERR_XML_ERROR', message)

/** Limits that disks share, none of them where it has a name alone. */
export type ThrottleGroup = IoTune & { group_name: string }

/** In the order libvirt writes them: the lengths of bursts, then the name. */
const WRITTEN = [...IOTUNE_LIMITS, 'group_name'] as const

export const throttlegroupFields = {
  /** virDomainDefThrottleGroupsParse */
  throttlegroups: custom<ThrottleGroup[] | undefined>({
    names: [['throttlegroups', { group: claim(['throttlegroup', { limits: claim(...IOTUNE_LIMITS, 'group_name') }]) }]],
    parse(node) {
      const groups: ThrottleGroup[] = []
      for (const one of childElements(node, 'throttlegroups').flatMap(list => childElements(list, 'throttlegroup'))) {
        const { group_name, ...limits } = parseLimits(one, 'throttle group')
        if (group_name === undefined) throw wrong('missing group name')
        if (groups.some(known => known.group_name === group_name))
          throw wrong(`duplicate group name '${group_name}' found`)
        groups.push({ ...limits, group_name })
      }
      return groups.length > 0 ? groups : undefined
    },
    format(groups, into) {
      if (!groups) return
      const shown = groups.map(group => {
        const told = WRITTEN.filter(name => group[name] !== undefined)
        return element(
          'throttlegroup',
          {},
          told.map(name => element(name, {}, [String(group[name])]))
        )
      })
      into.children.push(element('throttlegroups', {}, shown))
    }
  })
} satisfies Fields

/** virDomainDefValidateThrottleGroups. @throws VIR_ERR_XML_ERROR */
export function validateThrottleGroups({ throttlegroups = [] }: DomainDef): void {
  for (const group of throttlegroups) checkIoTuneSums(group)
}
