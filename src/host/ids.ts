// User and group names of the host as numbers (virGetUserID, virGetGroupID).
import { readFileSync } from 'node:fs'
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

/** The name of a user there is. */
export const userName = (uid: number): string | undefined =>
  entry('/etc/passwd', fields => fields[2] === String(uid))?.[0]

/** The group a user is in by default; that of the same number for a user there is not. */
export function primaryGroupId(uid: number): number {
  const found = entry('/etc/passwd', fields => fields[2] === String(uid))
  return found ? Number(found[3]) : uid
}
