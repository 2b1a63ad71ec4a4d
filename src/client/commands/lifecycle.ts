// Commands that start, stop and hold a guest.
import { type ChildProcess, spawn } from 'node:child_process'
import { realpathSync } from 'node:fs'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import { virDomainCreateFlags, virDomainRebootFlagValues, virDomainShutdownFlagValues } from '../../conf/enums.ts'
import type { News } from '../../server/starter.ts'
import type { Given } from '../arguments.ts'
import { type Commands, type DomainCall, onDomain, option } from '../command.ts'
import { ClientError, saying } from '../failure.ts'
import { readOrFail } from '../input.ts'
import type { Session } from '../session.ts'
import { runConsole } from './console.ts'

/** A command that is one call of an API, with virsh's words for how it ended. */
const simple = (
  help: string,
  api: 'virDomainReset' | 'virDomainResume' | 'virDomainSuspend',
  verb: string,
  done: string
) =>
  onDomain(help, {}, async ({ shim, wanted, session }) => {
    await saying(`Failed to ${verb} domain '${wanted}'`, shim.call(api))
    session.printExtra(`Domain '${wanted}' ${done}\n`)
  })

/** `--mode acpi,agent` as bits, by the end of each constant's name. */
function modeBits(text: string | undefined, modes: Record<string, number>): number {
  let bits = 0
  for (const mode of text?.split(',') ?? []) {
    const bit = Object.hasOwn(modes, mode) ? modes[mode] : undefined
    if (bit === undefined) {
      const known = Object.keys(modes).map(name => `'${name}'`)
      throw new ClientError(
        `Unknown mode ${mode} value, expecting ${known.slice(0, -1).join(', ')}, or ${known.at(-1)}`
      )
    }
    bits |= bit
  }
  return bits
}

const shutdownModes = {
  acpi: virDomainShutdownFlagValues.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN,
  agent: virDomainShutdownFlagValues.VIR_DOMAIN_SHUTDOWN_GUEST_AGENT,
  initctl: virDomainShutdownFlagValues.VIR_DOMAIN_SHUTDOWN_INITCTL,
  signal: virDomainShutdownFlagValues.VIR_DOMAIN_SHUTDOWN_SIGNAL,
  paravirt: virDomainShutdownFlagValues.VIR_DOMAIN_SHUTDOWN_PARAVIRT
}
const rebootModes = {
  acpi: virDomainRebootFlagValues.VIR_DOMAIN_REBOOT_ACPI_POWER_BTN,
  agent: virDomainRebootFlagValues.VIR_DOMAIN_REBOOT_GUEST_AGENT,
  initctl: virDomainRebootFlagValues.VIR_DOMAIN_REBOOT_INITCTL,
  signal: virDomainRebootFlagValues.VIR_DOMAIN_REBOOT_SIGNAL,
  paravirt: virDomainRebootFlagValues.VIR_DOMAIN_REBOOT_PARAVIRT
}

/** Options of a start of a guest that is kept, by its saved image or without it; virDomainCreateFlags. */
const KEPT_FLAGS: Readonly<Record<string, number>> = {
  'bypass-cache': virDomainCreateFlags.VIR_DOMAIN_START_BYPASS_CACHE,
  'force-boot': virDomainCreateFlags.VIR_DOMAIN_START_FORCE_BOOT,
  'reset-nvram': virDomainCreateFlags.VIR_DOMAIN_START_RESET_NVRAM
}

/** Options of a start. A guest whose console is to be seen from the beginning waits for that. */
const startOptions = {
  console: option.bool('attach to console after creation'),
  paused: option.bool('leave the guest paused after creation'),
  autodestroy: option.bool('automatically destroy the guest when virshim disconnects')
}
const startsPaused = (given: Given) => given.has('paused') || given.has('console')

/** Shows the console of a guest that was started with `--console`. */
async function showConsole(session: Session, given: Given, name: string): Promise<void> {
  if (given.has('console')) await runConsole(session, await session.lookup(name), { resume: !given.has('paused') })
}

