// Console and channel streams, screenshots, keys.
import { fstatSync, readFileSync } from 'node:fs'
import type { ChardevDef } from '../../../conf/devices/chardev.ts'
import type { VideoDef } from '../../../conf/devices/video.ts'
import { virDomainChannelFlags, virDomainConsoleFlags } from '../../../conf/enums.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { array, flags, optional, text, uint } from '../../../conf/wire.ts'
import { methodFor } from '../../method.ts'
import { openChardev } from '../console/channels.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { withWrittenFile } from '../process/written-file.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const method = methodFor<QemuDomain>()

/** libvirt's VIR_DOMAIN_SEND_KEY_MAX_KEYS. */
const MAX_KEYS = 16

/** A picture of 8192 × 8192 points as PPM. */
const PICTURE_MAX = 256 * 1024 * 1024

/** A console by alias among consoles, serials and parallels, or the first one. Source: qemuDomainOpenConsole. */
function findConsole(domain: QemuDomain, name: string | undefined): ChardevDef {
  const { consoles, serials, parallels } = domain.def.devices
  const all = [...consoles, ...serials, ...parallels]
  const found = name === undefined ? (consoles[0] ?? serials[0]) : all.find(({ alias }) => alias === name)
  if (!found) throw fail('VIR_ERR_INTERNAL_ERROR', `cannot find character device ${name ?? '<null>'}`)
  return found.alias ? found : (serials[0] ?? found)
}

/** A channel by alias or target name, or the first one. */
function findChannel(domain: QemuDomain, name: string | undefined): ChardevDef {
  const { channels } = domain.def.devices
  const found =
    name === undefined ? channels[0] : channels.find(({ alias, target }) => alias === name || target?.name === name)
  if (!found) throw fail('VIR_ERR_INTERNAL_ERROR', `cannot find channel ${name ?? '<null>'}`)
  return found
}

/** The card and its head behind a screen number: heads count through all cards. Screen 0 is QEMU's own choice. */
function screenOf(videos: VideoDef[], screen: number): { device?: string; head?: number } {
  if (videos.length === 0) throw fail('VIR_ERR_OPERATION_INVALID', 'no screens to take screenshot from')
  let head = screen
  for (const { alias, model } of videos) {
    const heads = model?.heads ?? 1
    if (head < heads) return screen === 0 ? {} : { device: alias, head }
    head -= heads
  }
  throw fail('VIR_ERR_OPERATION_INVALID', 'no such screen ID')
}

export const console = {
  /** The byte stream of a console; several viewers share it unless one wants it alone, late ones get what was kept. */
  virDomainOpenConsole: method({
    since: '0.8.6',
    on: 'domain',
    acl: 'domain:open_device',
    needs: 'active',
    stream: 'channel',
    args: { devname: optional(text('alias')), flags: flags(virDomainConsoleFlags) },
    ret: {},
    async run(domain, { devname, flags: bits }) {
      const dev = findConsole(domain, devname)
      if (dev.source.type !== 'pty') {
        throw fail('VIR_ERR_INTERNAL_ERROR', `character device ${devname ?? dev.alias} is not using a PTY`)
      }
      return openChardev(domain, dev, (bits & virDomainConsoleFlags.VIR_DOMAIN_CONSOLE_FORCE) !== 0)
    }
  }),

  virDomainOpenChannel: method({
    since: '1.0.2',
    on: 'domain',
    acl: 'domain:open_device',
    needs: 'active',
    stream: 'channel',
    args: { name: optional(text()), flags: flags(virDomainChannelFlags) },
    ret: {},
    async run(domain, { name, flags: bits }) {
      const dev = findChannel(domain, name)
      if (dev.source.type !== 'unix') {
        throw fail('VIR_ERR_INTERNAL_ERROR', `channel ${name ?? dev.alias} is not using a UNIX socket`)
      }
      return openChardev(domain, dev, (bits & virDomainChannelFlags.VIR_DOMAIN_CHANNEL_FORCE) !== 0)
    }
  }),

  /** A picture of a screen: PNG where QEMU makes it, else PPM. Source: qemuDomainScreenshot. */
  virDomainScreenshot: method({
    since: '0.9.2',
    on: 'domain',
    acl: 'domain:screenshot',
    job: 'query',
    needs: 'active',
    stream: 'body',
    args: { screen: optional(uint()), flags: flags() },
    ret: {},
    async run(domain, { screen = 0 }) {
      const { device, head } = screenOf(domain.def.devices.videos, screen)
      const png = domain.context.qemu.has('screenshot-format-png')
      return withWrittenFile(domain, 'screenshot', async (filename, picture) => {
        await domain.qmp.execute('screendump', { filename, device, head, format: png ? 'png' : undefined })
        const { size } = fstatSync(picture)
        if (size === 0) throw fail('VIR_ERR_INTERNAL_ERROR', 'QEMU has made no picture')
        if (size > PICTURE_MAX) throw fail('VIR_ERR_OPERATION_FAILED', `a screenshot of ${size} bytes is too large`)
        return { mime: png ? 'image/png' : 'image/x-portable-pixmap', body: readFileSync(picture) }
      })
    }
  }),

  /** Presses keys together for `holdtime` ms; keys there are not are told of first. Source: qemuDomainSendKey. */
  virDomainSendKey: method({
    since: '0.9.3',
    on: 'domain',
    acl: 'domain:send_input',
    job: 'modify',
    args: { codeset: uint('virKeycodeSet'), holdtime: uint('ms'), keycodes: array(uint(), MAX_KEYS), flags: flags() },
    ret: {},
    async run(domain, { codeset, holdtime, keycodes }) {
      const { KEYCODE_SETS, toQnum } = await import('../../../conf/keycodes.ts')
      const keys = keycodes.map(code => {
        const data = toQnum(codeset, code)
        if (data === undefined)
          throw fail(
            'VIR_ERR_INTERNAL_ERROR',
            `cannot translate keycode ${code} of ${KEYCODE_SETS[codeset]} codeset to qnum keycode`
          )
        return { type: 'number', data }
      })
      domain.checkActive()
      await domain.qmp.execute('send-key', { keys, 'hold-time': holdtime === 0 ? undefined : holdtime })
      return {}
    }
  })
}
