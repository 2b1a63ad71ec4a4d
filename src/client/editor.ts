// Text that the user edits in an editor of theirs (vshEditFile).
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ClientError } from './failure.ts'

/** An editor that is a program's name or path; one with options is for the shell to take apart. */
const PLAIN = /^[\w/.+-]+$/

/** Has the user edit a text. @returns what they made of it @throws ClientError where the editor fails */
export function edited(text: string, suffix: string): string {
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
