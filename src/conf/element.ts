// One XML element as a table: which attribute or child holds which field, read and written by the same line.
//
//   export const watchdogFields = {
//     model: required(attr('model', enumOf('i6300esb', 'ib700'))),
//     action: attr('action', enumOf('reset', 'pause')),
//     ...deviceInfo
//   }
//   export type WatchdogDef = Def<typeof watchdogFields>
//   parseFields(node, watchdogFields, context)        -> WatchdogDef
//   formatFields('watchdog', def, watchdogFields, context) -> XmlElement
//
// Fields are written in table order. Types follow from the table. What has no such regular form uses `custom`.
import { errorsFrom } from './error.ts'
import { type Scalar, string } from './scalar.ts'
import { childElements, element, firstChild, gathered, textOf, type XmlElement, xpathAttribute } from './xml.ts'

const fail = errorsFrom('VIR_FROM_XML')

/** Settings for reading XML; libvirt's VIR_DOMAIN_DEF_PARSE_* flags. */
export interface ParseContext {
  /** true: a definition from a user, false: our own live XML (aliases and other run-time values are kept) */
  inactive: boolean
  /** a new definition or the update of one, not one that is read again (VIR_DOMAIN_DEF_PARSE_ABI_UPDATE) */
  abiUpdate?: boolean
  /** our own saved status, with what only we know of the guest (VIR_DOMAIN_DEF_PARSE_STATUS) */
  status?: boolean
}

/** Settings for writing XML; libvirt's VIR_DOMAIN_DEF_FORMAT_* flags. */
export interface FormatContext {
  /** leave out what only a running guest has (VIR_DOMAIN_XML_INACTIVE) */
  inactive: boolean
  /** our names of devices all the same: the definition is a running guest's */
  aliases?: boolean
  /** include passwords (VIR_DOMAIN_XML_SECURE) */
  secure: boolean
  /** only what older libvirt accepts (VIR_DOMAIN_XML_MIGRATABLE) */
  migratable: boolean
  /** our own saved status (VIR_DOMAIN_DEF_FORMAT_STATUS) */
  status?: boolean
}

/** One value of an element: read from the element, written into it. Absent is undefined. */
export interface Field<T> {
  parse(node: XmlElement, context: ParseContext): T
  /** `def` is the whole definition the value is part of, for what is written elsewhere than it is kept */
  format(value: T, into: XmlElement, context: FormatContext, def?: object): void
  /** attributes and children it claims, for strict validation: `@name` or `name` with its own fields */
  names: readonly Name[]
}
/** A claimed name: '@attribute', 'child', or a child and its fields; fields null: anything inside. */
export type Name = string | readonly [child: string, fields: Fields | null]

export type Fields = Record<string, Field<unknown>>

/** A field whose value's keys are the element's own, rather than lying under the field's key; see `spread`. */
export interface SpreadField<T> extends Field<T> {
  spread: true
}

type Value<F> = F extends Field<infer T> ? T : never
type Flatten<T> = { [K in keyof T]: T[K] } & {}
/** Keys of the fields with a value under their own key. */
type OwnKey<F> = { [K in keyof F]: F[K] extends SpreadField<unknown> ? never : K }[keyof F]
/** The value of the table's spread field, which may be a union. */
type Spread<F> = { [K in keyof F]: F[K] extends SpreadField<infer T> ? T : never }[keyof F]
/** The typed form of an element: fields that may be absent are optional. */
export type Def<F extends Fields> = Flatten<
  { [K in OwnKey<F> as undefined extends Value<F[K]> ? never : K]: Value<F[K]> } & {
    [K in OwnKey<F> as undefined extends Value<F[K]> ? K : never]?: Value<F[K]>
  }
> &
  ([Spread<F>] extends [never] ? unknown : Spread<F>)

interface Row {
  key: string
  field: Field<unknown>
  isSpread: boolean
}
const rows = new WeakMap<Fields, Row[]>()

