// Identity, definition and metadata: what is answered from the definition alone, and what changes it.
import { getMetadata, setMetadata } from '../../../conf/domain/metadata.ts'
import { formatDomain } from '../../../conf/domain-xml.ts'
import {
  virDomainMessageType,
  virDomainMetadataType,
  virDomainModificationImpact,
  virDomainXMLFlags
} from '../../../conf/enums.ts'
import { argumentErrorsFrom, errorsFrom } from '../../../conf/error.ts'
import { array, flags, flagsIn, int, oneOf, optional, text } from '../../../conf/wire.ts'
import { methodFor } from '../../method.ts'
import { withUpdatedCpu } from '../cpu/guest.ts'
import { formatMigratable } from '../definition/migratable.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { messagesOf } from '../domain/taint.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const failDomain = errorsFrom('VIR_FROM_DOMAIN')
const badArgument = argumentErrorsFrom('VIR_FROM_DOMAIN')
const method = methodFor<QemuDomain>()

const { VIR_DOMAIN_METADATA_DESCRIPTION, VIR_DOMAIN_METADATA_TITLE } = virDomainMetadataType
const { VIR_DOMAIN_XML_INACTIVE, VIR_DOMAIN_XML_SECURE, VIR_DOMAIN_XML_UPDATE_CPU, VIR_DOMAIN_XML_MIGRATABLE } =
  virDomainXMLFlags

const notPresent = () => failDomain('VIR_ERR_NO_DOMAIN_METADATA', 'Requested metadata element is not present')
const unknownType = (type: number) => failDomain('VIR_ERR_INVALID_ARG', `unknown metadata type '${type}'`)
const metadataType = oneOf(virDomainMetadataType, unknownType)

const identity = { since: '0.0.1', on: 'domain', args: {} } as const

function xmlOf(domain: QemuDomain, bits: number): string {
  const isInactive = (bits & VIR_DOMAIN_XML_INACTIVE) !== 0
  const kept = isInactive ? (domain.newDef ?? domain.def) : domain.def
  const def = (bits & VIR_DOMAIN_XML_UPDATE_CPU) === 0 ? kept : withUpdatedCpu(kept, domain.context)
  if ((bits & VIR_DOMAIN_XML_MIGRATABLE) !== 0)
    return formatMigratable(def, domain.context, kept === domain.def ? domain.run?.originalCpu : undefined)
  const secure = (bits & VIR_DOMAIN_XML_SECURE) !== 0
  const aliases = domain.isActive && kept === domain.def
  return formatDomain(def, { inactive: !domain.isActive || isInactive, aliases, secure })
}

const getsAutostart = (since: string, when: 'autostart' | 'autostartOnce') =>
  method({
    since,
    on: 'domain',
    acl: 'domain:read',
    args: {},
    ret: { autostart: int() },
    run: domain => ({ autostart: Number(domain[when]) })
  })

const setsAutostart = (since: string, when: 'autostart' | 'autostartOnce') =>
  method({
    since,
    on: 'domain',
    acl: 'domain:write',
    job: 'modify',
    args: { autostart: int('0 or 1') },
    ret: {},
    run(domain, { autostart }) {
      if (!domain.isPersistent) throw fail('VIR_ERR_OPERATION_INVALID', 'cannot set autostart for transient domain')
      domain[when] = autostart !== 0
      return {}
    }
  })

