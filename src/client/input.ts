// Input of commands: a file, or `-` for standard input.
import { readFileSync } from 'node:fs'
import { buffer } from 'node:stream/consumers'

/** Its bytes. @throws Error of node:fs where there is no such file */
export const readInput = async (file: string): Promise<Buffer> =>
  file === '-' ? await buffer(process.stdin) : readFileSync(file)
