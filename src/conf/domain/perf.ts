// <perf>: performance counters of the guest that the host keeps (virDomainPerfDefParseXML).
import { attr, children, custom, type Fields, required } from '../element.ts'
import { errorsFrom } from '../error.ts'
import { enumOf, yesNo } from '../scalar.ts'
import { element, gathered } from '../xml.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

const eventName = enumOf(
  'cmt',
  'mbmt',
  'mbml',
  'cpu_cycles',
  'instructions',
  'cache_references',
  'cache_misses',
  'branch_instructions',
  'branch_misses',
  'bus_cycles',
  'stalled_cycles_frontend',
  'stalled_cycles_backend',
  'ref_cpu_cycles',
  'cpu_clock',
  'task_clock',
  'page_faults',
  'context_switches',
  'cpu_migrations',
  'page_faults_min',
  'page_faults_maj',
  'alignment_faults',
  'emulation_faults'
)
export type PerfEvent = (typeof eventName.values)[number]
/** In libvirt's order (virPerfEventType). */
export const PERF_EVENTS = eventName.values

const events = children('event', {
  name: required(attr('name', eventName)),
  enabled: required(attr('enabled', yesNo))
})

export const perfFields = {
  perf: custom<Partial<Record<PerfEvent, boolean>> | undefined>({
    names: [['perf', { events }]],
    parse(node, context) {
      const found = gathered(node, 'perf')
      if (!found) return undefined
      const out: Partial<Record<PerfEvent, boolean>> = {}
      for (const { name, enabled } of events.parse(found, context)) {
        if (out[name] !== undefined) throw fail('VIR_ERR_XML_ERROR', `perf event '${name}' was already specified`)
        out[name] = enabled
      }
      return Object.keys(out).length > 0 ? out : undefined
    },
    format(value, into, context) {
      if (!value) return
      const node = element('perf')
      const known = eventName.values.filter(name => value[name] !== undefined)
      events.format(
        known.map(name => ({ name, enabled: value[name]! })),
        node,
        context
      )
      into.children.push(node)
    }
  })
} satisfies Fields
