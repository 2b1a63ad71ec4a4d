// <reservations>: SCSI persistent reservations of a disk passed through, done by a helper process of the host.
import { attr, type Field, required } from '../element.ts'
import { errorsFrom } from '../error.ts'
import { yesNo } from '../scalar.ts'
import { element, firstChild } from '../xml.ts'

const fail = errorsFrom('VIR_FROM_STORAGE')
const wrong = (message: string) => fail('VIR_ERR_XML_ERROR', message)

export interface Reservations {
  /** the helper is started with the guest */
  managed: boolean
  /** its socket, given for one that is not managed */
  path?: string
}

/** `<reservations>` (virStoragePRDefParseXML). */
export const reservations: Field<Reservations | undefined> = {
  names: [['reservations', null]],
  parse(node, context) {
    const found = firstChild(node, 'reservations')
    if (!found) return undefined
    const managed = required(attr('managed', yesNo)).parse(found, context)
    const { type, path, mode } = firstChild(found, 'source')?.attributes ?? {}
    if (!managed || type || path || mode) {
      if (!type) throw wrong('missing connection type for <reservations/>')
      if (!path) throw wrong('missing path for <reservations/>')
      if (!mode) throw wrong('missing connection mode for <reservations/>')
      if (type !== 'unix') throw wrong(`unsupported connection type for <reservations/>: ${type}`)
      if (mode !== 'client') throw wrong(`unsupported connection mode for <reservations/>: ${mode}`)
    }
    return { managed, ...(path && { path }) }
  },
  format(value, into, context) {
    if (!value) return
    const { managed, path } = value
    const shown = path !== undefined && (!managed || !context.migratable)
    const source = shown ? [element('source', { type: 'unix', path, mode: 'client' })] : []
    into.children.push(element('reservations', { managed: yesNo.format(managed) }, source))
  }
}
