// Input of commands: a file, or `-` for standard input.
import { readFileSync } from 'node:fs'
import { buffer } from 'node:stream/consumers'
import { errnoText } from '../conf/errno.ts'
import { ClientError } from './failure.ts'

/** Its bytes. @throws Error of node:fs where there is no such file */
export const readInput = async (file: string): Promise<Buffer> =>
  file === '-' ? await buffer(process.stdin) : readFileSync(file)

/** The same. @throws ClientError in virsh's words */
export async function readOrFail(file: string): Promise<Buffer> {
  try {
    return await readInput(file)
  } catch (error) {
    throw new ClientError(`Failed to open file '${file}': ${errnoText(error)}`)
  }
}
