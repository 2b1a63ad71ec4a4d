// <source> of a <filesystem>, by its type (virDomainFSDefParseXML).
import { claim, custom, type Field, parseAttribute } from '../element.ts'
import { errorsFrom } from '../error.ts'
import { enumOf, ulonglongWrapping } from '../scalar.ts'
import { scaledValue } from '../scaled.ts'
import { element, firstChild, type XmlElement, xpathAttribute } from '../xml.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

export const filesystemType = enumOf('mount', 'block', 'file', 'template', 'ram', 'bind', 'volume')
type FilesystemType = (typeof filesystemType.values)[number]

/** The host's side: the files that are shared. */
export interface FilesystemSource {
  /** directory, file, block device or template name */
  path?: string
  /** socket of a virtiofsd that is not ours to start */
  socket?: string
  /** size of a RAM file system */
  usageBytes?: bigint
  pool?: string
  volume?: string
}

/** The attribute of `<source>` that has the path. */
const PATH_ATTRIBUTE: Partial<Record<FilesystemType, string>> = {
  mount: 'dir',
  bind: 'dir',
  file: 'file',
  block: 'dev',
  template: 'name'
}

function parseRam(source: XmlElement | undefined): FilesystemSource {
  const { usage, units } = source?.attributes ?? {}
  if (usage === undefined) throw fail('VIR_ERR_XML_ERROR', "missing 'usage' attribute for RAM filesystem")
  const count = ulonglongWrapping.parse(usage)
  if (count === undefined) throw fail('VIR_ERR_XML_ERROR', `cannot parse usage '${usage}' for RAM filesystem`)
  return { usageBytes: scaledValue({ text: String(count), unit: units, path: './source/@usage' }) ?? 0n }
}

function parseVolume({ attributes }: XmlElement): FilesystemSource {
  const { pool, volume, mode } = attributes
  if (pool === undefined && volume === undefined) return {}
  if (pool === undefined || volume === undefined) {
    throw fail('VIR_ERR_XML_ERROR', "'pool' and 'volume' must be specified together for 'pool' type source")
  }
  if (mode !== undefined && mode !== 'host' && mode !== 'direct') {
    throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `unknown source mode '${mode}' for volume type disk`)
  }
  return { pool, volume }
}

export const filesystemSource: Field<FilesystemSource | undefined> = custom<FilesystemSource | undefined>({
  names: [
    [
      'source',
      {
        claimed: claim(
          ...['dir', 'file', 'dev', 'name', 'usage', 'units', 'pool', 'volume', 'mode', 'socket'].map(
            name => `@${name}`
          )
        )
      }
    ]
  ],
  parse(node) {
    const type = parseAttribute(node, 'type', filesystemType) ?? 'mount'
    const found = firstChild(node, 'source')
    const socket = found?.attributes.socket
    if (type === 'ram') return parseRam(found)
    if (type === 'volume') return found && parseVolume(found)
    const path = found?.attributes[PATH_ATTRIBUTE[type]!]
    if (path === undefined && socket === undefined) {
      throw fail('VIR_ERR_NO_SOURCE', xpathAttribute(node, 'target', 'dir'))
    }
    return { ...(path !== undefined && { path }), ...(socket !== undefined && { socket }) }
  },
  format(value, into) {
    if (!value) return
    const type = (into.attributes.type ?? 'mount') as FilesystemType
    const { path, socket, usageBytes, pool, volume } = value
    if (usageBytes !== undefined) {
      into.children.push(element('source', { usage: usageBytes / 1024n, units: 'KiB' }))
    } else if (type === 'volume') into.children.push(element('source', { pool, volume }))
    else if (socket !== undefined && (type === 'mount' || type === 'bind')) {
      into.children.push(element('source', { socket }))
    } else if (path !== undefined) into.children.push(element('source', { [PATH_ATTRIBUTE[type]!]: path }))
  }
})
