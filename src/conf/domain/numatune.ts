// <numatune>: host NUMA nodes the guest's memory comes from.
import { attr, childAlways, children, custom, type Def, type Fields, required } from '../element.ts'
import { enumOf, string, uint } from '../scalar.ts'
import { firstChild } from '../xml.ts'

const mode = enumOf('strict', 'preferred', 'interleave', 'restrictive')
const numatune = {
  memory: childAlways('memory', {
    mode: attr('mode', mode),
    placement: attr('placement', enumOf('static', 'auto')),
    nodeset: attr('nodeset', string)
  }),
  memnodes: children('memnode', {
    cellid: required(attr('cellid', uint)),
    mode: attr('mode', mode),
    nodeset: required(attr('nodeset', string))
  })
} satisfies Fields
export type NumatuneDef = Def<typeof numatune>

const table = childAlways('numatune', numatune)

export const numatuneFields = {
  numatune: custom<NumatuneDef | undefined>({
    names: table.names,
    parse(node, context) {
      if (!firstChild(node, 'numatune')) return undefined
      const tune = table.parse(node, context)!
      if (tune.memory) {
        tune.memory.mode ??= 'strict'
        if (tune.memory.nodeset !== undefined) tune.memory.placement = undefined
      }
      return tune
    },
    format: (value, into, context) => table.format(value, into, context)
  })
} satisfies Fields
