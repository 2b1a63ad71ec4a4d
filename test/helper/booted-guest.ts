// The Linux of examples/tiny.xml in guests of any form: what it answers through its agent, how it ends.
import { spawnSync } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { Shim } from './shim.ts'

const KERNEL = '/var/tmp/virshim-guest/vmlinuz'
const INITRD = '/var/tmp/virshim-guest/initrd'
const CMDLINE = 'console=ttyS0 quiet panic=-1'
const RUNNING = 1
/** Firmware and kernel under TCG, on a machine that others use too. */
const BOOT_LIMIT_MS = 240_000
/** An agent that is about to start may lose what it is asked. */
const AGENT_LIMIT_S = 30

/** Where they are. */
export const tinyGuestFiles = { kernel: KERNEL, initrd: INITRD }

/** What `<os>` says of it. */
export const DIRECT_BOOT = `<kernel>${KERNEL}</kernel><initrd>${INITRD}</initrd><cmdline>${CMDLINE}</cmdline>`
/** The same for virt-install's --boot. */
export const DIRECT_BOOT_OPTION = `kernel=${KERNEL},initrd=${INITRD},kernel_args=${CMDLINE}`

/** Makes kernel and initrd, where they are not there. @throws Error saying what is missing */
export function makeGuestFiles(): void {
  const { status, stderr } = spawnSync('bash', ['scripts/build-guest'], { encoding: 'utf8' })
  if (status !== 0) throw new Error(stderr)
}

export class BootedGuest {
  readonly shim: Shim
  /** Settles with virshimd's status. */
  readonly ended: Promise<number | string>

  private constructor(xml: string) {
    this.shim = new Shim(xml)
    this.ended = this.shim.start()
  }

  /** Settles when the guest's agent answers. @param xml has the agent's channel @throws Error when it does not */
  static async boot(xml: string): Promise<BootedGuest> {
    const guest = new BootedGuest(xml)
    try {
      await guest.shim.untilState(RUNNING, BOOT_LIMIT_MS)
      await guest.untilAgent()
    } catch (error) {
      await guest.end()
      throw error
    }
    return guest
  }

  /** Settles when its agent answers. @throws Error when it does not */
  async untilAgent(): Promise<void> {
    const deadline = Date.now() + BOOT_LIMIT_MS
    while (Date.now() < deadline) {
      const { status, body } = await this.agent('guest-ping')
      if (status === 200) return
      if (body.codeName !== 'VIR_ERR_AGENT_UNRESPONSIVE') throw new Error(body.message)
      await sleep(100)
    }
    throw new Error(`no agent answers: ${this.shim.stderr}`)
  }

  /** A command of the agent's. */
  agent(execute: string, args?: object) {
    const cmd = JSON.stringify({ execute, ...(args && { arguments: args }) })
    return this.shim.call('virDomainQemuAgentCommand', { cmd, timeout: AGENT_LIMIT_S, flags: 0 })
  }

  /** What a shell command prints in the guest. @throws Error when it fails */
  async run(command: string): Promise<string> {
    const started = await this.agent('guest-exec', { path: 'sh', arg: ['-c', command], 'capture-output': true })
    const { pid } = JSON.parse(started.body.result).return
    for (;;) {
      const { body } = await this.agent('guest-exec-status', { pid })
      const { exited, exitcode, 'out-data': out = '', 'err-data': err = '' } = JSON.parse(body.result).return
      if (!exited) await sleep(100)
      else if (exitcode === 0) return Buffer.from(out, 'base64').toString().trim()
      else throw new Error(`${command}: ${exitcode} ${Buffer.from(err, 'base64')}`)
    }
  }

  end(): Promise<void> {
    return this.shim.end()
  }
}
