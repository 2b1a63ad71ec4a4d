// The interactive console, screenshots, keys.
import { writeFileSync } from 'node:fs'
import { virKeycodeSet } from '../../conf/enums.ts'
import { type Commands, onDomain, option } from '../command.ts'
import { refusalOf } from '../connection.ts'
import { ClientError, saying } from '../failure.ts'
import type { Guest, Session } from '../session.ts'

const VIR_DOMAIN_SHUTOFF = 5
const CONSOLE_FORCE = 1
const CONSOLE_SAFE = 2
/** Ctrl + ] */
const ESCAPE = 0x1d
const KEYS_MAX = 16

const EXTENSIONS: Record<string, string> = { 'image/png': '.png', 'image/x-portable-pixmap': '.ppm' }

/**
 * Connects this terminal with a console of the guest until it ends or the escape character is typed.
 * @param resume the guest is paused, and goes on once its console is seen
 */
export async function runConsole(
  session: Session,
  { shim, report }: Guest,
  { devname, flags = 0, resume = false }: { devname?: string | undefined; flags?: number; resume?: boolean } = {}
): Promise<void> {
  if (report.state === VIR_DOMAIN_SHUTOFF) throw new ClientError('The domain is not running')
  const { stdin, stdout } = process
  if (!stdin.isTTY) throw new ClientError('Cannot run interactive console without a controlling TTY')
  session.printExtra(`Connected to domain '${report.name}'\nEscape character is ^] (Ctrl + ])\n`)
  const { WebSocket } = await import('ws')
  const query = new URLSearchParams(devname === undefined ? {} : { devname })
  if (flags !== 0) query.set('flags', String(flags))
  const socket = new WebSocket(`ws+unix:${shim.socket}:${shim.pathOf('virDomainOpenConsole')}?${query}`)
  stdin.setRawMode(true)
  try {
    await new Promise<void>((done, failed) => {
      socket.on('unexpected-response', (_request, reply) => {
        let text = ''
        reply.on('data', chunk => {
          text += chunk
        })
        reply.on('end', () => failed(refusalOf(reply.statusCode, text)))
      })
      socket.on('error', error => failed(new ClientError(error.message)))
      socket.on('message', data => stdout.write(data as Buffer))
      socket.on('close', () => done())
      socket.on('open', () => {
        if (resume) saying(`Failed to resume domain '${report.name}'`, shim.call('virDomainResume')).catch(failed)
        stdin.on('data', typed => {
          const bytes = Buffer.from(typed)
          const leave = bytes.indexOf(ESCAPE)
          if (leave !== 0) socket.send(leave < 0 ? bytes : bytes.subarray(0, leave))
          if (leave >= 0) socket.close()
        })
      })
    })
  } finally {
    stdin.setRawMode(false)
    stdin.pause()
    socket.terminate()
  }
}

/** `2024-01-31-12:00:00`, local time. */
function stamp(now: Date): string {
  const two = (value: number) => String(value).padStart(2, '0')
  const day = [now.getFullYear(), two(now.getMonth() + 1), two(now.getDate())].join('-')
  return `${day}-${[now.getHours(), now.getMinutes(), now.getSeconds()].map(two).join(':')}`
}

/** A number as C's strtoul reads it with base 0: decimal, hexadecimal or octal; undefined for anything else. */
function anyBase(text: string): number | undefined {
  if (!/^(0[xX][\da-fA-F]+|0[0-7]*|[1-9]\d*)$/.test(text)) return undefined
  return /^0[0-7]/.test(text) ? Number.parseInt(text, 8) : Number(text)
}

/** A key as its number or its name in the code set. */
async function keycode(codeset: string, key: string): Promise<number> {
  const number = anyBase(key)
  if (number !== undefined && number <= 0xffff) return number
  const { linuxKeycode } = await import('../../conf/keycodes.ts')
  const code = codeset === 'linux' ? linuxKeycode(key) : undefined
  if (code === undefined) throw new ClientError(`invalid keycode: '${key}'`)
  return code
}

export const consoles: Commands = {
  console: onDomain(
    'connect to the guest console',
    {
      devname: option.text('character device name'),
      resume: option.bool('resume a paused guest after connecting to console'),
      force: option.bool('force console connection (disconnect already connected sessions)'),
      safe: option.bool('only connect if safe console handling is supported')
    },
    async ({ session, given, wanted }) => {
      const flags = (given.has('force') ? CONSOLE_FORCE : 0) | (given.has('safe') ? CONSOLE_SAFE : 0)
      const resume = given.has('resume')
      await runConsole(session, await session.lookup(wanted), { devname: given.text('devname'), flags, resume })
    }
  ),

  'inject-nmi': onDomain('Inject NMI to the guest', {}, async ({ shim }) => {
    await shim.call('virDomainInjectNMI')
  }),

  screenshot: onDomain(
    'take a screenshot of a current domain console and store it into a file',
    {
      file: option.text('where to store the screenshot'),
      screen: option.int('ID of a screen to take screenshot of')
    },
    async ({ shim, given, wanted, name, session }) => {
      const screen = given.int('screen', { min: 0, max: 2 ** 32 - 1 })
      const taken = await saying(
        `could not take a screenshot of ${wanted}`,
        shim.body('virDomainScreenshot', { screen })
      )
      const file = given.text('file') ?? `${name}-${stamp(new Date())}${EXTENSIONS[taken.mime] ?? ''}`
      try {
        writeFileSync(file, taken.body)
      } catch (error) {
        throw new ClientError(`cannot create file ${file}`, (error as Error).message)
      }
      session.printExtra(`Screenshot saved to ${file}, with type of ${taken.mime}`)
    }
  ),

  'send-key': onDomain(
    'Send keycodes to the guest',
    {
      codeset: option.text('the codeset of keycodes, default:linux', { named: true }),
      holdtime: option.int('the time (in milliseconds) how long the keys will be held', { named: true }),
      keycode: option.argv('the key code', { required: true })
    },
    async ({ shim, given }) => {
      const wanted = given.text('codeset') ?? 'linux'
      const codeset = wanted === 'rfb' ? 'qnum' : wanted
      const constant = `VIR_KEYCODE_SET_${codeset.toUpperCase()}`
      const number = (virKeycodeSet as Record<string, number>)[constant]
      if (number === undefined || codeset !== codeset.toLowerCase()) {
        throw new ClientError(`unknown codeset: '${codeset}'`)
      }
      const keys = given.all('keycode')
      if (keys.length > KEYS_MAX) throw new ClientError('too many keycodes')
      const keycodes = await Promise.all(keys.map(key => keycode(codeset, key)))
      const holdtime = given.int('holdtime', { min: 0, max: 2 ** 32 - 1 }) ?? 0
      await shim.call('virDomainSendKey', { codeset: number, holdtime, keycodes })
    }
  )
}
