// A definition as the command line libvirtd would start QEMU with (qemuConnectDomainXMLToNative). Only QEMU's binary is
// probed; nothing of the host is touched.
import { arch as nodeArch } from 'node:os'
import type { DomainDef } from '../../../conf/domain-def.ts'
import { PASSED } from '../../../host/command.ts'
import { ShownFiles } from '../../../host/inherited-files.ts'
import { secretDirectories, secretStore } from '../../../state/secrets.ts'
import { qemuCapabilities } from '../capabilities/qemu.ts'
import { buildCommand } from '../command/index.ts'
import { DEFAULT_CONFIG, type QemuContext } from '../context.ts'
import { loadDomain, prepareNative } from './passes.ts'

/** The surroundings a guest would have under libvirtd: its command line is shown with libvirt's own directories. */
export async function libvirtContext(def: DomainDef, cacheDir: string): Promise<QemuContext> {
  const shortName = `-1-${def.name.slice(0, 20)}`
  const libDir = `/var/lib/libvirt/qemu/domain-${shortName}`
  return {
    qemu: await qemuCapabilities(def.devices.emulator!, cacheDir, def.type),
    config: DEFAULT_CONFIG,
    paths: {
      libDir,
      channelTargetDir: `/run/libvirt/qemu/channel/${shortName}`,
      nvramDir: '/var/lib/libvirt/qemu/nvram',
      memoryBackingDir: `/var/lib/libvirt/qemu/ram/${shortName}`,
      hugepageSubdir: `libvirt/qemu/${shortName}`,
      socketDir: libDir,
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

/** A program's variables, by name, and its arguments with its path in front. */
export interface NativeCommand {
  env: Record<string, string>
  argv: string[]
}

/**
 * The environment and arguments of a guest's QEMU; `given` has the variables of its <qemu:env>, which are in `env` too.
 * @throws everything that reading and checking a definition throws
 */
export async function nativeCommand(
  xml: string,
  cacheDir: string
): Promise<NativeCommand & { given: Record<string, string> }> {
  const { def, context } = await loadDomain(xml, parsed => libvirtContext(parsed, cacheDir))
  const { env, argv } = buildCommand(def, prepareNative(def, context))
  const given = (def.qemuNamespace?.env ?? []).map(({ name }) => [name, env[name] ?? ''])
  return { env, argv, given: Object.fromEntries(given) }
}

/** Environment and command line in one line for a shell, with what libvirtd adds of its own environment. */
export async function nativeConfig(xml: string, cacheDir: string): Promise<string> {
  const { env, argv } = await nativeCommand(xml, cacheDir)
  const own: Record<string, string> = { LC_ALL: 'C' }
  for (const name of PASSED) {
    const value = process.env[name]
    if (value !== undefined) own[name] = value
  }
  return shellLine({ env: { ...own, ...env }, argv })
}

/** Variables and arguments in one line for a shell (virCommandToString). */
export function shellLine({ env, argv }: NativeCommand): string {
  const variables = Object.entries(env).map(([name, value]) => `${name}=${shellWord(value)}`)
  return [...variables, ...argv.map(shellWord)].join(' ')
}

/** A word as a shell reads it (virBufferEscapeShell). */
const shellWord = (word: string): string =>
  word !== '' && !/[\r\t\n !"#$&'()*;<>?[\\\]^`{|}~]/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`
