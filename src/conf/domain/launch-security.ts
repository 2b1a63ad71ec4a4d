// <launchSecurity>: guests whose memory the host cannot read (virDomainSecDefParseXML).
import type { DomainDef } from '../domain-def.ts'
import { attr, childAlways, childText, custom, type Field, type Fields, readFirst, variant } from '../element.ts'
import { errorsFrom } from '../error.ts'
import { type Scalar, string, uint, ulonglong, yesNo } from '../scalar.ts'
import { element, firstChild, textOf } from '../xml.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

/** A child holding a number; with `needed` its absence is the same error as a bad one. */
function number<T extends number | bigint>(
  name: string,
  type: Scalar<T>,
  error: string,
  needed = false
): Field<T | undefined> {
  return custom<T | undefined>({
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

/** The same of 64 bits, written with at least that many digits. */
const widePolicyBits = (digits: number): Scalar<bigint> => ({
  parse: text =>
    /^\s*\+?(0x)?[0-9a-f]{1,16}$/i.test(text) ? BigInt(`0x${text.trim().replace(/^\+?(0x)?/i, '')}`) : undefined,
  format: value => `0x${value.toString(16).padStart(digits, '0')}`,
  schema: ulonglong.schema
})

const NO_POLICY = 'failed to get launch security policy'

/** The place of AMD's encryption in page table entries; absent: the host's own. */
const encryption = {
  cbitpos: number('cbitpos', uint, 'Invalid format for launch security cbitpos'),
  reducedPhysBits: number('reducedPhysBits', uint, 'Invalid format for launch security reduced-phys-bits')
}

const kinds = {
  sev: {
    kernelHashes: attr('kernelHashes', yesNo),
    ...encryption,
    policy: number('policy', policyBits, NO_POLICY, true),
    dhCert: childText('dhCert', string),
    session: childText('session', string)
  },
  'sev-snp': {
    kernelHashes: attr('kernelHashes', yesNo),
    authorKey: attr('authorKey', yesNo),
    vcek: attr('vcek', yesNo),
    ...encryption,
    policy: number('policy', widePolicyBits(8), NO_POLICY, true),
    guestVisibleWorkarounds: childText('guestVisibleWorkarounds', string),
    idBlock: childText('idBlock', string),
    idAuth: childText('idAuth', string),
    hostData: childText('hostData', string)
  },
  's390-pv': {},
  tdx: {
    policy: number('policy', widePolicyBits(1), NO_POLICY),
    mrConfigId: childText('mrConfigId', string),
    mrOwner: childText('mrOwner', string),
    mrOwnerConfig: childText('mrOwnerConfig', string),
    /** the service that signs what the guest measured; without a path at its usual place */
    quoteGenerationService: childAlways('quoteGenerationService', { path: attr('path', string) })
  }
} satisfies Record<string, Fields>

const launchSecurity = variant('type', kinds)
const launchSecurityAsRead = variant('type', {
  ...kinds,
  'sev-snp': readFirst(kinds['sev-snp'], 'kernelHashes', 'cbitpos', 'reducedPhysBits')
})

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

/** Bytes of SNP's data, which are given in base64. */
const DATA_BYTES = { guestVisibleWorkarounds: 16, idBlock: 96, idAuth: 4096, hostData: 32 } as const

/** virDomainDefLaunchSecurityValidate. @throws VIR_ERR_CONFIG_UNSUPPORTED */
export function validateLaunchSecurity({ launchSecurity }: DomainDef): void {
  if (launchSecurity?.type !== 'sev-snp') return
  for (const [name, bytes] of Object.entries(DATA_BYTES)) {
    const data = launchSecurity[name as keyof typeof DATA_BYTES]
    const given = data === undefined ? bytes : Buffer.from(data, 'base64').length
    if (given !== bytes) {
      throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `Unexpected length of '${name}', expected ${bytes} got ${given}`)
    }
  }
}
