// Name and uuid out of a persistent definition, without reading all of it as a guest.
import { errorsFrom } from '../../conf/error.ts'
import { uuid as uuidScalar } from '../../conf/scalar.ts'
import { firstChild, parseXml, textOf } from '../../conf/xml.ts'
import type { Report } from '../report.ts'
import { reportOfShutOff } from './place.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** The report of a guest that is shut off, from its definition. @throws VirError for what is no definition */
export function reportOfDefinition(xml: string, kept: Pick<Report, 'autostart' | 'managedSave'>): Report {
  const domain = parseXml(xml, '(domain_definition)')
  const textIn = (name: string) => {
    const child = firstChild(domain, name)
    return child && textOf(child).trim()
  }
  const name = textIn('name')
  const uuid = uuidScalar.parse(textIn('uuid') ?? '')
  if (domain.name !== 'domain' || !name || uuid === undefined) {
    throw fail('VIR_ERR_XML_ERROR', 'a persistent definition has a name and a uuid')
  }
  return reportOfShutOff(name, uuid, kept)
}
