// The surroundings of this process's guest.
import { join } from 'node:path'
import type { DomainDef } from '../conf/domain-def.ts'
import { qemuCapabilities } from '../drivers/qemu/capabilities/qemu.ts'
import { DEFAULT_CONFIG, type QemuConfig, type QemuContext } from '../drivers/qemu/context.ts'
import { NO_FILES } from '../host/inherited-files.ts'
import { cacheDirectory, type GuestRoot } from '../state/root.ts'
import { secretDirectories, secretStore } from '../state/secrets.ts'
import { hostArchitecture } from './this-host.ts'

/**
 * Surroundings of a guest of that definition; its emulator is probed if it is not known yet.
 * @param secondary directory of the sockets of libvirt's other drivers, if there are any
 * @param settings those that are not as by default
 */
export async function contextFor(
  def: DomainDef,
  root: GuestRoot,
  secondary: string | undefined,
  settings: Partial<QemuConfig> = {}
): Promise<QemuContext> {
  const privileged = process.getuid?.() === 0
  return {
    qemu: await qemuCapabilities(def.devices.emulator!, cacheDirectory(), def.type),
    config: { ...DEFAULT_CONFIG, ...settings },
    paths: {
      libDir: root.dir,
      channelTargetDir: root.channelDir,
      nvramDir: root.nvramDir,
      memoryBackingDir: `${root.dir}/ram`,
      hugepageSubdir: `virshim/${def.uuid}`,
      socketDir: root.dir,
      monitorSocket: root.monitorSocket,
      dbusSocket: join(root.dir, 'dbus.sock'),
      swtpmDir: root.swtpmDir,
      swtpmSocket: root.swtpmSocket
    },
    privileged,
    drivers: async () => (await import('./secondary-drivers.ts')).secondaryDrivers(secondary),
    secrets: secretStore(secretDirectories(privileged)),
    hostArch: hostArchitecture(),
    pretend: false,
    files: NO_FILES
  }
}
