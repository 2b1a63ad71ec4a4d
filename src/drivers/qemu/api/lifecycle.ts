// Create, suspend, resume, shutdown, reboot, reset, destroy, NMI.
import { existsSync, rmSync } from 'node:fs'
import {
  virDomainCreateFlags,
  virDomainDestroyFlagsValues,
  virDomainPausedReason,
  virDomainRebootFlagValues,
  virDomainRunningReason,
  virDomainShutdownFlagValues,
  virDomainShutoffReason,
  virDomainState
} from '../../../conf/enums.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { flags } from '../../../conf/wire.ts'
import { type CallOf, methodFor, noFlags } from '../../method.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { asksForTie } from '../process/auto-destroy.ts'
import { startCpus, stopCpus } from '../process/cpus.ts'
import { rebootGuest, shutdownGuest } from '../process/power-button.ts'
import { startDomain } from '../process/start.ts'
import { stopDomain } from '../process/stop.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const method = methodFor<QemuDomain>()

const { VIR_DOMAIN_CRASHED, VIR_DOMAIN_PAUSED, VIR_DOMAIN_PMSUSPENDED, VIR_DOMAIN_RUNNING, VIR_DOMAIN_SHUTDOWN } =
  virDomainState
const { VIR_DOMAIN_START_PAUSED, VIR_DOMAIN_START_AUTODESTROY, VIR_DOMAIN_START_BYPASS_CACHE } = virDomainCreateFlags
const { VIR_DOMAIN_START_FORCE_BOOT, VIR_DOMAIN_START_RESET_NVRAM } = virDomainCreateFlags
const { VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN, VIR_DOMAIN_SHUTDOWN_GUEST_AGENT } = virDomainShutdownFlagValues
const { VIR_DOMAIN_REBOOT_ACPI_POWER_BTN, VIR_DOMAIN_REBOOT_GUEST_AGENT } = virDomainRebootFlagValues
const { VIR_DOMAIN_DESTROY_GRACEFUL, VIR_DOMAIN_DESTROY_REMOVE_LOGS } = virDomainDestroyFlagsValues

const createFlags = flags({
  VIR_DOMAIN_START_PAUSED,
  VIR_DOMAIN_START_AUTODESTROY,
  VIR_DOMAIN_START_BYPASS_CACHE,
  VIR_DOMAIN_START_FORCE_BOOT,
  VIR_DOMAIN_START_RESET_NVRAM
})
const shutdownFlags = flags({ VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN, VIR_DOMAIN_SHUTDOWN_GUEST_AGENT })
const rebootFlags = flags({ VIR_DOMAIN_REBOOT_ACPI_POWER_BTN, VIR_DOMAIN_REBOOT_GUEST_AGENT })

async function create(
  domain: QemuDomain,
  bits: number,
  { job, connection }: CallOf<undefined>
): Promise<Record<string, never>> {
  const options = {
    paused: (bits & VIR_DOMAIN_START_PAUSED) !== 0,
    autoDestroy: asksForTie({ flags: bits }) ? connection : undefined,
    resetNvram: (bits & VIR_DOMAIN_START_RESET_NVRAM) !== 0
  }
  if (!existsSync(domain.root.managedSave)) await startDomain(domain, options)
  else {
    const { startKept } = await import('../save/restore.ts')
    const bypassCache = (bits & VIR_DOMAIN_START_BYPASS_CACHE) !== 0
    const forceBoot = (bits & VIR_DOMAIN_START_FORCE_BOOT) !== 0
    await startKept(domain, job!, { ...options, bypassCache, forceBoot })
  }
  return {}
}

async function destroy(domain: QemuDomain, bits: number): Promise<Record<string, never>> {
  if (domain.phase === 'stopping') throw fail('VIR_ERR_OPERATION_INVALID', 'domain is already being destroyed')
  domain.setFakeReboot(false)
  await stopDomain(
    domain,
    virDomainShutoffReason.VIR_DOMAIN_SHUTOFF_DESTROYED,
    (bits & VIR_DOMAIN_DESTROY_GRACEFUL) !== 0
  )
  if ((bits & VIR_DOMAIN_DESTROY_REMOVE_LOGS) !== 0)
    for (const log of [domain.root.log, `${domain.root.log}.1`]) rmSync(log, { force: true })
  return {}
}

