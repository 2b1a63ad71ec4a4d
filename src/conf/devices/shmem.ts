// <shmem>: memory shared between guests, as a PCI device.
import { isDeepStrictEqual } from 'node:util'
import { attr, childAlways, childAttr, custom, type Def, type Fields, readFirst } from '../element.ts'
import { errorsFrom } from '../error.ts'
import { enumOf, onOff, path, string, uintAnyBase, ulonglong, unitFactor } from '../scalar.ts'
import { element, firstChild, textOf } from '../xml.ts'
import { fitsAddress } from './device-address.ts'
import { deviceInfo } from './device-info.ts'
import { deviceFamily } from './family.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

const model = enumOf('ivshmem', 'ivshmem-plain', 'ivshmem-doorbell')
const role = attr('role', enumOf('master', 'peer'))
const MIB = 1024n ** 2n

export const shmemFields = {
  name: custom<string>({
    names: ['@name'],
    parse({ attributes: { name } }) {
      if (name === undefined) throw fail('VIR_ERR_XML_ERROR', "shmem element must contain 'name' attribute")
      return name
    },
    format(value, into) {
      into.attributes.name = value
    }
  }),
  /** at migration a master takes the memory along, a peer must be unplugged before; the oldest model has no roles */
  role: custom<'master' | 'peer' | undefined>({
    ...role,
    parse(node, context) {
      const kind = firstChild(node, 'model')?.attributes.type
      return kind === undefined || kind === 'ivshmem' ? undefined : role.parse(node, context)
    }
  }),
  model: custom<(typeof model.values)[number]>({
    names: childAttr('model', 'type', model).names,
    parse: (node, context) => childAttr('model', 'type', model).parse(node, context) ?? 'ivshmem',
    format(value, into) {
      into.children.push(element('model', { type: value }))
    }
  }),
  /** written in whole MiB */
  sizeBytes: custom<bigint | undefined>({
    names: [['size', { unit: attr('unit', string) }]],
    parse(node) {
      const found = firstChild(node, 'size')
      const text = found && textOf(found)
      if (!text) return undefined
      const count = ulonglong.parse(text)
      if (count === undefined) {
        throw fail('VIR_ERR_XML_ERROR', `Invalid value '${text}' for element or attribute './size[1]'`)
      }
      const unit = found.attributes.unit || 'bytes'
      const factor = unitFactor(unit)
      if (factor === undefined) throw fail('VIR_ERR_INVALID_ARG', `unknown suffix '${unit}'`)
      const bytes = count * factor
      if (bytes >= 2n ** 64n) throw fail('VIR_ERR_OVERFLOW', `value too large: ${count}${unit}`)
      return bytes || undefined
    },
    format(value, into) {
      if (value !== undefined) into.children.push(element('size', { unit: 'M' }, [String(value / MIB)]))
    }
  }),
  /** the ivshmem server that hands out memory and interrupts; a socket is made up where there is no path */
  server: childAlways('server', { path: attr('path', path) }),
  msi: custom<{ vectors?: number; ioeventfd?: boolean } | undefined>({
    ...childAlways('msi', { vectors: attr('vectors', uintAnyBase), ioeventfd: attr('ioeventfd', onOff) }),
    parse(node, context) {
      const found = firstChild(node, 'msi')
      if (!found) return undefined
      const vectors = attr('vectors', uintAnyBase).parse(found, context) || undefined
      const ioeventfd = attr('ioeventfd', onOff).parse(found, context)
      if (!firstChild(node, 'server')) {
        throw fail('VIR_ERR_XML_ERROR', 'msi option is only supported with a server')
      }
      return { vectors, ioeventfd }
    }
  }),
  ...deviceInfo
} satisfies Fields
export type ShmemDef = Def<typeof shmemFields>

export const shmem = deviceFamily({
  element: 'shmem',
  fields: shmemFields,
  asRead: readFirst(shmemFields, 'model'),
  validate({ name }) {
    if (name.includes('/')) throw fail('VIR_ERR_CONFIG_UNSUPPORTED', "shmem name cannot include '/' character")
    if (name === '.' || name === '..') {
      throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `shmem name cannot be equal to '${name}'`)
    }
  },
  same: (wanted, there) =>
    wanted.name === there.name &&
    wanted.sizeBytes === there.sizeBytes &&
    wanted.model === there.model &&
    wanted.role === there.role &&
    isDeepStrictEqual(wanted.server, there.server) &&
    sameMsi(wanted.msi, there.msi) &&
    fitsAddress(wanted, there)
})

function sameMsi(a: ShmemDef['msi'], b: ShmemDef['msi']): boolean {
  return (a === undefined) === (b === undefined) && a?.vectors === b?.vectors && a?.ioeventfd === b?.ioeventfd
}
