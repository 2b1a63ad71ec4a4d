// A real QEMU that never runs its guest, with the machine of a definition but none of the devices that can be plugged.
import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { type AnyDevice, type DeviceKind, eachDevice } from '../../src/conf/devices/index.ts'
import type { DomainDef } from '../../src/conf/domain-def.ts'
import { buildCommand } from '../../src/drivers/qemu/command/index.ts'
import type { QemuContext } from '../../src/drivers/qemu/context.ts'
import { loadDomain, prepareStart } from '../../src/drivers/qemu/definition/passes.ts'
import type { HostGuest } from '../../src/drivers/qemu/device/family.ts'
import { qemuFamily } from '../../src/drivers/qemu/device/index.ts'
import { connectQmp, type QmpMonitor } from '../../src/drivers/qemu/monitor/qmp.ts'
import { masterKeyFile, writeMasterKey } from '../../src/drivers/qemu/parts/secret.ts'
import { contextFor } from '../../src/server/guest-context.ts'
import { type GuestRoot, guestRoot } from '../../src/state/root.ts'
import { hostGuest } from './host-guest.ts'

/** Wide: it only keeps a test from hanging. */
const LIMIT_MS = 60_000

export interface PausedQemu {
  def: DomainDef
  context: QemuContext
  masterKey: Uint8Array
  qmp: QmpMonitor
  host: HostGuest
  warnings: object[]
}

/**
 * Starts it; it ends with the test.
 * @param xml of the guest; `%DIR%` in it stands for its directory
 * @param isPlugged the devices that are left out of its command line
 */
export async function pausedQemu(
  t: Test,
  xml: string,
  isPlugged: (kind: DeviceKind, dev: AnyDevice) => boolean
): Promise<PausedQemu> {
  // tap's own directories are too deep for a socket
  const root: GuestRoot = guestRoot(mkdtempSync(join(tmpdir(), 'plug-')))
  t.teardown(() => rmSync(root.dir, { recursive: true }))
  for (const dir of [root.channelDir, join(root.dir, 'log'), join(root.dir, 'ram')]) mkdirSync(dir)
  const loaded = await loadDomain(xml.replaceAll('%DIR%', root.dir), def => contextFor(def, root, undefined))
  const { def } = loaded
  const context = prepareStart(def, loaded.context)
  const started = structuredClone(def)
  for (const [kind, dev] of [...eachDevice(started.devices)])
    if (isPlugged(kind, dev)) qemuFamily(kind)?.unplug?.(dev, started)
  const { argv, env, masterKey } = buildCommand(started, context)
  writeMasterKey(masterKeyFile(context.paths.libDir), masterKey, {})
  // ACPI's hotplug waits for the guest's consent, which this one never gives
  const native = ['-global', 'ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off']
  const child = spawn(argv[0]!, [...argv.slice(1), ...native], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe']
  })
  let said = ''
  child.stderr.on('data', data => {
    said += data
  })
  const exited = new Promise<void>(resolve => child.once('exit', () => resolve()))
  t.teardown(async () => {
    child.kill('SIGKILL')
    await exited
  })
  const connected = async (deadline = Date.now() + LIMIT_MS): Promise<QmpMonitor> => {
    try {
      return await connectQmp(context.paths.monitorSocket, LIMIT_MS)
    } catch (error) {
      if (child.exitCode !== null || Date.now() > deadline)
        throw new Error(`QEMU does not listen: ${said}`, { cause: error })
      await sleep(5)
      return connected(deadline)
    }
  }
  const qmp = await connected()
  t.teardown(() => qmp.close())
  const warnings: object[] = []
  return { def, context, masterKey, qmp, warnings, host: hostGuest(def, root.dir, { context, warnings }) }
}