/** A table as a list, which is quicker to go through for every element. */
function rowsOf(fields: Fields): Row[] {
  let known = rows.get(fields)
  if (!known) {
    known = Object.entries(fields).map(([key, field]) => ({ key, field, isSpread: 'spread' in field }))
    rows.set(fields, known)
  }
  return known
}

/** Reads every field of the table from the element. */
export function parseFields<F extends Fields>(node: XmlElement, fields: F, context: ParseContext): Def<F> {
  const out: Record<string, unknown> = {}
  for (const { key, field, isSpread } of rowsOf(fields)) {
    const value = field.parse(node, context)
    if (isSpread) Object.assign(out, value)
    else if (value !== undefined) out[key] = value
  }
  return out as Def<F>
}

/** The table with these fields first: they are read, and their errors found, before the others. */
export function readFirst<F extends Fields>(fields: F, ...keys: (keyof F & string)[]): F {
  return { ...Object.fromEntries(keys.map(key => [key, fields[key]])), ...fields } as F
}

/** The table with these fields last. */
export function readLast<F extends Fields>(fields: F, ...keys: (keyof F & string)[]): F {
  return readFirst(fields, ...Object.keys(fields).filter(key => !keys.includes(key)), ...keys)
}

/** The field is read for its errors only: libvirt looks at it here, and its value belongs elsewhere. */
export function readAhead({ parse }: Pick<Field<unknown>, 'parse'>): Field<undefined> {
  return {
    names: [],
    parse(node, context) {
      parse(node, context)
    },
    format: () => undefined
  }
}

/** Fills in what is left open: what `virsh dumpxml --inactive` shows. */
export const formatContext = ({ inactive, ...more }: Partial<FormatContext>): FormatContext => ({
  inactive: inactive ?? true,
  secure: more.secure ?? false,
  migratable: more.migratable ?? false,
  aliases: more.aliases ?? false,
  status: more.status ?? false
})

/** Writes the fields of the table into a new element of that name. */
export function formatFields<F extends Fields>(
  name: string,
  def: Def<F>,
  fields: F,
  context: FormatContext
): XmlElement {
  const node = element(name)
  formatFieldsInto(node, def, fields, context)
  return node
}

/** Writes the fields of the table into an element that exists. */
export function formatFieldsInto<F extends Fields>(
  node: XmlElement,
  def: Def<F>,
  fields: F,
  context: FormatContext
): void {
  const values = def as Record<string, unknown>
  for (const { key, field, isSpread } of rowsOf(fields)) {
    const value = isSpread ? values : values[key]
    if (value !== undefined) field.format(value, node, context, def)
  }
}

/** libvirt's error for a value an attribute cannot have. */
export function invalidAttribute(node: XmlElement, name: string, text: string, expected?: string) {
  const more = expected === undefined ? '' : ` ${expected}`
  return fail('VIR_ERR_XML_ERROR', `Invalid value for attribute '${name}' in element '${node.name}': '${text}'.${more}`)
}

/** libvirt's error for an attribute that must be given. */
export function missingAttribute(node: XmlElement, name: string) {
  return fail('VIR_ERR_XML_ERROR', `Missing required attribute '${name}' in element '${node.name}'`)
}

/** Reads one attribute by hand, with libvirt's errors, as virXMLPropInt and its kin do. */
export function parseAttribute<T>(node: XmlElement, name: string, type: Scalar<T>): T | undefined {
  const text = node.attributes[name]
  if (text === undefined) return undefined
  const value = type.parse(text)
  if (value === undefined) {
    const { expected } = type
    throw invalidAttribute(node, name, text, typeof expected === 'function' ? expected(text) : expected)
  }
  return value
}

/** An attribute. */
export function attr<T>(name: string, type: Scalar<T>): Field<T | undefined> {
  return {
    names: [`@${name}`],
    parse: node => parseAttribute(node, name, type),
    format(value, into) {
      if (value !== undefined) into.attributes[name] = type.format(value)
    }
  }
}

