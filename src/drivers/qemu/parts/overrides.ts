// Properties the user sets himself (<qemu:override>).
import { overrideValue } from '../../../conf/domain/qemu-namespace.ts'
import type { DomainDef } from '../../../conf/domain-def.ts'
import type { Props } from './props.ts'

/** A -device's properties with what the user sets or removes for its alias. */
export function withOverrides<P extends Props>(def: DomainDef, props: P): P {
  const overrides = def.qemuNamespace?.overrides.filter(({ alias }) => alias === props.id) ?? []
  if (overrides.length === 0) return props
  const out: Props = { ...props }
  for (const override of overrides.flatMap(({ properties }) => properties)) {
    delete out[override.name]
    const value = overrideValue(override)
    if (value !== undefined) out[override.name] = value
  }
  return out as P
}
