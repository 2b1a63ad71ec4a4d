// <vcpu>, <vcpus>, <iothreads>, <iothreadids>.
import { attr, childText, custom, type Fields, required, wrapped } from '../element.ts'
import { errorsFrom } from '../error.ts'
import { enumOf, string, uint, yesNo } from '../scalar.ts'
import { element, firstChild, textOf } from '../xml.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

/** libvirt's VIR_DOMAIN_CPUMASK_LEN bounds the vCPU count. */
const VCPUS_MAX = 16384

export interface VcpuDef {
  max: number
  /** vCPUs at start, absent: all */
  current?: number
  placement: 'static' | 'auto'
  cpuset?: string
}

const attributes = {
  placement: attr('placement', enumOf('static', 'auto')),
  cpuset: attr('cpuset', string),
  current: attr('current', uint)
}

export const vcpuFields = {
  vcpu: custom<VcpuDef>({
    names: [['vcpu', attributes]],
    parse(node, context) {
      const found = firstChild(node, 'vcpu')
      if (!found) return { max: 1, placement: 'static' }
      const content = textOf(found).trim()
      const max = content === '' ? 1 : uint.parse(content)
      if (max === undefined) throw fail('VIR_ERR_XML_ERROR', 'maximum vcpus count must be an integer')
      const current = attributes.current.parse(found, context)
      const cpuset = attributes.cpuset.parse(found, context) || undefined
      const placement = attributes.placement.parse(found, context) ?? 'static'
      if (max > VCPUS_MAX) throw fail('VIR_ERR_XML_ERROR', `Maximum CPUs greater than allowed (${VCPUS_MAX})`)
      if (max === 0) throw fail('VIR_ERR_XML_ERROR', "Invalid value '0' for vcpu count")
      if (current !== undefined && current > max) {
        throw fail('VIR_ERR_INTERNAL_ERROR', `maxvcpus must not be less than current vcpus (${max} < ${current})`)
      }
      return {
        max,
        placement,
        ...(current !== undefined && current > 0 && current < max && { current }),
        ...(cpuset !== undefined && placement === 'static' && { cpuset })
      }
    },
    format({ max, current, placement, cpuset }, into) {
      into.children.push(element('vcpu', { placement, cpuset, current }, [String(max)]))
    }
  }),
  vcpus: wrapped('vcpus', 'vcpu', {
    id: required(attr('id', uint)),
    enabled: required(attr('enabled', yesNo)),
    hotpluggable: attr('hotpluggable', yesNo),
    order: attr('order', uint)
  }),
  iothreads: childText('iothreads', uint),
  iothreadids: wrapped('iothreadids', 'iothread', {
    id: required(attr('id', uint)),
    poolMin: attr('thread_pool_min', uint),
    poolMax: attr('thread_pool_max', uint)
  }),
  defaultiothread: custom<{ poolMin?: number; poolMax?: number } | undefined>({
    names: [['defaultiothread', { min: attr('thread_pool_min', uint), max: attr('thread_pool_max', uint) }]],
    parse(node, context) {
      const found = firstChild(node, 'defaultiothread')
      if (!found) return undefined
      const poolMin = attr('thread_pool_min', uint).parse(found, context)
      const poolMax = attr('thread_pool_max', uint).parse(found, context)
      return { ...(poolMin !== undefined && { poolMin }), ...(poolMax !== undefined && { poolMax }) }
    },
    format(value, into) {
      if (value)
        into.children.push(
          element('defaultiothread', { thread_pool_min: value.poolMin, thread_pool_max: value.poolMax })
        )
    }
  })
} satisfies Fields
