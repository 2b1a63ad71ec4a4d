// Calls the guest's agent answers, and the raw monitor and agent commands.
import {
  virDomainAgentResponseTimeoutValues,
  virDomainGetHostnameFlags,
  virDomainGuestInfoTypes,
  virDomainQemuMonitorCommandFlags,
  virDomainSetTimeFlags
} from '../../../conf/enums.ts'
import { argumentErrorsFrom, errorsFrom } from '../../../conf/error.ts'
import { formatJson, parseJson } from '../../../conf/json.ts'
import { defaulted, flags, flagsIn, hyper, int, openFlags, text, typedParams, uint } from '../../../conf/wire.ts'
import type { PassableFile } from '../../../host/pass-file.ts'
import { methodFor } from '../../method.ts'
import { malformed, ulongIn } from '../agent/answer.ts'
import { availableAgent } from '../agent/channel.ts'
import { GUEST_INFO_TYPES, guestInfo, hostnameIn } from '../agent/guest-info.ts'
import { interfaceLeases } from '../device/interface/leases.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { taint } from '../domain/taint.ts'
import { QmpError } from '../monitor/qmp.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const badArgument = argumentErrorsFrom('VIR_FROM_QEMU')
const failJson = errorsFrom('VIR_FROM_NONE')
const method = methodFor<QemuDomain>()

const { VIR_DOMAIN_TIME_SYNC } = virDomainSetTimeFlags
const { VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP } = virDomainQemuMonitorCommandFlags
const { VIR_DOMAIN_GET_HOSTNAME_LEASE, VIR_DOMAIN_GET_HOSTNAME_AGENT } = virDomainGetHostnameFlags
const NS = 1_000_000_000n
const { VIR_DOMAIN_AGENT_RESPONSE_TIMEOUT_BLOCK, VIR_DOMAIN_AGENT_RESPONSE_TIMEOUT_DEFAULT } =
  virDomainAgentResponseTimeoutValues

/** @throws VIR_ERR_INVALID_ARG for a limit that is none (VIR_DOMAIN_QEMU_AGENT_COMMAND_MIN) */
function checkTimeout(seconds: number): void {
  if (seconds >= VIR_DOMAIN_AGENT_RESPONSE_TIMEOUT_BLOCK) return
  const least = `is less than the minimum '${VIR_DOMAIN_AGENT_RESPONSE_TIMEOUT_BLOCK}'`
  throw fail('VIR_ERR_INVALID_ARG', `guest agent timeout '${seconds}' ${least}`)
}

const noHostname = ({ name }: QemuDomain, cause?: unknown) =>
  fail('VIR_ERR_NO_HOSTNAME', `no hostname found for domain ${name}`, cause)

function parseCommand(cmd: string): { execute: string; arguments?: object } {
  let parsed: unknown
  try {
    parsed = parseJson(cmd)
  } catch (error) {
    throw failJson(
      'VIR_ERR_INTERNAL_ERROR',
      `cannot parse json ${cmd.slice(0, 200)}: ${(error as Error).message}`,
      error
    )
  }
  const command = parsed as { execute?: unknown; arguments?: object }
  if (typeof command !== 'object' || command === null || typeof command.execute !== 'string') {
    throw fail('VIR_ERR_INVALID_ARG', "command must be a JSON object with a member 'execute'")
  }
  return command as { execute: string; arguments?: object }
}

/** Has QEMU carry out a client's command. @param file for commands that take one */
async function monitorCommand(domain: QemuDomain, cmd: string, bits: number, file?: PassableFile) {
  taint(domain, 'custom-monitor')
  if ((bits & VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP) !== 0) {
    return { result: await domain.qmp.execute<string>('human-monitor-command', { 'command-line': cmd }, { file }) }
  }
  const command = parseCommand(cmd)
  // libvirt gives every command an id of its own
  if ('id' in command) throw fail('VIR_ERR_INTERNAL_ERROR', "Unable to append command 'id' string")
  const { execute, arguments: args } = command
  const id = domain.qmp.nextId
  try {
    return { result: formatJson({ return: await domain.qmp.execute(execute, args, { raw: true, file }), id }) }
  } catch (error) {
    if (!(error instanceof QmpError)) throw error
    return { result: formatJson({ id, error: { class: error.class, desc: error.message } }) }
  }
}

