// User and group names of the host as numbers (virGetUserID, virGetGroupID).
import { readFileSync } from 'node:fs'
import { errorsFrom } from '../../conf/error.ts'
import { uint } from '../../conf/scalar.ts'

const fail = errorsFrom('VIR_FROM_NONE')

function lookUp(file: string, name: string): number | undefined {
  try {
    const line = readFileSync(file, 'utf8')
      .split('\n')
      .find(one => one.startsWith(`${name}:`))
    return line === undefined ? undefined : Number(line.split(':')[2])
  } catch {
    return undefined
  }
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
