// domxml-to-native, domxml-normalize, domxml-validate: what needs no daemon, only QEMU.
import { readFileSync } from 'node:fs'
import { homedir, arch as nodeArch } from 'node:os'
import { join } from 'node:path'
import { checkDefinable } from '../conf/domain/identity.ts'
import type { DomainDef } from '../conf/domain-def.ts'
import { formatDomain } from '../conf/domain-xml.ts'
import { toVirError } from '../conf/error.ts'
import { formatJson } from '../conf/json.ts'
import { decodeXml } from '../conf/xml.ts'
import { qemuCapabilities } from '../drivers/qemu/capabilities.ts'
import { buildCommand } from '../drivers/qemu/command/index.ts'
import { DEFAULT_CONFIG, type QemuContext } from '../drivers/qemu/context.ts'

import { loadDomain, prepareNative } from '../drivers/qemu/def-driver.ts'
import { ShownFiles } from '../drivers/qemu/inherited-files.ts'
import { secretDirectories, secretStore } from '../state/secrets.ts'

/** The capability cache: one for all shims of a user. */
export function cacheDir(): string {
  if (process.getuid?.() === 0) return '/var/cache/virshim'
  return join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'virshim')
}

/** The surroundings a guest would have under libvirtd: its command line is shown with libvirt's own directories. */
async function libvirtContext(def: DomainDef): Promise<QemuContext> {
  const shortName = `-1-${def.name.slice(0, 20)}`
  const libDir = `/var/lib/libvirt/qemu/domain-${shortName}`
  return {
    qemu: await qemuCapabilities(def.devices.emulator!, cacheDir(), def.type),
    config: DEFAULT_CONFIG,
    paths: {
      libDir,
      channelTargetBase: '/var/lib/libvirt/qemu/channel/target',
      channelTargetDir: `/var/lib/libvirt/qemu/channel/target/domain-${shortName}`,
      nvramDir: '/var/lib/libvirt/qemu/nvram',
      memoryBackingDir: `/var/lib/libvirt/qemu/ram/${shortName}`,
      hugepageSubdir: `libvirt/qemu/${shortName}`,
      monitorSocket: `${libDir}/monitor.sock`,
      dbusSocket: `/run/libvirt/qemu/dbus/${shortName}-dbus.sock`,
      swtpmDir: `/var/lib/libvirt/swtpm/${def.uuid}`,
      swtpmSocket: `/run/libvirt/qemu/swtpm/${shortName}-swtpm.sock`
    },
    privileged: true,
    secrets: secretStore(secretDirectories(true)),
    hostArch: nodeArch() === 'arm64' ? 'aarch64' : 'x86_64',
    pretend: true,
    files: new ShownFiles()
  }
}

type Answer = Record<string, unknown>

const verbs: Record<string, (xml: string) => Promise<Answer>> = {
  async 'domxml-to-native'(xml) {
    const { def, context } = await loadDomain(xml, libvirtContext)
    return { argv: buildCommand(def, prepareNative(def, context)).argv }
  },
  async 'domxml-normalize'(xml) {
    const { def } = await loadDomain(xml, libvirtContext)
    checkDefinable(def)
    return { xml: formatDomain(def, { inactive: true, secure: true }) }
  },
  async 'domxml-validate'(xml) {
    await loadDomain(xml, libvirtContext, { validate: true })
    return { valid: true }
  }
}

/** Runs one offline verb over files; with json one line a file. Gives the exit status. */
export async function runOffline(verb: string, files: string[], json: boolean): Promise<number> {
  let status = 0
  for (const file of files) {
    let answer: Answer
    try {
      answer = await verbs[verb]!(decodeXml(readFileSync(file), '(domain_definition)'))
    } catch (thrown) {
      const error = toVirError(thrown)
      status = 1
      if (process.env.VIRSHIM_DEBUG) process.stderr.write(`${file}: ${error.stack}\n`)
      answer = { error: { code: error.number, message: error.message } }
    }
    if (json) process.stdout.write(`${formatJson({ file, ...answer })}\n`)
    else if (answer.error) process.stderr.write(`error: ${file}: ${(answer.error as Error).message}\n`)
    else if (answer.argv) process.stdout.write(`${(answer.argv as string[]).map(shellWord).join(' ')}\n`)
    else process.stdout.write(answer.xml ? `${answer.xml}` : `${file} validates\n`)
  }
  return status
}

const shellWord = (word: string) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replace(/'/g, `'\\''`)}'`)