/** An attribute whose wrong values have an error of their own instead of the general one. */
export function attrOr<T>(name: string, type: Scalar<T>, wrong: (text: string) => Error): Field<T | undefined> {
  return {
    ...attr(name, type),
    parse(node) {
      const text = node.attributes[name]
      const value = text === undefined ? undefined : type.parse(text)
      if (text !== undefined && value === undefined) throw wrong(text)
      return value
    }
  }
}

/** An attribute that must not be zero (VIR_XML_PROP_NONZERO on numbers). */
export function nonZero<T extends number | bigint>(field: Field<T | undefined>): Field<T | undefined> {
  return {
    ...field,
    parse(node, context) {
      const value = field.parse(node, context)
      if (value === undefined || Number(value) !== 0) return value
      const name = String(field.names[0]).replace(/^@/, '')
      throw fail(
        'VIR_ERR_XML_ERROR',
        `Invalid value for attribute '${name}' in element '${node.name}': Zero is not permitted`
      )
    }
  }
}

/** A number where zero says the same as leaving it out. */
export function zeroIsAbsent<T extends number | bigint>(field: Field<T | undefined>): Field<T | undefined> {
  return { ...field, parse: (node, context) => field.parse(node, context) || undefined }
}

/** The field must be there: libvirt's VIR_XML_PROP_REQUIRED. */
export function required<T>(field: Field<T | undefined>): Field<T> {
  return {
    names: field.names,
    format: field.format as Field<T>['format'],
    parse(node, context) {
      const value = field.parse(node, context)
      if (value !== undefined) return value
      const name = nameOf(field.names[0]!)
      if (name.startsWith('@')) throw missingAttribute(node, name.slice(1))
      throw fail('VIR_ERR_XML_ERROR', `missing element '${name}' in element '${node.name}'`)
    }
  }
}

/** As `required`, with an error of its own instead of the general ones. */
export function requiredOr<T>(field: Field<T | undefined>, missing: () => Error): Field<T> {
  return {
    names: field.names,
    format: field.format as Field<T>['format'],
    parse(node, context) {
      const value = field.parse(node, context)
      if (value === undefined) throw missing()
      return value
    }
  }
}

/** Absent means this value; it is still written. */
export function withDefault<T>(field: Field<T | undefined>, value: T): Field<T> {
  return {
    names: field.names,
    format: field.format as Field<T>['format'],
    parse: (node, context) => field.parse(node, context) ?? value
  }
}

/** Written only if the condition holds, `secret` for passwords for instance. */
export function onlyIf<T>(condition: (context: FormatContext) => boolean, field: Field<T>): Field<T> {
  return {
    ...field,
    format(value, into, context, def) {
      if (condition(context)) field.format(value, into, context, def)
    }
  }
}
/** Read only of elements for which this holds; for others it is passed over. */
export function readIf<T>(holds: (node: XmlElement) => boolean, field: Field<T | undefined>): Field<T | undefined> {
  return { ...field, parse: (node, context) => (holds(node) ? field.parse(node, context) : undefined) }
}
/** Written only with VIR_DOMAIN_XML_SECURE. */
export const secret = <T>(field: Field<T>): Field<T> => onlyIf(context => context.secure, field)
/** Read from and written to live XML only. */
export const liveOnly = <T>(field: Field<T | undefined>): Field<T | undefined> => ({
  names: field.names,
  parse: (node, context) => (context.inactive ? undefined : field.parse(node, context)),
  format(value, into, context, def) {
    if (!context.inactive) field.format(value, into, context, def)
  }
})

/** The element's own text. */
export function text<T>(type: Scalar<T>): Field<T | undefined> {
  return {
    names: [],
    parse(node) {
      const value = textOf(node)
      if (value === '') return undefined
      const parsed = type.parse(value)
      if (parsed === undefined) throw fail('VIR_ERR_XML_ERROR', `Invalid value '${value}' in element '${node.name}'`)
      return parsed
    },
    format(value, into) {
      if (value !== undefined) into.children.push(type.format(value))
    }
  }
}

