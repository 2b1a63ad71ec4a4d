// <mirror>: the image a block job copies a running guest's disk to (virDomainDiskDefMirrorParse).
import { type Field, liveOnly } from '../element.ts'
import { errorsFrom } from '../error.ts'
import { enumOf } from '../scalar.ts'
import { formatStorageImage, parseStorageImage } from '../storage/chain.ts'
import { type StorageSource, storageFormat } from '../storage/source.ts'
import { element, firstChild, type XmlElement } from '../xml.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

const job = enumOf('copy', 'active-commit')
const state = enumOf('none', 'yes', 'abort', 'pivot')

export interface DiskMirror {
  job: 'copy' | 'active-commit'
  /** the copy is in step, or the job is ending */
  ready?: 'yes' | 'abort' | 'pivot'
  source: StorageSource
}

/** The form of libvirt before 1.2.6: file and format as attributes. */
function parseOld({ attributes }: XmlElement): StorageSource {
  const { file, format } = attributes
  const known = format === undefined ? undefined : storageFormat.parse(format)
  if (format !== undefined && !known) throw fail('VIR_ERR_XML_ERROR', `unknown storage source format '${format}'`)
  if (file === undefined) throw fail('VIR_ERR_XML_ERROR', 'mirror requires file name')
  return { type: 'file', path: file, ...(known && { format: known }) }
}

/** `<mirror>`, of a running guest only. */
export const diskMirror: Field<DiskMirror | undefined> = liveOnly<DiskMirror>({
  names: [['mirror', null]],
  parse(node, context) {
    const found = firstChild(node, 'mirror')
    if (!found) return undefined
    const { type, job: named, ready } = found.attributes
    const kind = named === undefined ? 'copy' : job.parse(named)
    if (!kind) throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `unknown mirror job type '${named}'`)
    if (type === undefined && kind !== 'copy')
      throw fail('VIR_ERR_XML_ERROR', 'mirror without type only supported by copy job')
    const index = firstChild(found, 'source')?.attributes.index
    const source =
      type === undefined
        ? parseOld(found)
        : parseStorageImage(found, type, index, 'mirror requires source element', context)
    const known = ready === undefined ? 'none' : state.parse(ready)
    if (!known) throw fail('VIR_ERR_XML_ERROR', `unknown mirror ready state ${ready}`)
    return { job: kind, ...(known !== 'none' && { ready: known }), source }
  },
  format(value, into, context) {
    if (!value) return
    const { source, job, ready } = value
    const old = source.type === 'file' && job === 'copy' ? { file: source.path, format: source.format } : {}
    const node = element('mirror', { type: source.type, ...old, job, ready })
    formatStorageImage(node, source, context, { index: source.index })
    into.children.push(node)
  }
})
