// Owners of files that a guest's QEMU opens, where it runs as a user of its own: given to that user, and given back as
// they were (security_dac.c, security_util.c). The former owner is remembered in the file as libvirt does, so that a
// libvirtd of the host and we respect each other, and where there are no such attributes by whoever asked.
import { type ChildProcess, spawn } from 'node:child_process'
import { statSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { systemError } from '../conf/errno.ts'
import { type ErrorCode, errorsFrom, type VirError } from '../conf/error.ts'
import { bootId, isAlive, type ProcessIdentity, processIdentity } from '../state/status.ts'
import { WORKER } from './dac-worker.ts'
import { PYTHON } from './made-files.ts'
import type { OwnerIds } from './owner.ts'

const fail = errorsFrom('VIR_FROM_SECURITY')

/** libvirt tries for 10 s to lock a file; a request may have many. */
const LIMIT_MS = 60_000
const POLL_MS = 5
/** Files have little room for attributes. */
const MARK_DIGITS = 8

/** A file that a user is to have, and all that has to be known of it to take it back. */
export interface GivenFile extends OwnerIds {
  path: string
  /** it becomes the user's; else others may have it too, and the user is let in beside them, if it is not anyway */
  own: boolean
  /** of one that is not its own: it writes to it */
  write: boolean
  /** whose it was */
  was: OwnerIds
  /** which file it is, in decimal digits */
  dev: string
  ino: string
  /** absent until it is known */
  how?: How
}

/** How a user has a file: as its owner, by an entry of the file's ACL, or it could open the file anyway. */
export type How = 'owner' | 'acl' | 'none'

interface Answer {
  how: How[]
  failures: { code: ErrorCode; message: string }[]
}

/** A file as it is now. @throws VIR_ERR_SYSTEM_ERROR where it is not there (virSecurityDACSetOwnership) */
export function fileToGive(path: string, ids: OwnerIds, { own, write }: Pick<GivenFile, 'own' | 'write'>): GivenFile {
  try {
    const { uid, gid, dev, ino } = statSync(path, { bigint: true })
    const was = { uid: Number(uid), gid: Number(gid) }
    return { path, ...ids, own, write, was, dev: String(dev), ino: String(ino) }
  } catch (error) {
    throw systemError('VIR_FROM_SECURITY', `unable to stat: ${path}`, error)
  }
}

export interface OwnerRequest {
  /** of the host, in which the files were given; absent: this one */
  boot?: string
  /** of the guest's run: what one has given another does not take back */
  run: string
  /** no other guest's QEMU is that user */
  alone: boolean
  /** groups the user is in beside its own */
  groups: readonly number[]
  give: readonly GivenFile[]
  back: readonly GivenFile[]
}

/**
 * One process for a request. It waits until it is told, does all of it then whatever becomes of us, and ends. What it
 * is going to do must be on disk before it is told: a shim that comes after a killed one waits for it to end.
 */
export class OwnerChange {
  readonly #child: ChildProcess
  readonly identity: ProcessIdentity | undefined

  constructor() {
    this.#child = spawn(PYTHON, ['-ISc', WORKER], {
      stdio: ['pipe', 'pipe', 'ignore'],
      env: {},
      detached: true,
      cwd: '/'
    })
    this.#child.on('error', () => undefined)
    this.#child.stdin?.on('error', () => undefined)
    this.identity = this.#child.pid === undefined ? undefined : processIdentity(this.#child.pid)
  }

  /**
   * Gives all files or none, and takes back all it can.
   * @returns how each is given, and why some are not taken back
   * @throws VIR_ERR_OPERATION_INVALID for one that is another's at the moment, VIR_ERR_SYSTEM_ERROR
   */
  async tell(request: OwnerRequest): Promise<{ how: How[]; left: VirError[] }> {
    const { boot = bootId(), run, ...rest } = request
    const names = { boot: boot.slice(0, MARK_DIGITS), run: run.slice(0, MARK_DIGITS) }
    const { how, failures } = await this.#answer(JSON.stringify({ ...names, ...rest }))
    const errors = failures.map(({ code, message }) => fail(code, message))
    if (how.length < request.give.length) throw errors.at(-1)
    return { how, left: errors }
  }

  #answer(request: string): Promise<Answer> {
    const child = this.#child
    let said = ''
    child.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
      said += chunk
    })
    return new Promise((resolve, reject) => {
      const silent = (cause?: unknown) => {
        clearTimeout(timer)
        reject(fail('VIR_ERR_SYSTEM_ERROR', `cannot change the owners of files: ${PYTHON} does not answer`, cause))
      }
      const timer = setTimeout(silent, LIMIT_MS)
      child.once('error', silent)
      child.once('close', () => {
        try {
          const answer = JSON.parse(said) as Answer
          clearTimeout(timer)
          resolve(answer)
        } catch (error) {
          silent(error)
        }
      })
      child.stdin?.end(request)
    })
  }
}

/** Waits for a change that a process before this one has begun. */
export async function changeOver(identity: ProcessIdentity | undefined): Promise<void> {
  for (const deadline = Date.now() + LIMIT_MS; identity && isAlive(identity) && Date.now() < deadline; )
    await sleep(POLL_MS)
}
