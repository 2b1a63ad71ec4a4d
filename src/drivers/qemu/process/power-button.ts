// A guest that is asked to power down or to reboot: by its agent, or by the ACPI power button.
import { virDomainRebootFlagValues, virDomainShutdownFlagValues, virDomainState } from '../../../conf/enums.ts'
import { errorsFrom } from '../../../conf/error.ts'
import type { JobOwner } from '../../../state/job.ts'
import { availableAgent } from '../agent/channel.ts'
import type { QemuDomain } from '../domain/domain.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

const { VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN, VIR_DOMAIN_SHUTDOWN_GUEST_AGENT } = virDomainShutdownFlagValues
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
  // A guest that obeys at once closes the channel instead of answering.
  await agent.execute('guest-shutdown', { mode: reboot ? 'reboot' : 'powerdown' }).catch(error => {
    if (domain.isActive && domain.agent?.connected) throw error
  })
}
