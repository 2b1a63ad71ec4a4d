// User and group names of the host as numbers (virGetUserID, virGetGroupID).
import { readFileSync } from 'node:fs'
import type { IdMapEntry } from '../conf/domain/idmap.ts'
import { systemError } from '../conf/errno.ts'
import { errorsFrom } from '../conf/error.ts'
import { uint } from '../conf/scalar.ts'
import { hostFile } from './root.ts'

const fail = errorsFrom('VIR_FROM_NONE')

/** The fields of the entry that is looked for. */
function entry(file: string, wanted: (fields: string[]) => boolean): string[] | undefined {
  try {
    return readFileSync(hostFile(file), 'utf8')
      .split('\n')
      .map(line => line.split(':'))
      .find(wanted)
  } catch {
    return undefined
  }
}

function lookUp(file: string, name: string): number | undefined {
  const found = entry(file, fields => fields[0] === name)
  // the file's last line is empty, and so has a name of its own
  return uint.parse(found?.[2] ?? '')
}

const idIn = (file: string, what: string) => (name: string) => {
  const found = name.startsWith('+') ? undefined : lookUp(file, name)
  const id = found ?? uint.parse(name)
  if (id === undefined) throw fail('VIR_ERR_INVALID_ARG', `Failed to parse ${what} '${name.replace(/^\+/, '')}'`)
  return id
}

/** The id of a user: a name, a number, or a number with '+' that is no name. @throws VIR_ERR_INVALID_ARG */
export const userId = idIn('/etc/passwd', 'user')
/** The id of a group, likewise. @throws VIR_ERR_INVALID_ARG */
export const groupId = idIn('/etc/group', 'group')

/** User and group of a label `USER:GROUP` (virParseOwnershipIds). @throws VIR_ERR_INVALID_ARG */
export function parseOwnerLabel(label: string): { uid: number; gid: number } {
  const [user = '', group, ...more] = label.split(':')
  if (user === '' || !group || more.length > 0) {
    throw fail('VIR_ERR_INVALID_ARG', `Failed to parse uid and gid from '${label}'`)
  }
  return { uid: userId(user), gid: groupId(group) }
}

/** The name of a user there is. */
export const userName = (uid: number): string | undefined =>
  entry('/etc/passwd', fields => fields[2] === String(uid))?.[0]

/** The name of a group there is. */
const groupName = (gid: number): string | undefined => entry('/etc/group', fields => fields[2] === String(gid))?.[0]

/**
 * The ids an unprivileged user may give to others: its own for root, and those subordinate to it behind
 * (qemuVirtioFSPrepareIdMap).
 * @throws VIR_ERR_SYSTEM_ERROR
 */
export function subordinateIdmap(uid: number, gid: number): Record<'uids' | 'gids', IdMapEntry[]> {
  return {
    uids: ownAndSubordinate('/etc/subuid', uid, userName(uid)),
    gids: ownAndSubordinate('/etc/subgid', gid, groupName(gid))
  }
}

function ownAndSubordinate(file: string, id: number, name: string | undefined): IdMapEntry[] {
  const found = subordinateLines(file).find(([whose]) => whose === name || whose === String(id))
  const own = { start: 0, target: id, count: 1 }
  return found ? [own, { start: 1, target: Number(found[1]), count: Number(found[2]) }] : [own]
}

/** The lines up to one that is none: owner, first id, count. */
function subordinateLines(file: string): string[][] {
  const lines = readHostFile(file)
    .split('\n')
    .map(line => line.split(':'))
  const end = lines.findIndex(fields => fields.length !== 3)
  return end < 0 ? lines : lines.slice(0, end)
}

function readHostFile(file: string): string {
  try {
    return readFileSync(hostFile(file), 'utf8')
  } catch (error) {
    throw systemError('VIR_FROM_NONE', `Failed to open file '${file}'`, error)
  }
}

/** The group a user is in by default; that of the same number for a user there is not. */
export function primaryGroupId(uid: number): number {
  const found = entry('/etc/passwd', fields => fields[2] === String(uid))
  return found ? Number(found[3]) : uid
}
