// A build of the aggregator and the shim that stops at steps of the protocol (src/state/step.ts), where a test tells it
// to. It gives up sooner on who does not answer, too.
import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { build, type Plugin } from 'esbuild'

const PROGRAMS = ['virshimd', 'virshim-aggregatord']
const LIMIT_MS = 60_000
const LOOK_MS = 5

const instead: Plugin = {
  name: 'instead',
  setup({ onResolve, onLoad }) {
    const path = join(process.cwd(), 'test/helper/stopping-step.ts')
    onResolve({ filter: /\/state\/step\.ts$/ }, () => ({ path }))
    onLoad({ filter: /\/src\/host\/keepalive\.ts$/ }, () => ({
      loader: 'ts',
      contents: 'export const KEEPALIVE_INTERVAL_MS = 1000\nexport const KEEPALIVE_COUNT = 9\n'
    }))
  }
}

/** Makes the programs. @param directory where they are to be */
export async function makeStoppingDaemons(directory: string): Promise<void> {
  mkdirSync(directory, { recursive: true })
  for (const program of PROGRAMS) {
    const outfile = join(directory, program)
    await build({
      entryPoints: [`src/programs/${program}.ts`],
      outfile,
      bundle: true,
      format: 'cjs',
      platform: 'node',
      target: 'node20',
      external: ['bufferutil', 'utf-8-validate'],
      banner: { js: '#!/usr/bin/env node' },
      plugins: [instead],
      logLevel: 'warning'
    })
    chmodSync(outfile, 0o755)
  }
}

/** The steps of all daemons that have `env` in their environment. */
export class Steps {
  readonly #dir: string

  constructor(dir: string) {
    mkdirSync(dir, { recursive: true })
    this.#dir = dir
  }

  get env(): Record<string, string> {
    return { VIRSHIM_STEPS: this.#dir }
  }

  /** All that were passed since `forget`. */
  get passed(): string[] {
    const path = join(this.#dir, 'passed')
    return existsSync(path) ? readFileSync(path, 'utf8').split('\n').filter(Boolean) : []
  }

  /** The next daemon that comes to it stops there; whoever stands elsewhere goes on. */
  stopAt(name: string): void {
    rmSync(join(this.#dir, 'reached'), { force: true })
    // at once, or half of a name would be read
    writeFileSync(join(this.#dir, 'stop.new'), name)
    renameSync(join(this.#dir, 'stop.new'), join(this.#dir, 'stop'))
  }

  /** Settles once a daemon stands at the step. @param isOver none will @returns whether one does */
  async reached(isOver: () => boolean): Promise<boolean> {
    for (const deadline = Date.now() + LIMIT_MS; !existsSync(join(this.#dir, 'reached')); await sleep(LOOK_MS)) {
      if (isOver() || Date.now() > deadline) return false
    }
    return true
  }

  goOn(): void {
    for (const name of ['stop', 'reached']) rmSync(join(this.#dir, name), { force: true })
  }

  forget(): void {
    this.goOn()
    rmSync(join(this.#dir, 'passed'), { force: true })
  }
}
