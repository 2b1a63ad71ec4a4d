// CPU time of a guest: its weight among the host's groups, and what it, its vCPUs, the emulator and the IOThreads may
// take of each period.
import type { CputuneDef } from '../../../conf/domain/cputune.ts'
import type { DomainDef } from '../../../conf/domain-def.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { type TypedParams, type TypedValue, typed } from '../../../conf/wire.ts'
import {
  type Bandwidth,
  bandwidth,
  cpuShares,
  type Group,
  groupWith,
  PERIOD_RANGE,
  QUOTA_RANGE,
  unlimitedBandwidth
} from '../../../host/cgroup.ts'
import type { Meant } from '../../method.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { divideThreads, type GuestThread, threadGroup, vcpusOf } from '../process/tuning/threads.ts'
import { NO_CPUTUNE } from './pin.ts'
import { inSteps, type Step } from './steps.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

type Key =
  | 'shares'
  | 'period'
  | 'quota'
  | 'globalPeriod'
  | 'globalQuota'
  | `${'emulator' | 'iothread'}${'Period' | 'Quota'}`

/** Whose time a pair of parameters limits. */
type Owner = 'vcpu' | 'emulator' | 'global' | 'iothread'

/** A parameter of time, under the names of the API, of the definition and of the event. */
interface Parameter {
  key: Key & keyof CputuneDef
  type: 'ullong' | 'llong'
  of?: { owner: Owner; what: keyof Bandwidth }
}

/** In the order they are told in. */
const PARAMETERS: Readonly<Record<string, Parameter>> = {
  cpu_shares: { key: 'shares', type: 'ullong' },
  vcpu_period: { key: 'period', type: 'ullong', of: { owner: 'vcpu', what: 'period' } },
  vcpu_quota: { key: 'quota', type: 'llong', of: { owner: 'vcpu', what: 'quota' } },
  emulator_period: { key: 'emulatorPeriod', type: 'ullong', of: { owner: 'emulator', what: 'period' } },
  emulator_quota: { key: 'emulatorQuota', type: 'llong', of: { owner: 'emulator', what: 'quota' } },
  global_period: { key: 'globalPeriod', type: 'ullong', of: { owner: 'global', what: 'period' } },
  global_quota: { key: 'globalQuota', type: 'llong', of: { owner: 'global', what: 'quota' } },
  iothread_period: { key: 'iothreadPeriod', type: 'ullong', of: { owner: 'iothread', what: 'period' } },
  iothread_quota: { key: 'iothreadQuota', type: 'llong', of: { owner: 'iothread', what: 'quota' } }
}
const RANGE = { period: PERIOD_RANGE, quota: QUOTA_RANGE }

/** Values by the API's names. */
export type SchedulerValues = Partial<Record<string, bigint>>

/** The group that divides the guest's CPU time from others'. @throws VIR_ERR_OPERATION_INVALID */
function cpuGroup({ running }: QemuDomain): Group {
  const group = groupWith(running.cgroups, 'cpu')
  if (!group) throw fail('VIR_ERR_OPERATION_INVALID', 'cgroup CPU controller is not mounted')
  return group
}

/** How many parameters there are (qemuDomainGetSchedulerType). @throws VIR_ERR_OPERATION_INVALID */
export const schedulerParameterCount = (domain: QemuDomain): number =>
  !domain.isActive || bandwidth.isThere(cpuGroup(domain)) ? Object.keys(PARAMETERS).length : 1

/** The parameters of a definition; of the running guest as the kernel has them. @throws VIR_ERR_OPERATION_INVALID */
export async function schedulerParameters(domain: QemuDomain, { live, config }: Meant): Promise<TypedParams> {
  const value = live ? await liveValues(domain, live) : (name: string) => config?.cputune?.[PARAMETERS[name]!.key] ?? 0n
  const out: TypedParams = {}
  for (const [name, { type }] of Object.entries(PARAMETERS)) {
    const known = value(name)
    if (known !== undefined) out[name] = typed[type](known)
  }
  return out
}