export const agent = {
  /** The guest's own idea of its name, with VIR_DOMAIN_GET_HOSTNAME_LEASE that of its first lease which has one. */
  virDomainGetHostname: method({
    since: '0.10.0',
    on: 'domain',
    acl: 'domain:read',
    job: ({ flags: bits }) => ((bits & VIR_DOMAIN_GET_HOSTNAME_LEASE) !== 0 ? undefined : { agent: 'query' }),
    needs: 'active',
    args: { flags: flags(virDomainGetHostnameFlags) },
    ret: { hostname: text() },
    check({ flags: bits }) {
      const both = VIR_DOMAIN_GET_HOSTNAME_LEASE | VIR_DOMAIN_GET_HOSTNAME_AGENT
      if ((bits & both) === both) {
        const [lease, agent] = Object.keys(virDomainGetHostnameFlags)
        throw badArgument(`Flags '${lease}' and '${agent}' are mutually exclusive`)
      }
    },
    async run(domain, { flags: bits }) {
      if ((bits & VIR_DOMAIN_GET_HOSTNAME_LEASE) !== 0) {
        const leased = await interfaceLeases(domain.def, domain.context)
        const hostname = leased.flatMap(({ leases }) => leases).find(lease => lease.hostname)?.hostname
        if (hostname === undefined) throw noHostname(domain)
        return { hostname }
      }
      const agent = availableAgent(domain)
      try {
        return { hostname: hostnameIn(await agent.execute('guest-get-host-name')) }
      } catch (error) {
        // whatever the agent's reason is, libvirt has but one
        throw noHostname(domain, error)
      }
    }
  }),

  /** Facts of the guest's own, all that its agent knows with no types. Source: qemuDomainGetGuestInfo. */
  virDomainGetGuestInfo: method({
    since: '5.7.0',
    on: 'domain',
    acl: 'domain:write',
    job: { agent: 'query' },
    args: { types: openFlags(virDomainGuestInfoTypes), flags: flags() },
    ret: { params: typedParams },
    check({ types }) {
      const unknown = (types & ~GUEST_INFO_TYPES) >>> 0
      if (unknown === 0) return
      throw fail('VIR_ERR_INVALID_ARG', `unsupported guest information types '0x${unknown.toString(16)}'`)
    },
    run: async (domain, { types }) => ({ params: await guestInfo(availableAgent(domain), types, () => domain.def) })
  }),

  /** How long answers of the agent are waited for, by calls that have no limit of their own. */
  virDomainAgentSetResponseTimeout: method({
    since: '5.10.0',
    on: 'domain',
    acl: 'domain:write',
    args: { timeout: int('s, or one of virDomainAgentResponseTimeoutValues'), flags: flags() },
    ret: {},
    check: ({ timeout }) => checkTimeout(timeout),
    run(domain, { timeout }) {
      domain.agentTimeout = timeout
      domain.save()
      return {}
    }
  }),

  /** The guest's clock, since the epoch. */
  virDomainGetTime: method({
    since: '1.2.5',
    on: 'domain',
    acl: 'domain:read',
    job: { agent: 'query' },
    needs: 'active',
    args: { flags: flags() },
    ret: { seconds: hyper('s'), nseconds: uint('ns') },
    async run(domain) {
      const ns = ulongIn({ time: await availableAgent(domain).execute('guest-get-time') }, 'time')
      if (ns === undefined) throw malformed('malformed return value')
      return { seconds: ns / NS, nseconds: Number(ns % NS) }
    }
  }),

  /** Sets the guest's clock, with VIR_DOMAIN_TIME_SYNC from its hardware clock. Source: qemuDomainSetTime, 9.0.0. */
  virDomainSetTime: method({
    since: '1.2.5',
    on: 'domain',
    acl: 'domain:set_time',
    job: { agent: 'modify' },
    needs: 'active',
    args: {
      seconds: defaulted(hyper('s'), 0n),
      nseconds: defaulted(uint('ns'), 0),
      flags: flags(virDomainSetTimeFlags)
    },
    ret: {},
    async run(domain, { seconds, nseconds, flags: bits }, call) {
      const sync = (bits & VIR_DOMAIN_TIME_SYNC) !== 0
      const agent = availableAgent(domain)
      if (!sync && seconds > (2n ** 63n - 1n) / NS) {
        throw fail('VIR_ERR_INVALID_ARG', `Time '${seconds}' is too big for guest agent`)
      }
      await agent.execute(
        'guest-set-time',
        sync ? undefined : { time: BigInt.asIntN(64, seconds * NS + BigInt(nseconds)) }
      )
      await domain.jobs.run('modify', call, async () => {
        if (domain.isActive) await domain.qmp.execute('rtc-reset-reinjection')
      })
      return {}
    }
  }),

  /** A QMP command as JSON text, or with the HMP flag a human monitor command; the reply as QEMU gave it. */
  virDomainQemuMonitorCommand: method({
    since: '0.8.3',
    on: 'domain',
    acl: 'domain:write',
    job: 'query',
    needs: 'active',
    args: {
      cmd: text(),
      flags: flagsIn({ function: 'qemuDomainQemuMonitorCommandWithFiles' }, virDomainQemuMonitorCommandFlags)
    },
    ret: { result: text() },
    run: (domain, { cmd, flags: bits }) => monitorCommand(domain, cmd, bits)
  }),

  /** The same, with a file that QEMU is handed along with it; over libvirt's RPC alone. */
  virDomainQemuMonitorCommandWithFiles: method({
    since: '8.2.0',
    on: 'domain',
    acl: 'domain:write',
    job: 'query',
    needs: 'active',
    takesFiles: true,
    args: { cmd: text(), flags: flags(virDomainQemuMonitorCommandFlags) },
    ret: { result: text() },
    async run(domain, { cmd, flags: bits }, { files }) {
      if (files!.count > 1) throw badArgument('at most 1 fd can be passed to qemu along with a command')
      return monitorCommand(domain, cmd, bits, files!.count === 1 ? files!.at(0) : undefined)
    }
  }),

  /** A guest agent command as JSON text. `timeout` is of virDomainAgentResponseTimeoutValues, or above. */
  virDomainQemuAgentCommand: method({
    since: '0.10.0',
    on: 'domain',
    acl: 'domain:write',
    job: { agent: 'modify' },
    needs: 'active',
    args: {
      cmd: text(),
      timeout: defaulted(int('s'), VIR_DOMAIN_AGENT_RESPONSE_TIMEOUT_DEFAULT),
      flags: flags()
    },
    ret: { result: text() },
    async run(domain, { cmd, timeout }) {
      const agent = availableAgent(domain)
      taint(domain, 'custom-ga-command')
      checkTimeout(timeout)
      return { result: formatJson({ return: await agent.raw(parseCommand(cmd), { seconds: timeout }) }) }
    }
  })
}
