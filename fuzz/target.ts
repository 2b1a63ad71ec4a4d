// What is fuzzed, and what counts as a fault: anything but an answer or an error meant for whoever sent the input; more
// than a second of CPU time; an answer that contradicts itself, as a document which reads as another once it is written.
import { VirError } from '../src/conf/error.ts'

export interface Target {
  /** as the command line has it: `area/what` */
  name: string
  /** XML, JSON and the like, or bytes with numbers and lengths in them */
  kind: 'text' | 'bytes'
  /** so many times fewer executions are asked of it: it takes that much longer */
  cost?: number
  /** valid inputs, each of which takes another way */
  corpus(): (string | Buffer)[]
  /** words of the language */
  words?: readonly string[]
  /** errors of other classes that say what is wrong with the input */
  refusals?: readonly (new (
    ...args: never[]
  ) => Error)[]
  /**
   * Takes an input as the program does.
   * @returns something that tells ways through the code apart, if there is more than one
   * @throws Fault for what must not be; VirError and `refusals` for what is wrong with the input
   */
  run(input: Buffer): unknown
}

/** The program contradicts itself. */
export class Fault extends Error {}

/** CPU time an input of at most INPUT_MAX bytes may take. */
const LIMIT_MS = 1000

export interface Outcome {
  /** of inputs that went the same way it is the same */
  way: string
  /** set if something is wrong with the program */
  fault?: string
}

const masked = (text: string): string =>
  text
    .slice(0, 200)
    .replace(/'[^']*'|"[^"]*"/g, "''")
    .replace(/\d+/g, '0')

/** Runs an input. */
export async function outcomeOf(target: Target, input: Buffer): Promise<Outcome> {
  const begun = process.cpuUsage()
  const outcome = await wayOf(target, input)
  const { user, system } = process.cpuUsage(begun)
  const usedMs = (user + system) / 1000
  return usedMs > LIMIT_MS && outcome.fault === undefined
    ? { ...outcome, fault: `took ${usedMs.toFixed(0)} ms of CPU time` }
    : outcome
}

async function wayOf(target: Target, input: Buffer): Promise<Outcome> {
  try {
    return { way: `taken ${masked(String((await target.run(input)) ?? ''))}` }
  } catch (error) {
    const { name, message, stack } = error as Error
    if (error instanceof VirError) return { way: `${error.code} ${masked(message)}` }
    const isFault = error instanceof Fault
    if (!isFault && target.refusals?.some(kind => error instanceof kind)) return { way: `${name} ${masked(message)}` }
    return { way: 'fault', fault: stack ?? String(error) }
  }
}