async function liveValues(domain: QemuDomain, def: DomainDef): Promise<(name: string) => bigint | undefined> {
  const group = cpuGroup(domain)
  const shares = await cpuShares.get(group)
  if (!bandwidth.isThere(group)) return name => (name === 'cpu_shares' ? shares : undefined)
  const ofThread = async (kind: GuestThread['kind'], id: number) => {
    const own = threadGroup(domain, { kind, id }, 'cpu')
    return own ? await bandwidth.get(own) : unlimitedBandwidth(group)
  }
  const iothread = def.iothreads[0]?.id
  const global = await bandwidth.get(group)
  const times: Record<Owner, Bandwidth> = {
    global,
    vcpu: await ofThread('vcpu', 0),
    emulator: await ofThread('emulator', 0),
    // a guest without any has the whole's (qemuGetIOThreadsBWLive)
    iothread: iothread === undefined ? global : await ofThread('iothread', iothread)
  }
  return name => {
    const { of } = PARAMETERS[name]!
    return of ? times[of.owner][of.what] : shares
  }
}

/**
 * Sets parameters, all or none (qemuDomainSetSchedulerParametersFlags). A zero leaves the time of a running guest as it
 * is.
 * @throws VIR_ERR_INVALID_ARG out of range, VIR_ERR_OPERATION_INVALID without the controller, VIR_ERR_SYSTEM_ERROR
 */
export async function setSchedulerParameters(domain: QemuDomain, given: SchedulerValues, meant: Meant): Promise<void> {
  const { live } = meant
  const group = live && cpuGroup(domain)
  const params = Object.entries(given) as [string, bigint][]
  const told: Record<string, TypedValue> = {}
  await inSteps(async step => {
    for (const [name, value] of params) {
      const { of, type } = PARAMETERS[name]!
      if (of) checkRange(name, value, RANGE[of.what])
      if (!group || (of && value === 0n)) continue
      if (of) await setTime(domain, group, of, value, step)
      else await setShares(group, value, step)
      told[`cputune.${name}`] = typed[type](value)
    }
    domain.change(meant, def => {
      const isLive = def === live
      const changed = params.filter(([name, value]) => !isLive || value !== 0n || !PARAMETERS[name]!.of)
      const values = changed.map(([name, value]) => [
        PARAMETERS[name]!.key,
        value === 0n && PARAMETERS[name]!.of ? undefined : value
      ])
      return { ...def, cputune: { ...NO_CPUTUNE, ...def.cputune, ...Object.fromEntries(values) } }
    })
  })
  if (Object.keys(told).length > 0) domain.events.emit('VIR_DOMAIN_EVENT_ID_TUNABLE', { params: told })
}

function checkRange(name: string, value: bigint, [min, max]: readonly [bigint, bigint]): void {
  if ((value > 0n && value < min) || value > max) {
    throw fail('VIR_ERR_INVALID_ARG', `value of '${name}' is out of range [${min}, ${max}]`)
  }
}

async function setShares(group: Group, shares: bigint, step: Step): Promise<void> {
  const before = await cpuShares.get(group)
  await step(
    () => cpuShares.set(group, shares),
    () => cpuShares.set(group, before)
  )
}

/** Sets a period or quota for all groups it is about. */
async function setTime(
  domain: QemuDomain,
  group: Group,
  { owner, what }: { owner: Owner; what: keyof Bandwidth },
  value: bigint,
  step: Step
): Promise<void> {
  for (const one of await groupsOf(domain, group, owner)) {
    const before = await bandwidth.get(one)
    await step(
      () => bandwidth.set(one, { period: 0n, quota: 0n, [what]: value }),
      () => bandwidth.set(one, { period: 0n, quota: 0n, [what]: before[what] })
    )
  }
}

async function groupsOf(domain: QemuDomain, group: Group, owner: Owner): Promise<Group[]> {
  if (owner === 'global') return [group]
  await divideThreads(domain)
  const threads: Pick<GuestThread, 'kind' | 'id'>[] =
    owner === 'vcpu'
      ? vcpusOf(domain)
      : owner === 'emulator'
        ? [{ kind: 'emulator', id: 0 }]
        : domain.def.iothreads.map(({ id }) => ({ kind: 'iothread', id }))
  return threads.flatMap(thread => threadGroup(domain, thread, 'cpu') ?? [])
}
