// Nodes of the host that a guest's memory comes from.
import { type Bitmap, bitsOf, formatBitmap, parseBitmap } from '../../../conf/bitmap.ts'
import { NUMATUNE_MODES, type NumatuneDef } from '../../../conf/domain/numatune.ts'
import type { DomainDef } from '../../../conf/domain-def.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { type TypedParams, typed } from '../../../conf/wire.ts'
import { cpuset, groupWith } from '../../../host/cgroup.ts'
import { hostCells } from '../../../host/topology.ts'
import type { Meant } from '../../method.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { divideThreads, emulatorOf, iothreadsOf, threadGroup, vcpusOf } from '../process/tuning/threads.ts'
import { inSteps, type Step } from './steps.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const failDomain = errorsFrom('VIR_FROM_DOMAIN')
const failNone = errorsFrom('VIR_FROM_NONE')

export interface NumaValues {
  /** virDomainNumatuneMemMode */
  numa_mode?: number
  /** as a list */
  numa_nodeset?: string
}

/** Mode and nodes of a definition (qemuDomainGetNumaParameters). */
export const numaParameters = ({ numatune }: DomainDef): TypedParams => ({
  numa_mode: typed.int(NUMATUNE_MODES.indexOf(numatune?.memory?.mode ?? 'strict')),
  numa_nodeset: typed.string(numatune?.memory?.nodeset ?? '')
})

/**
 * Sets mode and nodes (qemuDomainSetNumaParameters). A running guest's can only be changed where the kernel alone binds
 * it, which is what restrictive means.
 * @throws VIR_ERR_OPERATION_INVALID, VIR_ERR_CONFIG_UNSUPPORTED, VIR_ERR_SYSTEM_ERROR
 */
export async function setNumaParameters(domain: QemuDomain, given: NumaValues, meant: Meant): Promise<void> {
  const { numa_mode: number, numa_nodeset: list } = given
  const nodes = list === undefined ? undefined : parseBitmap(list)
  const mode = number === undefined ? undefined : NUMATUNE_MODES[number]
  const { live } = meant
  await inSteps(async step => {
    let isSame = false
    if (live) {
      checkLive(domain, live, mode)
      isSame = mode === 'strict'
      if (isSame && nodes !== nodesOf(live))
        throw fail('VIR_ERR_OPERATION_INVALID', "can't change nodeset for strict mode for running domain")
      if (!isSame && nodes !== undefined) await moveMemory(domain, live, nodes, step)
    }
    domain.change(meant, def => (def === live && isSame ? def : { ...def, numatune: changed(def, mode, nodes) }))
  })
}

const nodesOf = ({ numatune }: DomainDef): Bitmap | undefined =>
  numatune?.memory?.nodeset === undefined ? undefined : parseBitmap(numatune.memory.nodeset)

type Mode = (typeof NUMATUNE_MODES)[number]

function checkLive({ running }: QemuDomain, { numatune }: DomainDef, mode: Mode | undefined): void {
  if (!groupWith(running.cgroups, 'cpuset'))
    throw fail('VIR_ERR_OPERATION_INVALID', 'cgroup cpuset controller is not mounted')
  if (mode !== undefined && numatune?.memory && numatune.memory.mode !== mode)
    throw fail('VIR_ERR_OPERATION_INVALID', "can't change numatune mode for running domain")
}

/** qemuDomainSetNumaParamsLive */
async function moveMemory(domain: QemuDomain, { numatune }: DomainDef, nodes: Bitmap, step: Step): Promise<void> {
  if (numatune?.memory && numatune.memory.mode !== 'restrictive') {
    const what = 'change of nodeset for running domain requires restrictive numa mode'
    throw fail('VIR_ERR_OPERATION_INVALID', what)
  }
  const cells = hostCells()
  const missing = bitsOf(nodes).find(node => !cells.includes(node))
  if (missing !== undefined) throw failNone('VIR_ERR_CONFIG_UNSUPPORTED', `NUMA node ${missing} is unavailable`)
  await divideThreads(domain)
  for (const thread of [emulatorOf(domain), ...vcpusOf(domain), ...(await iothreadsOf(domain))]) {
    const group = threadGroup(domain, thread, 'cpuset')
    if (!group) continue
    const before = await cpuset.getNodes(group)
    await step(
      () => cpuset.setNodes(group, formatBitmap(nodes)),
      () => cpuset.setNodes(group, before)
    )
  }
}

/** virDomainNumatuneSet. @throws VIR_ERR_CONFIG_UNSUPPORTED for a static placement without nodes */
function changed({ numatune, vcpu }: DomainDef, mode: Mode | undefined, nodes: Bitmap | undefined): NumatuneDef {
  const { memory, memnodes } = numatune ?? { memnodes: [] }
  const nodeset = nodes === undefined ? memory?.nodeset : formatBitmap(nodes)
  const isNew = memory === undefined && nodes === undefined
  const placement =
    nodes !== undefined || (isNew && vcpu.placement === 'static') ? 'static' : (memory?.placement ?? 'auto')
  if (placement === 'static' && nodeset === undefined) {
    const what = "nodeset for NUMA memory tuning must be set if 'placement' is 'static'"
    throw failDomain('VIR_ERR_CONFIG_UNSUPPORTED', what)
  }
  const kind = mode ?? memory?.mode ?? 'strict'
  return { memory: { mode: kind, placement, ...(placement === 'static' && { nodeset }) }, memnodes }
}