/**
 * A child element with fields of its own; the first of that name counts. One that holds nothing is none.
 * @param asRead the same fields in libvirt's order of reading, which decides about the error
 */
export function child<F extends Fields>(name: string, fields: F, asRead: F = fields): Field<Def<F> | undefined> {
  return {
    names: [[name, fields]],
    parse(node, context) {
      const found = firstChild(node, name)
      const parsed = found && parseFields(found, asRead, context)
      return parsed && Object.keys(parsed).length > 0 ? parsed : undefined
    },
    format(value, into, context) {
      if (value === undefined) return
      const node = formatFields(name, value, fields, context)
      if (Object.keys(node.attributes).length + node.children.length > 0) into.children.push(node)
    }
  }
}

/** As `child`, but all elements of that name are read as one. */
export function gatheredChild<F extends Fields>(name: string, fields: F): Field<Def<F> | undefined> {
  const one = child(name, fields)
  return {
    ...one,
    parse(node, context) {
      const found = gathered(node, name)
      return found && one.parse(element(node.name, {}, [found]), context)
    }
  }
}

/** As `child`, but there and written even if it holds nothing. */
export function childAlways<F extends Fields>(name: string, fields: F, asRead: F = fields): Field<Def<F> | undefined> {
  return {
    names: [[name, fields]],
    parse(node, context) {
      const found = firstChild(node, name)
      return found && parseFields(found, asRead, context)
    },
    format(value, into, context) {
      if (value !== undefined) into.children.push(formatFields(name, value, fields, context))
    }
  }
}

/** All child elements of that name, in order. */
export function children<F extends Fields>(name: string, fields: F): Field<Def<F>[]> {
  return {
    names: [[name, fields]],
    parse: (node, context) => childElements(node, name).map(found => parseFields(found, fields, context)),
    format(values, into, context) {
      for (const value of values) into.children.push(formatFields(name, value, fields, context))
    }
  }
}

/** A wrapper child around a list: `list('hosts', 'host', fields)` for `<hosts><host/>…</hosts>`; left out if empty. */
export function wrapped<F extends Fields>(wrapper: string, name: string, fields: F): Field<Def<F>[] | undefined> {
  const inner = children(name, fields)
  return {
    names: [[wrapper, { inner }]],
    parse(node, context) {
      const found = firstChild(node, wrapper)
      return found && inner.parse(found, context)
    },
    format(values, into, context) {
      if (values === undefined || values.length === 0) return
      const node = element(wrapper)
      inner.format(values, node, context)
      into.children.push(node)
    }
  }
}

/** A child that says true by being there: `<readonly/>`. */
export function flag(name: string): Field<true | undefined> {
  return {
    names: [name],
    parse: node => (firstChild(node, name) ? true : undefined),
    format(value, into) {
      if (value) into.children.push(element(name))
    }
  }
}

/** A child whose text is the value: `<serial>abc</serial>`. */
export function childText<T>(name: string, type: Scalar<T>): Field<T | undefined> {
  return {
    names: [[name, {}]],
    parse(node) {
      const found = firstChild(node, name)
      if (!found) return undefined
      const value = textOf(found)
      if (value === '') return undefined
      const parsed = type.parse(value)
      if (parsed === undefined) throw fail('VIR_ERR_XML_ERROR', `Invalid value '${value}' for element '${name}'`)
      return parsed
    },
    format(value, into) {
      if (value !== undefined) into.children.push(element(name, {}, [type.format(value)]))
    }
  }
}

/** A child with one attribute that is the value: `<bootmenu enable='yes'/>`. */
export function childAttr<T>(name: string, attribute: string, type: Scalar<T>): Field<T | undefined> {
  return {
    names: [[name, { value: attr(attribute, type) }]],
    parse(node) {
      const found = firstChild(node, name)
      return found && parseAttribute(found, attribute, type)
    },
    format(value, into) {
      if (value !== undefined) into.children.push(element(name, { [attribute]: type.format(value) }))
    }
  }
}

