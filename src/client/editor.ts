// Text that the user edits in an editor of theirs (vshEditFile), and what becomes of XML that is edited (virsh-edit.c).
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ClientError } from './failure.ts'
import type { Session } from './session.ts'

/** An editor that is a program's name or path; one with options is for the shell to take apart. */
const PLAIN = /^[\w/.+-]+$/

/** Has the user edit a text. @returns what they made of it @throws ClientError where the editor fails */
function edited(text: string, suffix: string): string {
  const { VISUAL, EDITOR } = process.env
  const editor = VISUAL ?? EDITOR ?? 'vi'
  const dir = mkdtempSync(join(tmpdir(), 'virshim-'))
  try {
    const file = join(dir, `edited${suffix}`)
    writeFileSync(file, text, { mode: 0o600 })
    const [program, args] = PLAIN.test(editor) ? [editor, [file]] : ['sh', ['-c', `${editor} "$1"`, 'sh', file]]
    const { error, status, signal } = spawnSync(program, args, { stdio: 'inherit' })
    if (error) throw new ClientError(`internal error: cannot run ${editor}: ${error.message}`)
    if (status !== 0) throw new ClientError(`internal error: ${editor} ended with ${signal ?? `status ${status}`}`)
    return readFileSync(file, 'utf8')
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}

/** Something whose XML can be changed. */
export interface Editable {
  get(): Promise<string>
  /** @throws ClientError where it is refused */
  define(xml: string): Promise<unknown>
  /** it is defined also where nothing has been changed */
  always?: boolean
}

/**
 * Has the user edit XML, again where it is refused and they want to; who has no terminal does not.
 * @returns false where nothing is changed
 * @throws ClientError where the editor fails, and for what is refused in the end
 */
export async function editXml(session: Session, { get, define, always = false }: Editable): Promise<boolean> {
  let before = await get()
  let text = before
  for (let answer: Answer = 'y'; answer !== 'n'; ) {
    if (answer === 'y') text = edited(text, '.xml')
    if (answer === 'y' && text === before && !always) return false
    const now = await get()
    const refusal = now === before ? await refusalOf(define(text)) : new ClientError(CHANGED)
    if (!refusal) return true
    before = now
    if (!process.stdin.isTTY) throw refusal
    answer = await answerTo(session, refusal)
  }
  throw new ClientError()
}

const CHANGED = 'The XML configuration was changed by another user.'

async function refusalOf(call: Promise<unknown>): Promise<ClientError | undefined> {
  try {
    await call
    return undefined
  } catch (error) {
    if (error instanceof ClientError) return error
    throw error
  }
}

/** What a user wants done about a refusal (vshAskReedit). */
const ANSWERS = {
  y: 'yes, start editor again',
  n: 'no, throw away my changes',
  f: 'force, try to redefine again'
} as const
type Answer = keyof typeof ANSWERS

async function answerTo(session: Session, { lines }: ClientError): Promise<Answer> {
  const { stdin } = process
  for (const line of lines) session.warn(line)
  stdin.setRawMode(true)
  try {
    for (;;) {
      session.print('\rFailed. Try again? [y,n,f,?]: ')
      const [typed] = await once(stdin, 'data')
      const key = String(typed).toLowerCase()
      if (Object.hasOwn(ANSWERS, key)) return key as Answer
      const help = [...Object.entries(ANSWERS), ['?', 'print this help']]
      if (key === '?') session.print(`\r\n${help.map(([one, means]) => `${one} - ${means}\r\n`).join('')}`)
    }
  } finally {
    stdin.setRawMode(false)
    stdin.pause()
    session.print('\r\n')
  }
}
