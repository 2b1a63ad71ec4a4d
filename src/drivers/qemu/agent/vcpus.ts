// The guest's own view of its CPUs: which are there, and whether they are at work.
import { type Bitmap, bitsOf, formatBitmap } from '../../../conf/bitmap.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { entriesOf, flagIn, intIn, malformed, uintIn } from './answer.ts'
import type { Agent } from './channel.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** QEMU_GUEST_VCPU_MAX_ID: the numbers of a guest's CPUs are below this. */
export const GUEST_VCPU_MAX_ID = 4096

export interface GuestVcpu {
  id: number
  online: boolean
  /** the guest can do without it */
  offlinable: boolean
}

/** The guest's CPUs. @throws VIR_ERR_INTERNAL_ERROR for another form, and as Agent.execute (qemuAgentGetVCPUs) */
export async function guestVcpus(agent: Agent): Promise<GuestVcpu[]> {
  const list = await agent.execute('guest-get-vcpus')
  return entriesOf(list, 'guest-get-vcpus reply was missing return data').map(entry => {
    const id = uintIn(entry, 'logical-id')
    if (id === undefined) throw malformed("'logical-id' missing in reply of guest-get-vcpus")
    const online = flagIn(entry, 'online')
    if (online === undefined) throw malformed("'online' missing in reply of guest-get-vcpus")
    return { id, online, offlinable: flagIn(entry, 'can-offline') ?? false }
  })
}

/**
 * The set of those that `which` takes, as text.
 * @throws VIR_ERR_INTERNAL_ERROR for numbers no guest has (qemuDomainGetGuestVcpusParams)
 */
export function vcpuSet(vcpus: readonly GuestVcpu[], which: (vcpu: GuestVcpu) => boolean = () => true): string {
  const beyond = vcpus.find(({ id }) => id >= GUEST_VCPU_MAX_ID)
  if (beyond) throw malformed(`vcpu id '${beyond.id}' reported by guest agent is out of range`)
  return formatBitmap(vcpus.filter(which).reduce((set, { id }) => set | (1n << BigInt(id)), 0n))
}

/**
 * Brings CPUs to the state they are to have. An agent may have done a part of it: the rest is asked for again.
 * @throws VIR_ERR_INTERNAL_ERROR for an agent that gets no further, and as Agent.execute (qemuAgentSetVCPUs)
 */
export async function setGuestVcpus(agent: Agent, changed: readonly GuestVcpu[]): Promise<void> {
  for (let left = changed; left.length > 0; ) {
    const vcpus = left.map(({ id, online }) => ({ 'logical-id': id, online }))
    const done = intIn({ done: await agent.execute('guest-set-vcpus', { vcpus }) }, 'done')
    if (done === undefined || done <= 0 || done > left.length) {
      throw malformed('guest agent returned malformed or invalid return value')
    }
    left = left.slice(done)
  }
}

/**
 * The CPUs of a set, each with the state it is to have.
 * @throws VIR_ERR_OPERATION_UNSUPPORTED for one that must stay, VIR_ERR_INVALID_ARG for those the guest lacks
 *   (qemuDomainSetGuestVcpus)
 */
export function vcpusOf(set: Bitmap, vcpus: readonly GuestVcpu[], online: boolean): GuestVcpu[] {
  const wanted = new Set(bitsOf(set))
  // each once, however often the guest tells of it
  const chosen = vcpus.filter(({ id }) => wanted.delete(id))
  const fixed = chosen.find(({ offlinable }) => !online && !offlinable)
  if (fixed) throw fail('VIR_ERR_OPERATION_UNSUPPORTED', `vCPU '${fixed.id}' is not offlinable`)
  if (wanted.size > 0) {
    const missing = [...wanted].reduce((left, id) => left | (1n << BigInt(id)), 0n)
    throw fail('VIR_ERR_INVALID_ARG', `guest is missing vCPUs '${formatBitmap(missing)}'`)
  }
  return chosen.map(vcpu => ({ ...vcpu, online }))
}

/**
 * The changes that leave so many CPUs at work; the first of all stays where others can go.
 * @throws VIR_ERR_INTERNAL_ERROR for fewer than are wanted, VIR_ERR_INVALID_ARG where too many must stay
 *   (qemuAgentUpdateCPUInfo)
 */
export function vcpusForCount(vcpus: readonly GuestVcpu[], count: number): GuestVcpu[] {
  if (vcpus.some(({ online, offlinable }) => !online && !offlinable)) {
    throw malformed('Invalid data provided by guest agent')
  }
  const online = vcpus.filter(vcpu => vcpu.online)
  const canGo = online.filter(({ offlinable }) => offlinable)
  const free = canGo.length === online.length ? canGo.filter(({ id }) => id !== 0) : canGo
  if (count > vcpus.length) throw malformed('guest agent reports less cpu than requested')
  if (count < online.length - free.length) throw fail('VIR_ERR_INVALID_ARG', 'Cannot offline enough CPUs')
  const changed =
    count < online.length
      ? free.slice(0, online.length - count)
      : vcpus.filter(vcpu => !vcpu.online).slice(0, count - online.length)
  return changed.map(vcpu => ({ ...vcpu, online: !vcpu.online }))
}
