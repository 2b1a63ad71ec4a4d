// Commands that speak with QEMU and its guest agent directly.
import { virDomainAgentResponseTimeoutValues } from '../../conf/enums.ts'
import { formatJson, parseJson } from '../../conf/json.ts'
import { type Commands, onDomain, option } from '../command.ts'
import { ClientError } from '../failure.ts'

const MONITOR_HMP = 1
const {
  VIR_DOMAIN_AGENT_RESPONSE_TIMEOUT_BLOCK: AGENT_BLOCK,
  VIR_DOMAIN_AGENT_RESPONSE_TIMEOUT_DEFAULT: AGENT_DEFAULT,
  VIR_DOMAIN_AGENT_RESPONSE_TIMEOUT_NOWAIT: AGENT_NOWAIT
} = virDomainAgentResponseTimeoutValues

function parsed(text: string): unknown {
  try {
    return parseJson(text)
  } catch {
    return undefined
  }
}

const isObject = (value: unknown) => typeof value === 'object' && value !== null && !Array.isArray(value)

/** A QMP command of words: JSON as it is, or `NAME [ARGUMENTS]` with the arguments as an object or as its members. */
function qmpCommand(words: string[]): string {
  const whole = words.join(' ')
  if (isObject(parsed(whole))) return whole
  const [execute, ...rest] = words
  if (rest.length === 0) return formatJson({ execute })
  const joined = parsed(rest.join(' '))
  const args = isObject(joined) ? joined : parsed(`{${rest.join(',')}}`)
  if (args === undefined) {
    throw new ClientError(`failed to wrap arguments '${rest.join(' ')}' into a QMP command wrapper`)
  }
  return formatJson({ execute, arguments: args })
}

export const qemu: Commands = {
  'qemu-agent-command': onDomain(
    'QEMU Guest Agent Command',
    {
      timeout: option.int('timeout seconds. must be positive.', { named: true }),
      async: option.bool('execute command without waiting for timeout'),
      block: option.bool('execute command without timeout'),
      pretty: option.bool('pretty-print the output'),
      cmd: option.argv('command', { required: true })
    },
    async ({ shim, given, session }) => {
      const seconds = given.int('timeout')
      if (seconds !== undefined && seconds < 1) throw new ClientError('timeout must be positive')
      const ways = [seconds !== undefined, given.has('async'), given.has('block')].filter(Boolean).length
      if (ways > 1) throw new ClientError('timeout, async and block options are exclusive')
      const timeout = given.has('async') ? AGENT_NOWAIT : given.has('block') ? AGENT_BLOCK : (seconds ?? AGENT_DEFAULT)
      const { result } = await shim.call('virDomainQemuAgentCommand', { cmd: given.all('cmd').join(' '), timeout })
      const value = given.has('pretty') ? parsed(result) : undefined
      session.print(`${value === undefined ? result : `${formatJson(value, 2)}\n`}\n`)
    }
  ),

  'qemu-monitor-command': onDomain(
    'QEMU Monitor Command',
    {
      hmp: option.bool('command is in human monitor protocol'),
      pretty: option.bool('pretty-print any qemu monitor protocol output'),
      'return-value': option.bool("extract the value of the 'return' key from the returned string"),
      'pass-fds': option.text('pass file descriptors N,M,... along with the command', { named: true }),
      cmd: option.argv('command', { required: true })
    },
    async ({ shim, given, session }) => {
      given.exclusive(['hmp', 'pretty'], ['hmp', 'return-value'])
      const words = given.all('cmd')
      const hmp = given.has('hmp')
      const cmd = hmp ? words.join(' ') : qmpCommand(words)
      // only libvirt's own protocol brings descriptors: the shim says so
      const api = given.has('pass-fds') ? 'virDomainQemuMonitorCommandWithFiles' : 'virDomainQemuMonitorCommand'
      const { result } = await shim.call(api, { cmd, flags: hmp ? MONITOR_HMP : 0 })
      const pretty = given.has('pretty')
      if (!pretty && !given.has('return-value')) return session.print(`${result}\n`)
      const answer = parsed(result)
      if (answer === undefined) {
        if (given.has('return-value')) throw new ClientError('failed to parse JSON returned by qemu')
        return session.print(`${result}\n`)
      }
      const value = given.has('return-value') ? (answer as { return?: unknown }).return : answer
      if (value === undefined) throw new ClientError("'return' member missing")
      session.print(formatJson(value, pretty ? 2 : undefined))
    }
  )
}
