// Calls the guest's agent answers, and the raw monitor and agent commands.
import {
  virDomainGetHostnameFlags,
  virDomainQemuMonitorCommandFlags,
  virDomainSetTimeFlags
} from '../../../conf/enums.ts'
import { argumentErrorsFrom, errorsFrom } from '../../../conf/error.ts'
import { formatJson, parseJson } from '../../../conf/json.ts'
import { defaulted, flags, flagsIn, hyper, int, text, uint } from '../../../conf/wire.ts'
import type { PassableFile } from '../../../host/pass-file.ts'
import { methodFor } from '../../method.ts'
import { availableAgent } from '../agent/channel.ts'
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
/** libvirt's VIR_DOMAIN_QEMU_AGENT_COMMAND_{BLOCK,DEFAULT,NOWAIT}. */
const TIMEOUT_BLOCK = -2
const TIMEOUT_NOWAIT = 0

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
        if (hostname === undefined) throw fail('VIR_ERR_NO_HOSTNAME', `no hostname found for domain ${domain.name}`)
        return { hostname }
      }
      const reply = await availableAgent(domain).execute<{ 'host-name': string }>('guest-get-host-name')
      return { hostname: String(reply['host-name']) }
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
      const ns = BigInt(await availableAgent(domain).execute<number | bigint>('guest-get-time'))
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
      const time = seconds * NS + BigInt(nseconds)
      if (!sync && time > 2n ** 63n - 1n) throw fail('VIR_ERR_OVERFLOW', `Time '${seconds}' is too big for guest agent`)
      await availableAgent(domain).execute('guest-set-time', sync ? {} : { time })
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

  /** A guest agent command as JSON text. `timeout` in seconds: -2 waits, -1 is the default, 0 does not wait. */
  virDomainQemuAgentCommand: method({
    since: '0.10.0',
    on: 'domain',
    acl: 'domain:write',
    job: { agent: 'modify' },
    needs: 'active',
    args: { cmd: text(), timeout: defaulted(int('s'), -1), flags: flags() },
    ret: { result: text() },
    async run(domain, { cmd, timeout }) {
      const agent = availableAgent(domain)
      taint(domain, 'custom-ga-command')
      if (timeout < TIMEOUT_BLOCK) {
        throw fail(
          'VIR_ERR_INVALID_ARG',
          `guest agent timeout '${timeout}' is less than the minimum '${TIMEOUT_BLOCK}'`
        )
      }
      const limits: Record<number, number | null | undefined> = {
        [TIMEOUT_BLOCK]: null,
        [-1]: undefined,
        [TIMEOUT_NOWAIT]: 100
      }
      const limit = timeout in limits ? limits[timeout] : timeout * 1000
      return { result: formatJson({ return: await agent.raw(parseCommand(cmd), limit) }) }
    }
  })
}
