// The guest of a shim without any process: its definitions and state, and a monitor that answers as a test says.
import type { VirError } from '../../src/conf/error.ts'
import type { Connect } from '../../src/drivers/connection.ts'
import { loadDomain } from '../../src/drivers/qemu/definition/passes.ts'
import { QemuDomain } from '../../src/drivers/qemu/domain/domain.ts'
import { Run } from '../../src/drivers/qemu/domain/run.ts'
import { handleQmpEvent } from '../../src/drivers/qemu/events/index.ts'
import { findMethod } from '../../src/drivers/qemu/index.ts'
import type { QmpMonitor } from '../../src/drivers/qemu/monitor/qmp.ts'
import { type Call, dispatch } from '../../src/server/dispatch.ts'
import { guestRoot } from '../../src/state/root.ts'
import { testContext } from './definition.ts'
import { bareGuest } from './shim.ts'

/** What the monitor answers to a command; what it throws is QEMU's refusal. */
export type Answers = Record<string, (args: Record<string, unknown>) => unknown>

export interface BareOptions {
  active?: boolean
  persistent?: boolean
  answers?: Answers
}

/** @param dir an empty directory of the test's own */
export async function bareDomain(dir: string, { active = true, persistent = true, answers = {} }: BareOptions = {}) {
  const contextFor = async () => testContext()
  const { def, context } = await loadDomain(bareGuest('t-bare'), contextFor)
  const errors: Error[] = []
  const log = {
    debug() {},
    info() {},
    warn() {},
    error: (values: object) => errors.push((values as { err: Error }).err)
  }
  const domain = new QemuDomain({ root: guestRoot(dir), def, context, contextFor, log, onEvent: handleQmpEvent })
  if (persistent) domain.definitions.setPersistent(def)
  if (active) {
    domain.definitions.separate()
    const run = new Run(context)
    run.phase = 'running'
    run.monitor = {
      closed: false,
      execute: async (command: string, args: Record<string, unknown> = {}) => {
        const answer = answers[command]
        if (!answer) throw new Error(`nobody expected ${command}`)
        return answer(args)
      },
      passFile: async (fdname: string) => answers.getfd?.({ fdname })
    } as unknown as QmpMonitor
    domain.run = run
    domain.id = 1
    domain.setRunning()
  }
  const tell = (event: string, data: Record<string, unknown>) => domain.handleEvent({ event, data, timestampUs: 1 })
  /** Calls an API on it, as a writer unless told otherwise. */
  const call = (api: string, values: object = {}, more: Partial<Call> = {}) =>
    dispatch(
      { domain, connect: {} as Connect },
      { row: findMethod(api)!, values, readOnly: false, ...more }
    ) as Promise<Record<string, never>>
  return { domain, errors, tell, call }
}

/** What `work` throws. */
export async function failureOf(work: () => unknown): Promise<VirError> {
  try {
    await work()
  } catch (error) {
    return error as VirError
  }
  throw new Error('it was to fail')
}
