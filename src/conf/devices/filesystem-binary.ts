// <binary> of a <filesystem>: the virtiofsd that serves it.
import { attr, child, childAttr, custom, type Def, type Field, type Fields } from '../element.ts'
import { errorsFrom } from '../error.ts'
import { sanitizePath } from '../path.ts'
import { enumOf, int, onOff, string, ulonglong, ulonglongWrapping } from '../scalar.ts'
import { element, firstChild, type XmlElement, xpathAttribute } from '../xml.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

const threadPoolSize = custom<number | undefined>({
  names: [['thread_pool', { size: attr('size', int) }]],
  parse(node) {
    const text = xpathAttribute(node, 'thread_pool', 'size')
    if (!text) return undefined
    const size = int.parse(text)
    if (size === undefined) throw fail('VIR_ERR_XML_ERROR', `cannot parse thread pool size '${text}' for virtiofs`)
    return size < 0 ? undefined : size
  },
  format(value, into) {
    if (value !== undefined) into.children.push(element('thread_pool', { size: value }))
  }
})

/** The most files it may have open; read without a sign, written with one. */
const openFiles = custom<bigint | undefined>({
  names: [['openfiles', { max: attr('max', ulonglong) }]],
  parse(node) {
    const text = xpathAttribute(node, 'openfiles', 'max')
    if (!text) return undefined
    const max = ulonglongWrapping.parse(text)
    if (max === undefined) throw fail('VIR_ERR_XML_ERROR', `cannot parse openfiles '${text}' for virtiofs`)
    return max || undefined
  },
  format(value, into) {
    if (value !== undefined) into.children.push(element('openfiles', { max: BigInt.asIntN(64, value) }))
  }
})

const binary = {
  path: custom<string | undefined>({
    ...attr('path', string),
    parse: node => (node.attributes.path ? sanitizePath(node.attributes.path) : undefined)
  }),
  xattr: attr('xattr', onOff),
  cache: childAttr('cache', 'mode', enumOf('none', 'always')),
  sandbox: childAttr('sandbox', 'mode', enumOf('namespace', 'chroot')),
  lock: child('lock', { posix: attr('posix', onOff), flock: attr('flock', onOff) }),
  threadPoolSize,
  openFiles
} satisfies Fields
export type FilesystemBinary = Def<typeof binary>

/** True for a <filesystem> whose driver is virtiofs. */
export const isVirtiofsElement = (node: XmlElement): boolean =>
  firstChild(node, 'driver')?.attributes.type === 'virtiofs'

/** Read for virtiofs only. */
export const filesystemBinary: Field<FilesystemBinary | undefined> = {
  ...child('binary', binary),
  parse: (node, context) => (isVirtiofsElement(node) ? child('binary', binary).parse(node, context) : undefined)
}
