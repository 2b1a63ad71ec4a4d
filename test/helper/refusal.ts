// What a guest leaves behind, and the check that a virshimd that cannot do its work says why and leaves nothing.
import { existsSync, readdirSync } from 'node:fs'
import type { Test } from 'tap'
import { cgroupsOf, processesNaming } from './processes.ts'
import { Shim } from './shim.ts'

/** Everything a guest that is gone should not have left: files but its log, processes, control groups. */
export function leftovers(root: string, guest: string): unknown[] {
  const files = existsSync(root) ? readdirSync(root).filter(file => file !== 'log') : []
  return [...files, ...processesNaming(root), ...cgroupsOf(guest)]
}

export interface Refusal {
  xml: string | Buffer
  /** exit status of virshimd */
  status: number
  /** what it says, the thing at fault included */
  message: RegExp
  options?: string[]
  /** changes what is there before virshimd starts */
  before?: (shim: Shim) => void | Promise<void>
  /** how long it may take until it has given up and cleaned up */
  limitMs?: number
}

const LIMIT_MS = 15_000

/** Starts virshimd in vain. */
export async function refuses(
  t: Test,
  { xml, status, message, options = [], before, limitMs }: Refusal
): Promise<void> {
  const shim = new Shim(xml)
  t.teardown(() => shim.end())
  await before?.(shim)
  const guest = /<name>([^<]*)</.exec(shim.xml)?.[1] ?? 'no name'
  const inTheWay = leftovers(shim.root, guest)
  const began = Date.now()
  t.equal(await shim.start(...options), status, 'exit status')
  t.ok(Date.now() - began < (limitMs ?? LIMIT_MS), `in ${Date.now() - began} ms`)
  t.match(shim.errors, message)
  t.notMatch(shim.errors, /^ {4}at /m, 'no stack trace')
  t.same(leftovers(shim.root, guest), inTheWay, 'nothing is left')
}
