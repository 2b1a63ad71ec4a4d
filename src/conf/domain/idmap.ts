// <idmap>: user and group ids inside a container and outside. QEMU has no use for the guest's; those of a directory
// shared by virtiofs are what its files seem to belong to.
import type { DomainDef } from '../domain-def.ts'
import { attr, custom, type Field, type Fields, gatheredChild } from '../element.ts'
import { errorsFrom } from '../error.ts'
import { uint } from '../scalar.ts'
import { childElements, element } from '../xml.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

export interface IdMapEntry {
  start: number
  target: number
  count: number
}

const entry = { start: attr('start', uint), target: attr('target', uint), count: attr('count', uint) }

/** All entries of one kind, by start. */
function entries(name: 'uid' | 'gid'): Field<IdMapEntry[] | undefined> {
  return custom<IdMapEntry[] | undefined>({
    names: [[name, entry]],
    parse(node) {
      const found = childElements(node, name).map(({ attributes }) => {
        const [start, target, count] = [attributes.start, attributes.target, attributes.count].map(value =>
          value === undefined ? undefined : uint.parse(value)
        )
        if (start !== undefined && target !== undefined && count !== undefined) return { start, target, count }
        throw fail('VIR_ERR_XML_ERROR', 'invalid idmap start/target/count settings')
      })
      return found.length > 0 ? found.sort((a, b) => a.start - b.start) : undefined
    },
    format(value, into) {
      for (const one of value ?? []) into.children.push(element(name, { ...one }))
    }
  })
}

export const idmap = gatheredChild('idmap', { uids: entries('uid'), gids: entries('gid') })
export type IdmapDef = NonNullable<ReturnType<(typeof idmap)['parse']>>

export const idmapFields = { idmap } satisfies Fields

/** virDomainDefIdMapValidate. @throws VIR_ERR_CONFIG_UNSUPPORTED */
export function validateIdmap({ idmap }: DomainDef): void {
  if (!idmap) return
  const { uids, gids } = idmap
  if ((uids === undefined) !== (gids === undefined)) {
    throw fail('VIR_ERR_CONFIG_UNSUPPORTED', 'uid and gid should be mapped both')
  }
  if ([uids, gids].some(list => list && list[0]?.start !== 0)) {
    throw fail('VIR_ERR_CONFIG_UNSUPPORTED', 'You must map the root user of container')
  }
}