export const lifecycle: Commands = {
  create: {
    help: 'create a domain from an XML file',
    options: {
      file: option.text('file containing an XML domain description, - for standard input', { required: true }),
      ...startOptions
    },
    async run(session, given) {
      const file = given.text('file')!
      const bytes = await readOrFail(file)
      const { decodeXml, firstChild, parseXml, textOf } = await import('../../conf/xml.ts')
      const options = startsPaused(given) ? ['--paused'] : []
      const starting = startShim(session, [...options, file], bytes, given.has('autodestroy'))
      await saying(`Failed to create domain from ${file}`, starting)
      const name = textOf(firstChild(parseXml(decodeXml(bytes)), 'name')!)
      session.printExtra(`Domain '${name}' created from ${file}\n`)
      await showConsole(session, given, name)
    }
  },

  destroy: onDomain(
    'destroy (stop) a domain',
    {
      graceful: option.bool('terminate gracefully'),
      'remove-logs': option.bool('remove domain logs')
    },
    async ({ shim, given, wanted, session }) => {
      const flags = (given.has('graceful') ? 1 : 0) | (given.has('remove-logs') ? 2 : 0)
      const call = flags ? shim.call('virDomainDestroyFlags', { flags }) : shim.call('virDomainDestroy')
      await saying(`Failed to destroy domain '${wanted}'`, call)
      session.printExtra(`Domain '${wanted}' destroyed\n`)
    }
  ),

  reboot: onDomain(
    'reboot a domain',
    { mode: option.text('shutdown mode: acpi|agent|initctl|signal|paravirt', { values: Object.keys(rebootModes) }) },
    async ({ shim, given, wanted, session }) => {
      const flags = modeBits(given.text('mode'), rebootModes)
      await saying(`Failed to reboot domain '${wanted}'`, shim.call('virDomainReboot', { flags }))
      session.printExtra(`Domain '${wanted}' is being rebooted\n`)
    }
  ),

  reset: simple('reset a domain', 'virDomainReset', 'reset', 'was reset'),
  resume: simple('resume a domain', 'virDomainResume', 'resume', 'resumed'),

  shutdown: onDomain(
    'gracefully shutdown a domain',
    { mode: option.text('shutdown mode: acpi|agent|initctl|signal|paravirt', { values: Object.keys(shutdownModes) }) },
    async ({ shim, given, wanted, session }) => {
      const flags = modeBits(given.text('mode'), shutdownModes)
      const call = flags ? shim.call('virDomainShutdownFlags', { flags }) : shim.call('virDomainShutdown')
      await saying(`Failed to shutdown domain '${wanted}'`, call)
      session.printExtra(`Domain '${wanted}' is being shutdown\n`)
    }
  ),

  start: onDomain(
    'start a (previously defined) inactive domain',
    {
      ...startOptions,
      'bypass-cache': option.bool('avoid file system cache when loading'),
      'force-boot': option.bool('force fresh boot by discarding any managed save'),
      'reset-nvram': option.bool('re-initialize NVRAM from its pristine template')
    },
    async ({ shim, given, id, name, session }) => {
      if (id !== -1) throw new ClientError('Domain is already active')
      const kept = Object.entries(KEPT_FLAGS).reduce((bits, [name, bit]) => (given.has(name) ? bits | bit : bits), 0)
      const flags = kept | (startsPaused(given) ? 1 : 0) | (given.has('autodestroy') ? 2 : 0)
      const start = () => {
        if (given.has('autodestroy')) return shim.callTied('virDomainCreateWithFlags', { flags })
        return flags ? shim.callJob('virDomainCreateWithFlags', { flags }) : shim.callJob('virDomainCreate')
      }
      await saying(`Failed to start domain '${name}'`, start())
      session.printExtra(`Domain '${name}' started\n`)
      await showConsole(session, given, name)
    },
    { id: false }
  ),

  suspend: simple('suspend a domain', 'virDomainSuspend', 'suspend', 'suspended'),

  'shim-detach': onDomain(
    'end the shim and leave its guest running',
    {},
    async ({ shim, wanted, session }: DomainCall) => {
      await shim.post(shim.pathOf('shim-detach'))
      session.printExtra(`Shim of domain '${wanted}' detached\n`)
    }
  )
}

/**
 * Starts a shim of its own process and waits until its guest runs; what it says when it fails is the error.
 * @param input what the shim reads if its file is `-`
 * @param tied its guest ends with us
 */
export async function startShim(session: Session, args: string[], input: Buffer, tied: boolean): Promise<void> {
  if (session.options.connect !== undefined || session.options.readOnly) {
    throw new ClientError('this function is not supported by the connection driver: virDomainCreateXML')
  }
  const program = join(realpathSync(process.argv[1]!), '../virshimd')
  const how = tied ? ['--tied', '--background'] : ['--detach']
  const child = spawn(program, [...how, ...args], { detached: tied, stdio: ['pipe', 'ignore', 'pipe', 'ipc'] })
  // it may end, or be none, before it has read
  child.stdin!.on('error', () => undefined).end(input)
  let said = ''
  child.stderr!.on('data', chunk => {
    said += chunk
  })
  const status = await new Promise(resolve => {
    child.once('error', error => resolve(error.message))
    child.once('exit', resolve)
    child.on('message', (news: News) => {
      if ('state' in news) resolve(0)
    })
  })
  if (status === 0) return letRun(child)
  const errors = said.split('\n').filter(line => line !== '' && !line.startsWith('{'))
  throw new ClientError(...errors.map(line => line.replace(/^(virshimd: )?(error: )?/, '')))
}

/** Goes on without waiting for it; the channel, which may tie its guest to us, closes when we end. */
function letRun(child: ChildProcess): void {
  child.unref()
  child.channel?.unref()
  ;(child.stderr as Socket).unref()
}
