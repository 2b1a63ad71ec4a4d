// Commands of the client against an API that answers what a row says.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import type { Commands } from '../../src/client/command.ts'
import { type Answers, Refused, runCommand, StandInApi } from './stand-in-api.ts'
import { words } from './virsh.ts'

/** Where the API's socket is, and files of a test's own. */
export const dir = mkdtempSync(join(tmpdir(), 'virshim-command-'))
export const api = new StandInApi(join(dir, 'api.sock'))
await api.listen()
t.teardown(() => {
  api.close()
  rmSync(dir, { recursive: true, force: true })
})

export const uuidOf = (last: number) => `6dfc3c2b-7a4e-4f6e-9f0b-00000000000${last}`

/** A guest that is shut off, as GET /v1/guests tells of it. */
const guest = (number: number, name: string, more: object = {}) => ({
  name,
  uuid: uuidOf(number),
  id: -1,
  state: 5,
  reason: 0,
  persistent: true,
  autostart: false,
  managedSave: false,
  versions: {},
  sockets: {},
  allocations: [],
  ...more
})

export const GUESTS = [
  guest(1, 'tiny', { id: 3, state: 1, persistent: false, versions: { virshim: '0.1.0', qemu: '7.2.22' } }),
  guest(2, 'off'),
  // a name that is another's id
  guest(4, '3', { id: 12, state: 3, autostart: true }),
  guest(5, 'Zed', { managedSave: true }),
  guest(6, 'alpha', { id: 5, state: 7, unreachableSince: 1 })
]

/** An answer that fails, with the line virsh would show. */
export const BOOM = new Refused('it went wrong', 38)

/** A command line, what is answered, what is asked, what is printed, the lines of the error. */
export type Row = [
  line: string | string[],
  answers: Answers,
  asked: string[],
  out: string,
  errors?: string[] | undefined
]

/** What an answer is made of, where it depends on the arguments. */
export type Numbers = Record<string, number>

/** Dashes below a header are as many as test/client/table.test.ts says. */
const shortened = (text: string) => text.replace(/^-{3,}$/gm, '---')

/** Runs each row; every command of the group is to be among them, but for those compared elsewhere. */
export async function checkRows(group: Commands, rows: Row[], elsewhere: string[] = []): Promise<void> {
  const untried = new Set(Object.keys(group))
  for (const [line, answers, asked, out, errors] of rows) {
    const given = typeof line === 'string' ? words(line) : line
    untried.delete(given[0]!)
    await t.test(given.join(' '), async t => {
      api.asked = []
      api.answers = { guests: { guests: GUESTS }, ...answers }
      const said = await runCommand(given, { connect: api.socket })
      t.same({ ...said, out: shortened(said.out) }, { out: shortened(out), ...(errors && { errors }) })
      t.same(api.asked, asked)
    })
  }
  t.same([...untried], elsewhere, 'every command is among these')
}
