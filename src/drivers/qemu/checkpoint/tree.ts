// The checkpoints of a guest, as their files tell of them. None says that it is the current one: it is the only leaf.

import type { DomainDef } from '../../../conf/domain-def.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { type CheckpointDef, formatCheckpoint, parseCheckpoint } from '../../../conf/moment/checkpoint.ts'
import type { MomentForm, MomentTree } from '../../../state/moments.ts'
import { completeDomain } from '../definition/passes.ts'
import type { QemuDomain } from '../domain/domain.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** Options of checkpoints that are read again: the domain in them is completed as one that is kept. */
export const redefined = ({ definitions }: QemuDomain) => ({
  redefine: true,
  complete: (def: DomainDef) => completeDomain(def, definitions.context, { isNew: false })
})

const formOf = (domain: QemuDomain): MomentForm<CheckpointDef> => ({
  parse: text => ({ def: parseCheckpoint(text, redefined(domain)) }),
  format: def => formatCheckpoint(def, { secure: true }),
  currentIsLeaf: true,
  refused: (file, error) => domain.log.warn({ file, err: error }, 'a checkpoint cannot be read')
})

/** The guest's checkpoints, read from their files when they are first asked for. */
export const checkpointsOf = (domain: QemuDomain): MomentTree<CheckpointDef> =>
  domain.moments.checkpoints.read(formOf(domain))

/** @throws VIR_ERR_NO_DOMAIN_CHECKPOINT (qemuCheckpointObjFromName) */
export function findCheckpoint(domain: QemuDomain, name: string): CheckpointDef {
  const found = checkpointsOf(domain).get(name)
  if (found) return found
  throw fail('VIR_ERR_NO_DOMAIN_CHECKPOINT', `no domain checkpoint with matching name '${name}'`)
}