export const lifecycle = {
  /** Starts a guest that is shut off. Source: qemuDomainCreate, 9.0.0. */
  virDomainCreate: method({
    since: '0.0.1',
    on: 'domain',
    acl: 'domain:start',
    job: { async: 'start' },
    needs: 'inactive',
    args: {},
    ret: {},
    run: (domain, _args, call) => create(domain, 0, call)
  }),

  /** As virDomainCreate; paused, with new UEFI variables, to end with its client's connection, without its saved image. */
  virDomainCreateWithFlags: method({
    since: '0.8.2',
    on: 'domain',
    acl: 'domain:start',
    job: { async: 'start' },
    needs: 'inactive',
    tied: asksForTie,
    args: { flags: createFlags },
    ret: {},
    run: (domain, args, call) => create(domain, args.flags, call)
  }),

  /** Ends the guest as pulling the plug does. Its job waits for no other: it must work on a stuck guest. */
  virDomainDestroy: method({
    since: '0.0.1',
    on: 'domain',
    acl: 'domain:stop',
    job: 'destroy',
    needs: 'active',
    args: {},
    ret: {},
    run: domain => destroy(domain, 0)
  }),

  /**
   * As virDomainDestroy; VIR_DOMAIN_DESTROY_GRACEFUL fails rather than kills when QEMU ignores SIGTERM,
   * VIR_DOMAIN_DESTROY_REMOVE_LOGS removes what QEMU has logged.
   */
  virDomainDestroyFlags: method({
    since: '0.9.4',
    on: 'domain',
    acl: 'domain:stop',
    job: 'destroy',
    needs: 'active',
    args: { flags: flags({ VIR_DOMAIN_DESTROY_GRACEFUL, VIR_DOMAIN_DESTROY_REMOVE_LOGS }) },
    ret: {},
    run: (domain, args) => destroy(domain, args.flags)
  }),

  /** Asks the guest to shut down; returns before it has. Its jobs are the agent's or the monitor's, by who is asked. */
  virDomainShutdown: method({
    since: '0.0.1',
    on: 'domain',
    acl: 'domain:init_control',
    args: {},
    ret: {},
    async run(domain, _args, call) {
      await shutdownGuest(domain, 0, call)
      return {}
    }
  }),

  virDomainShutdownFlags: method({
    since: '0.9.10',
    on: 'domain',
    acl: 'domain:init_control',
    args: { flags: shutdownFlags },
    ret: {},
    async run(domain, { flags: bits }, call) {
      await shutdownGuest(domain, bits, call)
      return {}
    }
  }),

  /** Asks the guest to reboot; without agent by power button, then starting it again in the same QEMU. */
  virDomainReboot: method({
    since: '0.1.0',
    on: 'domain',
    acl: 'domain:init_control',
    args: { flags: rebootFlags },
    ret: {},
    async run(domain, { flags: bits }, call) {
      await rebootGuest(domain, bits, call)
      return {}
    }
  }),

  /** Resets the machine at once, as the reset button does. */
  virDomainReset: method({
    since: '0.9.7',
    on: 'domain',
    acl: 'domain:reset',
    job: 'modify',
    needs: 'active',
    args: noFlags,
    ret: {},
    async run(domain) {
      domain.setFakeReboot(false)
      await domain.qmp.execute('system_reset')
      if (domain.state === VIR_DOMAIN_CRASHED) domain.setPaused(virDomainPausedReason.VIR_DOMAIN_PAUSED_CRASHED)
      return {}
    }
  }),

  /** Stops the vCPUs; memory stays allocated. A paused guest succeeds at once. Source: qemuDomainSuspend, 9.0.0. */
  virDomainSuspend: method({
    since: '0.0.3',
    on: 'domain',
    acl: 'domain:suspend',
    job: 'suspend',
    needs: 'active',
    args: {},
    ret: {},
    async run(domain) {
      if (domain.state === VIR_DOMAIN_PMSUSPENDED) throw fail('VIR_ERR_OPERATION_INVALID', 'domain is pmsuspended')
      if (domain.state === VIR_DOMAIN_PAUSED) return {}
      await stopCpus(domain, virDomainPausedReason.VIR_DOMAIN_PAUSED_USER)
      domain.checkActive()
      return {}
    }
  }),

  /** Lets a paused guest go on. */
  virDomainResume: method({
    since: '0.0.3',
    on: 'domain',
    acl: 'domain:suspend',
    job: 'modify',
    needs: 'active',
    args: {},
    ret: {},
    async run(domain) {
      if (domain.state === VIR_DOMAIN_PMSUSPENDED) throw fail('VIR_ERR_OPERATION_INVALID', 'domain is pmsuspended')
      if (domain.state === VIR_DOMAIN_RUNNING) throw fail('VIR_ERR_OPERATION_INVALID', 'domain is already running')
      if (domain.state === VIR_DOMAIN_SHUTDOWN) throw fail('VIR_ERR_OPERATION_INVALID', 'domain is being shut down')
      await startCpus(domain, virDomainRunningReason.VIR_DOMAIN_RUNNING_UNPAUSED)
      domain.checkActive()
      return {}
    }
  }),

  /** Sends a non-maskable interrupt to the guest. */
  virDomainInjectNMI: method({
    since: '0.9.2',
    on: 'domain',
    acl: 'domain:inject_nmi',
    job: 'modify',
    needs: 'active',
    args: noFlags,
    ret: {},
    async run(domain) {
      await domain.qmp.execute('inject-nmi')
      return {}
    }
  })
}
