// <portForward>: ports of the host that reach the guest, of interfaces that passt serves.
import {
  attr,
  children,
  custom,
  type Def,
  type Field,
  type Fields,
  nonZero,
  parseFields,
  required
} from '../element.ts'
import { errorsFrom } from '../error.ts'
import { enumOf, string, uint, yesNo } from '../scalar.ts'
import { childElements, element } from '../xml.ts'
import { formatSocketAddress, parseSocketAddress } from './socket-address.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

/** Ports; without a start the rest is not written. */
const range = {
  start: nonZero(attr('start', uint)),
  end: nonZero(attr('end', uint)),
  to: nonZero(attr('to', uint)),
  exclude: attr('exclude', yesNo)
} satisfies Fields

const fields = {
  proto: required(attr('proto', enumOf('tcp', 'udp'))),
  address: custom<string | undefined>({
    ...attr('address', string),
    parse(node) {
      const text = node.attributes.address
      const address = text === undefined ? undefined : parseSocketAddress(text)
      if (text !== undefined && !address) throw fail('VIR_ERR_XML_ERROR', `Invalid address '${text}' in <portForward>`)
      return address && formatSocketAddress(address)
    }
  }),
  dev: attr('dev', string),
  ranges: custom<Def<typeof range>[]>({
    names: [['range', range]],
    parse: (node, context) => childElements(node, 'range').map(one => parseFields(one, range, context)),
    format(values, into) {
      for (const { start, end, to, exclude } of values) {
        if (start === undefined && exclude === undefined) continue
        const ports = start === undefined ? {} : { start, end, to }
        into.children.push(
          element('range', { ...ports, exclude: exclude === undefined ? undefined : yesNo.format(exclude) })
        )
      }
    }
  })
} satisfies Fields
export type PortForward = Def<typeof fields>

/** `<portForward>` children. */
export const portForwards: Field<PortForward[]> = children('portForward', fields)
