// Taps on bridges for people who may make none: QEMU's helper makes them, where the host's administrator lets it
// (qemuCreateInBridgePortWithHelper). It is asked before QEMU is started, whose sandbox forbids to start programs and to
// gain the helper's privileges.
import { spawn } from 'node:child_process'
import { accessSync, constants, readdirSync, readFileSync } from 'node:fs'
import type { Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { InterfaceDef } from '../../../../conf/devices/interface.ts'
import { isVirtioModel } from '../../../../conf/devices/interface-driver.ts'
import type { InterfaceSourceOf } from '../../../../conf/devices/interface-source.ts'
import { errorsFrom } from '../../../../conf/error.ts'
import { commonEnvironment } from '../../../../host/command.ts'
import { checkMaker } from '../../../../host/made-files.ts'
import { socketPair } from '../../../../host/pass-descriptor.ts'
import { isAlive, type ProcessIdentity } from '../../../../state/status.ts'
import type { HostGuest } from '../family.ts'
import { actualInterface } from './network-port.ts'
import { isHelped, nameDevice, queueName } from './tap.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

const HELPERS = ['/usr/libexec/qemu-bridge-helper', '/usr/lib/qemu/qemu-bridge-helper', '/usr/lib/qemu-bridge-helper']
const TIMEOUT_MS = 10_000
/** QEMU gets its files before anything else. */
const NAMES_LIMIT_MS = 10_000
const NAMES_POLL_MS = 3
const WORDS_MAX = 4096
/** The helper's end of the socket it sends the tap over. */
const FD = 3

/**
 * Has the helper make an interface's device; its name is found out when QEMU has it.
 * @param actual the interface as it is on the host
 * @throws VIR_ERR_SYSTEM_ERROR with the helper's words, VIR_ERR_CONFIG_UNSUPPORTED for several queues
 */
export async function askForDevice(
  { context, root }: HostGuest,
  dev: InterfaceDef,
  actual: InterfaceDef
): Promise<void> {
  const { bridge } = actual.source as InterfaceSourceOf<'bridge'>
  const what = `an interface on bridge '${bridge}', for a user who is not root,`
  if ((dev.driver?.queues ?? 1) > 1) throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `${what} cannot have several queues`)
  const { files } = context
  if (!files.makeTap) throw fail('VIR_ERR_OPERATION_UNSUPPORTED', `${what} cannot be plugged into a guest that runs`)
  checkMaker(what)
  files.makeTap(queueName(dev, 0), { from: await askBridgeHelper(bridge, isVirtioModel(dev.model), root.dir) })
}

/**
 * Has the helper make a tap on a bridge.
 * @param header packets begin with virtio's header
 * @param directory ours alone
 * @returns where the tap's descriptor waits to be received
 * @throws VIR_ERR_SYSTEM_ERROR with the helper's words
 */
async function askBridgeHelper(bridge: string, header: boolean, directory: string): Promise<Socket> {
  const helper = HELPERS.find(isExecutable)
  if (helper === undefined) {
    throw fail('VIR_ERR_SYSTEM_ERROR', `'${HELPERS[0]}' is not a suitable bridge helper: No such file or directory`)
  }
  const [ours, its] = await socketPair(directory)
  const args = [...(header ? ['--use-vnet'] : []), `--fd=${FD}`, `--br=${bridge}`]
  const child = spawn(helper, args, {
    stdio: ['ignore', 'ignore', 'pipe', its],
    env: commonEnvironment(),
    timeout: TIMEOUT_MS
  })
  its.destroy()
  let words = ''
  child.stderr?.on('data', (chunk: Buffer) => {
    words = (words + chunk).slice(0, WORDS_MAX)
  })
  const how = await new Promise<string | undefined>(done => {
    child.once('error', error => done(error.message))
    child.once('close', (code, signal) => done(code === 0 ? undefined : (signal ?? `status ${code}`)))
  })
  if (how === undefined) return ours
  ours.destroy()
  throw fail(
    'VIR_ERR_SYSTEM_ERROR',
    `${helper} --br=${bridge}: failed to communicate with bridge helper: ${words.trim() || how}`
  )
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/** Names the devices that QEMU's helper has made, as QEMU has them. */
export async function nameDevices({ def, context }: HostGuest, qemu: ProcessIdentity): Promise<void> {
  const nameless = def.devices.interfaces.filter(dev => isHelped(actualInterface(dev), context))
  let names: string[] = []
  for (const deadline = Date.now() + NAMES_LIMIT_MS; names.length < nameless.length && isAlive(qemu); ) {
    if (Date.now() >= deadline) break
    await sleep(NAMES_POLL_MS)
    names = tapsOf(qemu.pid)
  }
  nameless.forEach((dev, i) => {
    if (names[i] !== undefined) nameDevice(dev, names[i])
  })
}

/** The taps a process has open, in the order of their descriptors. */
function tapsOf(pid: number): string[] {
  const info = (fd: number) => readFileSync(`/proc/${pid}/fdinfo/${fd}`, 'utf8')
  try {
    const open = readdirSync(`/proc/${pid}/fdinfo`).map(Number)
    const names = open.sort((a, b) => a - b).flatMap(fd => /^iff:\s*(\S+)/m.exec(info(fd))?.[1] ?? [])
    return [...new Set(names)]
  } catch {
    // one was just closed
    return []
  }
}
