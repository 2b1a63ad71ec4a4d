// A guest that is asked to power down, to reboot or to sleep: by its agent, or by the ACPI power button.
import {
  virDomainRebootFlagValues,
  virDomainShutdownFlagValues,
  virDomainState,
  virNodeSuspendTarget
} from '../../../conf/enums.ts'
import { errorsFrom } from '../../../conf/error.ts'
import type { JobOwner } from '../../../state/job.ts'
import { availableAgent } from '../agent/channel.ts'
import type { QemuDomain } from '../domain/domain.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

const { VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN, VIR_DOMAIN_SHUTDOWN_GUEST_AGENT } = virDomainShutdownFlagValues
/** VIR_DOMAIN_QEMU_AGENT_COMMAND_SHUTDOWN, seconds. */
const SHUTDOWN_TIMEOUT = 60

const { VIR_DOMAIN_REBOOT_ACPI_POWER_BTN, VIR_DOMAIN_REBOOT_GUEST_AGENT } = virDomainRebootFlagValues

interface Wanted {
  /** it is to come up again */
  reboot: boolean
  agent: boolean
  acpi: boolean
  /** a guest that went away while its agent was asked has done as it was told */
  goneIsDone: boolean
  /** @throws VIR_ERR_OPERATION_INVALID for a guest whose power button does nothing */
  check(): void
}

/** Source: qemuDomainShutdownFlags, 9.0.0. A guest whose on_poweroff starts it again is rebooted instead. */
export async function shutdownGuest(domain: QemuDomain, bits: number, owner: JobOwner): Promise<void> {
  await domain.startDone
  const wanted: Wanted = {
    reboot: /^(restart|rename-restart)$/.test(domain.def.onPoweroff ?? ''),
    agent: (bits & VIR_DOMAIN_SHUTDOWN_GUEST_AGENT) !== 0,
    acpi: (bits & VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN) !== 0,
    goneIsDone: true,
    check() {
      if (!domain.isRunning) throw fail('VIR_ERR_OPERATION_INVALID', 'domain is not running')
    }
  }
  return askGuest(domain, wanted, owner)
}

/** Source: qemuDomainReboot, 9.0.0. A guest whose on_reboot ends it is powered down instead. */
export async function rebootGuest(domain: QemuDomain, bits: number, owner: JobOwner): Promise<void> {
  await domain.startDone
  const wanted: Wanted = {
    reboot: !/^(destroy|preserve)$/.test(domain.def.onReboot ?? ''),
    agent: (bits & VIR_DOMAIN_REBOOT_GUEST_AGENT) !== 0,
    acpi: (bits & VIR_DOMAIN_REBOOT_ACPI_POWER_BTN) !== 0,
    goneIsDone: false,
    check: () => domain.checkActive()
  }
  return askGuest(domain, wanted, owner)
}

/**
 * Asks the guest by the agent if asked or, with no flags, if there is one; by the power button if asked or when the
 * agent was no more than a guess and failed. An agent that does not answer holds no job but the agent's.
 */
async function askGuest(domain: QemuDomain, wanted: Wanted, owner: JobOwner): Promise<void> {
  const { agent, acpi, reboot, goneIsDone, check } = wanted
  const anyWay = !agent && !acpi
  const wasThere = domain.isActive && !isShuttingDown(domain)
  /** it shuts down, or QEMU is gone, while we were waiting for an answer */
  const hasObeyed = () =>
    goneIsDone && wasThere && (isShuttingDown(domain) || !domain.isActive || domain.monitor?.closed === true)
  let wasAsked = false
  if (agent || (anyWay && domain.agent?.connected)) {
    try {
      return await domain.jobs.run({ agent: 'modify' }, owner, () => askAgent(domain, reboot))
    } catch (error) {
      if (hasObeyed()) return
      if (!anyWay && !acpi) throw error
      if (goneIsDone && !domain.isActive) return
      wasAsked = true
      domain.log.info({ err: error }, 'the agent did not do it, pressing the power button')
    }
  }
  await domain.jobs.run('modify', owner, async () => {
    if (wasAsked && hasObeyed()) return
    check()
    domain.setFakeReboot(reboot)
    await domain.qmp.execute('system_powerdown').catch(error => {
      // its agent's channel closed before the monitor told why
      if (!wasAsked || !hasObeyed()) throw error
    })
  })
}

const isShuttingDown = ({ state }: QemuDomain) => state === virDomainState.VIR_DOMAIN_SHUTDOWN

async function askAgent(domain: QemuDomain, reboot: boolean): Promise<void> {
  const agent = availableAgent(domain)
  domain.setFakeReboot(false)
  const mode = reboot ? 'reboot' : 'powerdown'
  await agent.execute('guest-shutdown', { mode }, { seconds: SHUTDOWN_TIMEOUT, until: reboot ? 'RESET' : 'SHUTDOWN' })
}

const SUSPEND_COMMANDS: Readonly<Record<number, string>> = {
  [virNodeSuspendTarget.VIR_NODE_SUSPEND_TARGET_MEM]: 'guest-suspend-ram',
  [virNodeSuspendTarget.VIR_NODE_SUSPEND_TARGET_DISK]: 'guest-suspend-disk',
  [virNodeSuspendTarget.VIR_NODE_SUSPEND_TARGET_HYBRID]: 'guest-suspend-hybrid'
}

/**
 * Has the guest put itself to sleep, where it can be woken again.
 * @param target virNodeSuspendTarget
 * @throws VIR_ERR_OPERATION_UNSUPPORTED where the machine cannot, VIR_ERR_INTERNAL_ERROR where the definition forbids it,
 *   and as availableAgent and Agent.execute (qemuDomainPMSuspendForDuration)
 */
export async function suspendGuest(domain: QemuDomain, target: number, owner: JobOwner): Promise<void> {
  availableAgent(domain)
  const machine = await domain.jobs.run('query', owner, () =>
    domain.qmp.execute<{ 'wakeup-suspend-support'?: boolean } | null>('query-current-machine')
  )
  const canWake = machine?.['wakeup-suspend-support']
  if (typeof canWake !== 'boolean') throw fail('VIR_ERR_INTERNAL_ERROR', 'malformed qemu-current-machine reply')
  if (!canWake) throw fail('VIR_ERR_OPERATION_UNSUPPORTED', 'Domain does not have suspend support')
  const isToDisk = target === virNodeSuspendTarget.VIR_NODE_SUSPEND_TARGET_DISK
  const { suspendToMem, suspendToDisk } = domain.def.pm ?? {}
  if ((isToDisk ? suspendToDisk : suspendToMem) === false) {
    throw fail('VIR_ERR_INTERNAL_ERROR', `${isToDisk ? 'S4' : 'S3'} state is disabled for this domain`)
  }
  await domain.jobs.run({ agent: 'modify' }, owner, async () => {
    domain.checkActive()
    await availableAgent(domain).execute(SUSPEND_COMMANDS[target]!, undefined, { until: 'SUSPEND' })
  })
}
