// The password of a server of screens and whose it is, how long it is valid, and what becomes of clients when it changes.
import { custom, type Field } from '../element.ts'
import { errorsFrom } from '../error.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

const CONNECTED = ['fail', 'disconnect', 'keep'] as const

export interface PasswordDef {
  username?: string
  passwd: string
  /** seconds since the epoch */
  validTo?: number
  connected?: (typeof CONNECTED)[number]
}

const TIME = /^\s*([+-]?\d+)-\s*([+-]?\d+)-\s*([+-]?\d+)T\s*([+-]?\d+):\s*([+-]?\d+):\s*([+-]?\d+)$/
const INT_MAX = 2 ** 31 - 1

/** YYYY-MM-DDTHH:MM:SS in UTC. A time the calendar does not have is the epoch, as it is for libvirt. */
function parseTime(text: string): number {
  const numbers = TIME.exec(text)?.slice(1).map(Number)
  if (!numbers?.every(number => Math.abs(number) <= INT_MAX)) {
    throw fail('VIR_ERR_INTERNAL_ERROR', `cannot parse password validity time '${text}', expect YYYY-MM-DDTHH:MM:SS`)
  }
  const [year, month, day, hour, minute, second] = numbers as [number, number, number, number, number, number]
  if (year < 1 || year > 9999 || hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 59)
    return 0
  const date = new Date(0)
  date.setUTCFullYear(year, month - 1, day)
  if (date.getUTCFullYear() !== year || date.getUTCMonth() !== month - 1 || date.getUTCDate() !== day) return 0
  date.setUTCHours(hour, minute, second)
  return date.getTime() / 1000
}

const formatTime = (seconds: number) => new Date(seconds * 1000).toISOString().slice(0, 19)

/** Attributes `username`, `passwd`, `passwdValidTo` and `connected`; all count only with the password. */
export const password = (server: 'vnc' | 'spice' | 'rdp'): Field<PasswordDef | undefined> =>
  custom<PasswordDef | undefined>({
    names: ['@username', '@passwd', '@passwdValidTo', '@connected'],
    parse({ attributes: { username, passwd, passwdValidTo, connected } }) {
      if (passwd === undefined) return undefined
      const validTo = passwdValidTo === undefined ? undefined : parseTime(passwdValidTo)
      const action = CONNECTED.find(known => known === connected)
      if (connected !== undefined && !action) {
        throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `unknown connected value ${connected}`)
      }
      if (server === 'vnc' && action && action !== 'keep') {
        throw fail('VIR_ERR_CONFIG_UNSUPPORTED', "VNC supports connected='keep' only")
      }
      return {
        ...(username !== undefined && { username }),
        passwd,
        ...(validTo !== undefined && { validTo }),
        ...(action && { connected: action })
      }
    },
    format(value, into, { secure }) {
      if (!value) return
      if (value.username !== undefined) into.attributes.username = value.username
      if (secure) into.attributes.passwd = value.passwd
      if (value.validTo !== undefined) into.attributes.passwdValidTo = formatTime(value.validTo)
      if (value.connected) into.attributes.connected = value.connected
    }
  })