/** Fields of the same element kept together under one key; absent if none of them is there. */
export function group<F extends Fields>(fields: F): Field<Def<F> | undefined> {
  return {
    names: Object.values(fields).flatMap(field => field.names),
    parse(node, context) {
      const value = parseFields(node, fields, context)
      return Object.keys(value).length > 0 ? value : undefined
    },
    format(value, into, context) {
      if (value !== undefined) formatFieldsInto(into, value, fields, context)
    }
  }
}

/** One of several forms, told apart by an attribute that holds the kind (discriminated union). */
export type Variant<A extends string, V extends Record<string, Fields>> = {
  [K in keyof V & string]: Flatten<{ [N in A]: K } & Def<V[K]>>
}[keyof V & string]

/**
 * Fields of the same element that depend on an attribute, `type` for instance. Unknown kinds go to `unknown`.
 * @param asRead the same kinds, each in libvirt's order of reading
 */
export function variant<const A extends string, V extends Record<string, Fields>>(
  attribute: A,
  kinds: V,
  unknown: (kind: string | undefined, node: XmlElement) => Error = (kind, node) =>
    kind === undefined ? missingAttribute(node, attribute) : invalidAttribute(node, attribute, kind),
  asRead: V = kinds
): Field<Variant<A, V>> {
  return {
    names: [
      `@${attribute}`,
      ...Object.values(kinds).flatMap(fields => Object.values(fields).flatMap(field => field.names))
    ],
    parse(node, context) {
      const kind = node.attributes[attribute]
      if (kind === undefined || !Object.hasOwn(kinds, kind)) throw unknown(kind, node)
      return { [attribute]: kind, ...parseFields(node, asRead[kind]!, context) } as Variant<A, V>
    },
    format(value, into, context) {
      const kind = (value as Record<string, string>)[attribute]!
      into.attributes[attribute] = kind
      formatFieldsInto(into, value as never, kinds[kind]!, context)
    }
  }
}

/**
 * Puts the value's keys beside those of the table's other fields: with `variant`, the element itself is told apart by
 * its attribute. One in a table.
 */
export function spread<T extends object>(field: Field<T>): SpreadField<T> {
  return { ...field, spread: true }
}

/** The value that says the same as none at all: read as absent, so never written. */
export function absentIf<T, const V extends T>(
  value: V,
  field: Field<T | undefined>
): Field<Exclude<T, V> | undefined> {
  return {
    names: field.names,
    format: field.format,
    parse(node, context) {
      const parsed = field.parse(node, context)
      return parsed === value ? undefined : (parsed as Exclude<T, V> | undefined)
    }
  }
}

/** A child element holding one field: `inChild('source', chardevSource)`. Absent child: undefined. */
export function inChild<T>(name: string, field: Field<T>): Field<T | undefined> {
  return {
    names: [[name, { field }]],
    parse(node, context) {
      const found = firstChild(node, name)
      return found && field.parse(found, context)
    },
    format(value, into, context) {
      if (value === undefined) return
      const node = element(name)
      field.format(value, node, context)
      into.children.push(node)
    }
  }
}

/** Claims names that a `custom` field around it reads by hand. */
export function claim(...names: Name[]): Field<undefined> {
  return { names, parse: () => undefined, format: () => undefined }
}

/** An attribute with a value, `default` mostly, that says the same as its absence: it is read, never kept. */
export function attrUnless<T>(name: string, absent: string, type: Scalar<T>): Field<T | undefined> {
  return {
    ...attr(name, type),
    parse: node => (node.attributes[name] === absent ? undefined : parseAttribute(node, name, type))
  }
}

/** A child's text attribute that libvirt reads by XPath: an empty one is as good as none. */
export function childAttrText(name: string, attribute: string): Field<string | undefined> {
  return { ...childAttr(name, attribute, string), parse: node => xpathAttribute(node, name, attribute) }
}

/** A field with a reader and writer of its own. */
export function custom<T>(field: Field<T>): Field<T> {
  return field
}

/** A claimed name without the fields inside it. */
export const nameOf = (name: Name): string => (typeof name === 'string' ? name : name[0])
