// <qemu:capabilities>: capabilities of QEMU that the user adds or takes away.
import type { DomainDef } from '../../../conf/domain-def.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { OTHER_CAPABILITIES } from '../capabilities/names.ts'
import { CAPABILITY_SIGNS, type Capability } from '../capabilities/signs.ts'
import type { QemuContext } from '../context.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** A capability that another brings with it, even if the user takes it away (virQEMUCapsInitProcessCapsInterlock). */
const BROUGHT_BY: { [K in Capability]?: Capability } = { 'compat-deprecated': 'object.qapified' }

/**
 * The surroundings with the user's capabilities (qemuProcessStartUpdateCustomCaps).
 * @throws VIR_ERR_INTERNAL_ERROR for a name that is none
 */
export function withCustomCapabilities({ qemuNamespace }: DomainDef, context: QemuContext): QemuContext {
  const { capsAdd = [], capsDel = [] } = qemuNamespace ?? {}
  if (capsAdd.length + capsDel.length === 0) return context
  for (const name of [...capsAdd, ...capsDel]) {
    if (!Object.hasOwn(CAPABILITY_SIGNS, name) && !OTHER_CAPABILITIES.has(name))
      throw fail('VIR_ERR_INTERNAL_ERROR', `invalid qemu namespace capability '${name}'`)
  }
  const added = new Set<string>(capsAdd)
  const removed = new Set<string>(capsDel)
  const { qemu } = context
  const has = (name: Capability) => {
    const by = BROUGHT_BY[name]
    const isRemoved = removed.has(name) && (by === undefined || removed.has(by))
    return !isRemoved && (added.has(name) || qemu.has(name))
  }
  return { ...context, qemu: { ...qemu, has } }
}
