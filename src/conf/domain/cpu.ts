// <cpu>: the CPU the guest sees, its topology and NUMA cells.
import { attr, childAlways, children, childText, custom, type Def, type Fields, required, text } from '../element.ts'
import { enumOf, onOff, string, uint } from '../scalar.ts'
import { firstChild } from '../xml.ts'
import { numaField } from './numa.ts'

const cpuTable = {
  mode: attr('mode', enumOf('custom', 'host-model', 'host-passthrough', 'maximum')),
  match: attr('match', enumOf('exact', 'minimum', 'strict')),
  check: attr('check', enumOf('none', 'partial', 'full')),
  migratable: attr('migratable', onOff),
  model: childAlways('model', {
    fallback: attr('fallback', enumOf('allow', 'forbid')),
    vendorId: attr('vendor_id', string),
    name: text(string)
  }),
  vendor: childText('vendor', string),
  topology: childAlways('topology', {
    sockets: required(attr('sockets', uint)),
    dies: attr('dies', uint),
    cores: required(attr('cores', uint)),
    threads: required(attr('threads', uint))
  }),
  cache: childAlways('cache', {
    level: attr('level', uint),
    mode: required(attr('mode', enumOf('emulate', 'passthrough', 'disable')))
  }),
  maxphysaddr: childAlways('maxphysaddr', {
    mode: required(attr('mode', enumOf('emulate', 'passthrough'))),
    bits: attr('bits', uint)
  }),
  features: children('feature', {
    policy: attr('policy', enumOf('force', 'require', 'optional', 'disable', 'forbid')),
    name: required(attr('name', string))
  }),
  numa: numaField
} satisfies Fields
export type CpuDef = Def<typeof cpuTable>

const cpuElement = childAlways('cpu', cpuTable)

export const cpuFields = {
  cpu: custom<CpuDef | undefined>({
    names: cpuElement.names,
    parse(node, context) {
      if (!firstChild(node, 'cpu')) return undefined
      const cpu = cpuElement.parse(node, context)!
      if (cpu.mode === undefined && cpu.model !== undefined) cpu.mode = 'custom'
      if (cpu.mode === 'custom' || cpu.model !== undefined) cpu.match ??= 'exact'
      if (cpu.model && cpu.mode === 'custom') cpu.model.fallback ??= 'allow'
      if (cpu.mode === 'custom' && cpu.model) cpu.check ??= 'partial'
      if (cpu.mode === 'host-passthrough' || cpu.mode === 'maximum') {
        cpu.check ??= 'none'
        cpu.migratable ??= true
      }
      if (cpu.mode === 'host-model') cpu.check ??= 'partial'
      if (cpu.topology) cpu.topology.dies ??= 1
      for (const feature of cpu.features) feature.policy ??= 'require'
      return cpu
    },
    format: (value, into, context) => cpuElement.format(value, into, context)
  })
} satisfies Fields
