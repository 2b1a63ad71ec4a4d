// <launchSecurity>: guests whose memory the host cannot read (virDomainSecDefParseXML).
import { attr, childText, custom, type Field, type Fields, readFirst, variant } from '../element.ts'
import { errorsFrom } from '../error.ts'
import { type Scalar, string, uint, yesNo } from '../scalar.ts'
import { element, firstChild, textOf } from '../xml.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

/** A child holding a number; with `needed` its absence is the same error as a bad one. */
function number(name: string, type: Scalar<number>, error: string, needed = false): Field<number | undefined> {
  return custom<number | undefined>({
    names: [[name, {}]],
    parse(node) {
      const found = firstChild(node, name)
      const text = found ? textOf(found) : ''
      if (text === '' && !needed) return undefined
      const value = type.parse(text)
      if (value === undefined) throw fail('VIR_ERR_XML_ERROR', error)
      return value
    },
    format(value, into) {
      if (value !== undefined) into.children.push(element(name, {}, [type.format(value)]))
    }
  })
}

/** Hexadecimal with or without 0x. */
const policyBits: Scalar<number> = {
  parse: text => (/^\s*\+?(0x)?[0-9a-f]{1,8}$/i.test(text) ? Number.parseInt(text, 16) : undefined),
  format: value => `0x${value.toString(16).padStart(4, '0')}`,
  schema: uint.schema
}

const kinds = {
  sev: {
    kernelHashes: attr('kernelHashes', yesNo),
    /** position of the encryption bit in page table entries; absent: the host's own */
    cbitpos: number('cbitpos', uint, 'Invalid format for launch security cbitpos'),
    reducedPhysBits: number('reducedPhysBits', uint, 'Invalid format for launch security reduced-phys-bits'),
    policy: number('policy', policyBits, 'failed to get launch security policy', true),
    dhCert: childText('dhCert', string),
    session: childText('session', string)
  },
  's390-pv': {}
} satisfies Record<string, Fields>

const launchSecurity = variant('type', kinds)
const launchSecurityAsRead = variant('type', { ...kinds, sev: readFirst(kinds.sev, 'kernelHashes', 'policy') })

export type LaunchSecurityDef = ReturnType<(typeof launchSecurity)['parse']>

export const launchSecurityFields = {
  launchSecurity: custom<LaunchSecurityDef | undefined>({
    names: [['launchSecurity', { launchSecurity }]],
    parse(node, context) {
      const found = firstChild(node, 'launchSecurity')
      return found && launchSecurityAsRead.parse(found, context)
    },
    format(value, into, context) {
      if (!value) return
      const node = element('launchSecurity')
      launchSecurity.format(value, node, context)
      into.children.push(node)
    }
  })
} satisfies Fields
