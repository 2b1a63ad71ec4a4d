// <resource>: the guest's partition on the host, and its registration with the host's services.
import type { DomainDef } from '../domain-def.ts'
import { absentIf, attr, child, childAttr, childText, custom, type Fields } from '../element.ts'
import { errorsFrom } from '../error.ts'
import { enumOf, string } from '../scalar.ts'
import { childElements, firstChild } from '../xml.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

const APPID_LENGTH_MAX = 128

const table = child('resource', {
  /** virshim's own: none stays in the caller's cgroup; direct is an alias of cgroup */
  register: attr('register', enumOf('none', 'cgroup', 'direct', 'machined', 'systemd')),
  partition: childText('partition', string),
  fibrechannelAppid: absentIf('', childAttr('fibrechannel', 'appid', string))
})

export const resourceFields = {
  resource: custom({
    ...table,
    parse(node, context) {
      if (childElements(node, 'resource').length > 1) {
        throw fail('VIR_ERR_XML_ERROR', 'only one resource element is supported')
      }
      const resource = table.parse(node, context) ?? {}
      if (!firstChild(node, 'resource')) return undefined
      // libvirt refuses it too, without a word
      if (!(resource.register ?? resource.partition ?? resource.fibrechannelAppid)) {
        throw fail('VIR_ERR_INTERNAL_ERROR', 'element resource says nothing')
      }
      return resource
    }
  })
} satisfies Fields

/** virDomainDefResourceValidate. @throws VIR_ERR_XML_ERROR, VIR_ERR_INVALID_ARG */
export function validateResource({ resource }: DomainDef): void {
  const appid = resource?.fibrechannelAppid
  if (appid === undefined) return
  if (!/^[\x20-\x7e]*$/.test(appid)) {
    throw fail('VIR_ERR_XML_ERROR', "Fibre Channel 'appid' is not a printable string")
  }
  if (appid.length < 1 || appid.length > APPID_LENGTH_MAX) {
    throw fail('VIR_ERR_INVALID_ARG', `Fibre Channel 'appid' string length must be between [1, ${APPID_LENGTH_MAX}]`)
  }
}
