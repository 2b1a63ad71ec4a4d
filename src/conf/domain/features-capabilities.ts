// <capabilities>: Linux capabilities of container guests, read and kept (virDomainFeaturesCapabilitiesDefParse).
import { attr, custom, type Field } from '../element.ts'
import { errorsFrom } from '../error.ts'
import { enumOf, onOff } from '../scalar.ts'
import { childElements, element, firstChild } from '../xml.ts'
import { state } from './features-state.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

const LINUX_CAPABILITIES = [
  'audit_control',
  'audit_write',
  'block_suspend',
  'chown',
  'dac_override',
  'dac_read_search',
  'fowner',
  'fsetid',
  'ipc_lock',
  'ipc_owner',
  'kill',
  'lease',
  'linux_immutable',
  'mac_admin',
  'mac_override',
  'mknod',
  'net_admin',
  'net_bind_service',
  'net_broadcast',
  'net_raw',
  'setgid',
  'setfcap',
  'setpcap',
  'setuid',
  'sys_admin',
  'sys_boot',
  'sys_chroot',
  'sys_module',
  'sys_nice',
  'sys_pacct',
  'sys_ptrace',
  'sys_rawio',
  'sys_resource',
  'sys_time',
  'sys_tty_config',
  'syslog',
  'wake_alarm'
] as const
type LinuxCapability = (typeof LINUX_CAPABILITIES)[number]

const policyAttribute = attr('policy', enumOf('default', 'allow', 'deny'))

interface CapabilitiesDef {
  policy: 'default' | 'allow' | 'deny'
  states: Partial<Record<LinuxCapability, boolean>>
}

const isKnown = (name: string): name is LinuxCapability => (LINUX_CAPABILITIES as readonly string[]).includes(name)

export const capabilitiesFeature: Field<CapabilitiesDef | undefined> = custom({
  names: [
    [
      'capabilities',
      { policy: policyAttribute, ...Object.fromEntries(LINUX_CAPABILITIES.map(name => [name, state(name)])) }
    ]
  ],
  parse(node, context) {
    const found = firstChild(node, 'capabilities')
    if (!found) return undefined
    const policy = policyAttribute.parse(found, context) ?? 'default'
    const states: CapabilitiesDef['states'] = {}
    for (const { name, ...rest } of childElements(found)) {
      if (!isKnown(name)) throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `unexpected capability feature '${name}'`)
      states[name] = attr('state', onOff).parse({ name, ...rest }, context) ?? true
    }
    return policy === 'default' && Object.keys(states).length === 0 ? undefined : { policy, states }
  },
  format(value, into) {
    if (!value) return
    const known = LINUX_CAPABILITIES.filter(name => value.states[name] !== undefined)
    const kids = known.map(name => element(name, { state: onOff.format(value.states[name]!) }))
    into.children.push(element('capabilities', { policy: value.policy }, kids))
  }
})
