// Runs a target on inputs made from its corpus. Inputs that go a way which none has gone before join the corpus.
import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { INPUT_MAX, mutate } from './mutate.ts'
import { Random } from './random.ts'
import { type Outcome, outcomeOf, type Target } from './target.ts'

/** Inputs that were faults once, below the name of their target. */
const CASES = 'fuzz/cases'

/** Inputs that join the corpus, at most. */
const JOINED_MAX = 4000

export interface Found {
  input: Buffer
  fault: string
}

export interface Result {
  executions: number
  /** ways that inputs went */
  ways: number
  found: Found[]
  seconds: number
}

export interface Effort {
  executions: number
  seed: number
  /** faults after which it is given up */
  faultsMax?: number
}

/** Inputs of a target that were faults once. */
export function casesOf({ name }: Target): [name: string, input: Buffer][] {
  const dir = join(CASES, name)
  if (!existsSync(dir)) return []
  return readdirSync(dir)
    .sort()
    .map(file => [file, readFileSync(join(dir, file))])
}

/** The same for the same input on every machine. */
export const caseName = (input: Buffer): string => createHash('sha256').update(input).digest('hex').slice(0, 16)

/** Runs the corpus and the cases as they are, then inputs made from them. */
export async function fuzz(target: Target, { executions, seed, faultsMax = 5 }: Effort): Promise<Result> {
  const random = new Random(seed)
  const given = [...target.corpus(), ...casesOf(target).map(([, input]) => input)]
  const corpus = given.map(one => Buffer.from(one).toString('latin1').slice(0, INPUT_MAX))
  const joined: string[] = []
  const ways = new Set<string>()
  const faults = new Map<string, Found>()
  const begun = performance.now()
  const tell = (text: string, input: Buffer, { way, fault }: Outcome) => {
    if (fault !== undefined) faults.set(firstLines(fault), { input, fault })
    else if (!ways.has(way) && joined.length < JOINED_MAX) joined.push(text)
    ways.add(way)
  }
  let done = 0
  for (const text of corpus) {
    const input = Buffer.from(text, 'latin1')
    tell(text, input, await outcomeOf(target, input))
    done++
  }
  for (; done < executions && faults.size < faultsMax; done++) {
    const pool = joined.length > 0 && random.oneIn(2) ? joined : corpus
    const text = mutate(random, random.pick(pool), {
      others: corpus,
      words: target.words ?? [],
      isText: target.kind === 'text'
    })
    const input = Buffer.from(text, 'latin1')
    tell(text, input, await outcomeOf(target, input))
  }
  return { executions: done, ways: ways.size, found: [...faults.values()], seconds: (performance.now() - begun) / 1000 }
}

/** Where a fault is: its kind and the place it was thrown. */
const firstLines = (fault: string): string =>
  fault
    .split('\n')
    .slice(0, 3)
    .map((line, i) => (i === 0 ? line.slice(0, 60).replace(/\d+/g, '0') : line))
    .join('\n')
