// Questions to QEMU's own interface description (query-qmp-schema), in libvirt's path notation:
//   command/arg-type/member/+variant/*optional/^enumvalue/!jsontype/$feature
export interface SchemaEntry {
  name: string
  'meta-type': string
  members?: { name: string; type: string; default?: unknown; features?: string[] }[]
  variants?: { case: string; type: string }[]
  values?: string[]
  features?: string[]
  'element-type'?: string
  'json-type'?: string
  [key: string]: unknown
}

/** Entries of query-qmp-schema's answer by name. */
export type Schema = Map<string, SchemaEntry>

/** The answer of query-qmp-schema as an index. */
export function indexSchema(entries: SchemaEntry[]): Schema {
  return new Map(entries.map(entry => [entry.name, entry]))
}

/** True if the path exists. Arrays are passed through, alternates are tried one by one. */
export function schemaHas(schema: Schema, path: string): boolean {
  const [root, ...rest] = path.split('/')
  return follow(schema, root!, rest)
}

function follow(schema: Schema, type: string, path: string[]): boolean {
  const entry = schema.get(type)
  if (!entry) return false
  if (entry['meta-type'] === 'array') return follow(schema, entry['element-type']!, path)
  if (path.length === 0) return true
  if (entry['meta-type'] === 'alternate') {
    return (entry.members ?? []).some(member => follow(schema, member.type, path))
  }
  const [step, ...rest] = path as [string, ...string[]]
  const kind = /^[a-z]/i.test(step) ? '' : step[0]!
  const name = kind ? step.slice(1) : step
  switch (kind) {
    case '$':
      return entry.features?.includes(name) ?? false
    case '^':
      return hasEnumValue(entry, name, rest)
    case '!':
      return entry['json-type'] === name
    case '+': {
      const found = entry.variants?.find(variant => variant.case === name)
      return found !== undefined && follow(schema, found.type, rest)
    }
    default: {
      if (entry['meta-type'] !== 'object') return typeof entry[name] === 'string' && follow(schema, entry[name], rest)
      const member = entry.members?.find(candidate => candidate.name === name)
      if (!member || (kind === '*' && !('default' in member))) return false
      return follow(schema, member.type, rest)
    }
  }
}

function hasEnumValue(entry: SchemaEntry, value: string, rest: string[]): boolean {
  const member = entry.members?.find(candidate => candidate.name === value)
  if (rest.length > 0) return member?.features?.includes(rest[0]!.slice(1)) ?? false
  return member !== undefined || (entry.values?.includes(value) ?? false)
}