export const description = {
  virDomainGetName: method({ ...identity, ret: { name: text() }, run: domain => ({ name: domain.name }) }),

  virDomainGetUUID: method({
    ...identity,
    since: '0.0.5',
    ret: { uuid: text('canonical form') },
    run: domain => ({ uuid: domain.uuid })
  }),

  virDomainGetUUIDString: method({
    ...identity,
    since: '0.1.1',
    ret: { uuid: text('canonical form') },
    run: domain => ({ uuid: domain.uuid })
  }),

  /** The id of the running guest, -1 when it is shut off. */
  virDomainGetID: method({ ...identity, ret: { id: int() }, run: domain => ({ id: domain.id }) }),

  virDomainGetOSType: method({
    since: '0.0.1',
    on: 'domain',
    acl: 'domain:read',
    args: {},
    ret: { type: text() },
    run: domain => ({ type: domain.def.os.type })
  }),

  virDomainIsActive: method({
    since: '0.7.3',
    on: 'domain',
    acl: 'domain:read',
    args: {},
    ret: { active: int() },
    run: domain => ({ active: Number(domain.isActive) })
  }),

  virDomainIsPersistent: method({
    since: '0.7.3',
    on: 'domain',
    acl: 'domain:read',
    args: {},
    ret: { persistent: int() },
    run: domain => ({ persistent: Number(domain.isPersistent) })
  }),

  virDomainIsUpdated: method({
    since: '0.8.6',
    on: 'domain',
    acl: 'domain:read',
    args: {},
    ret: { updated: int() },
    run: () => ({ updated: 0 })
  }),

  /** The definition as XML. Passwords need VIR_DOMAIN_XML_SECURE, which read-only connections are refused. */
  virDomainGetXMLDesc: method({
    since: '0.0.1',
    on: 'domain',
    acl: 'domain:read',
    args: { flags: flags(virDomainXMLFlags) },
    ret: { xml: text() },
    run: (domain, { flags: bits }) => ({ xml: domain.textOnce(bits, () => xmlOf(domain, bits)) })
  }),

  /** Title, description, or the custom element of a namespace. */
  virDomainGetMetadata: method({
    since: '0.9.10',
    on: 'domain',
    acl: 'domain:read',
    impact: 'one',
    args: {
      type: oneOf(virDomainMetadataType, type => (type < 0 ? notPresent() : unknownType(type))),
      uri: optional(text()),
      flags: flagsIn({ function: 'virDomainObjGetMetadata', domain: 'VIR_FROM_DOMAIN' }, virDomainModificationImpact)
    },
    ret: { metadata: text() },
    run(_domain, { type, uri }, { def }) {
      if (type === VIR_DOMAIN_METADATA_TITLE || type === VIR_DOMAIN_METADATA_DESCRIPTION) {
        const found = type === VIR_DOMAIN_METADATA_TITLE ? def.title : def.description
        if (found === undefined) throw notPresent()
        return { metadata: found }
      }
      if (uri === undefined) throw fail('VIR_ERR_INVALID_ARG', 'uri must not be empty for metadata of type element')
      const metadata = getMetadata(def, uri)
      if (metadata === undefined) throw notPresent()
      return { metadata }
    }
  }),

  /** Sets or, with null, removes title, description or the custom element of a namespace. */
  virDomainSetMetadata: method({
    since: '0.9.10',
    on: 'domain',
    acl: 'domain:write',
    job: 'modify',
    impact: 'both',
    args: {
      type: metadataType,
      metadata: optional(text()),
      key: optional(text()),
      uri: optional(text()),
      flags: flags(virDomainModificationImpact)
    },
    ret: {},
    check({ type, metadata, key, uri }) {
      if (type === VIR_DOMAIN_METADATA_TITLE && metadata?.includes('\n')) {
        throw badArgument("metadata title can't contain newlines")
      }
      const isElement = type !== VIR_DOMAIN_METADATA_TITLE && type !== VIR_DOMAIN_METADATA_DESCRIPTION
      if (isElement && uri === undefined) throw badArgument('uri in virDomainSetMetadata must not be NULL')
      if (isElement && metadata !== undefined && key === undefined)
        throw badArgument('key in virDomainSetMetadata must not be NULL')
    },
    run(domain, { type, metadata, key, uri }, meant) {
      domain.change(meant, def => {
        if (type === VIR_DOMAIN_METADATA_TITLE) return { ...def, title: metadata || undefined }
        if (type === VIR_DOMAIN_METADATA_DESCRIPTION) return { ...def, description: metadata || undefined }
        const changed = { ...def }
        setMetadata(changed, uri!, key ?? '', metadata)
        return changed
      })
      domain.events.emit('VIR_DOMAIN_EVENT_ID_METADATA_CHANGE', { type, nsuri: uri })
      return {}
    }
  }),

  virDomainGetAutostart: getsAutostart('0.2.1', 'autostart'),

  /** Sets that the aggregator starts the guest when the host boots: a link from autostart/ to the definition. */
  virDomainSetAutostart: setsAutostart('0.2.1', 'autostart'),

  virDomainGetAutostartOnce: getsAutostart('11.2.0', 'autostartOnce'),

  /** Sets that the aggregator starts the guest at the host's next boot, and at no other. */
  virDomainSetAutostartOnce: setsAutostart('11.2.0', 'autostartOnce'),

  /** Reasons that make this guest one that others cannot answer for, and its use of deprecated features. */
  virDomainGetMessages: method({
    since: '7.1.0',
    on: 'domain',
    acl: 'domain:read',
    args: { flags: flags(virDomainMessageType) },
    ret: { msgs: array(text(), 2048) },
    run: (domain, { flags: bits }) => ({ msgs: messagesOf(domain, bits) })
  })
}
