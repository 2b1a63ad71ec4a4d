// Owners of files as the kernel has them, with what is remembered of former ones.
import { execFileSync } from 'node:child_process'
import { statSync } from 'node:fs'

/** `UID:GID MODE` of a file. */
export function ownerOf(path: string): string {
  const { uid, gid, mode } = statSync(path)
  return `${uid}:${gid} ${(mode & 0o777).toString(8)}`
}

const LISTED = `
import json, os, sys
of = {name: os.getxattr(sys.argv[1], name) for name in os.listxattr(sys.argv[1])}
print(json.dumps({name: value.decode('latin1') for name, value in of.items()}))
`

/** Extended attributes of a file by name. */
export const attributesOf = (path: string): Record<string, string> =>
  JSON.parse(execFileSync('/usr/bin/python3', ['-ISc', LISTED, path], { encoding: 'utf8' }))

/** Sets attributes of a file, or with undefined removes one. */
export function setAttributes(path: string, attributes: Record<string, string | undefined>): void {
  const set = `
import json, os, sys
for name, value in json.loads(sys.argv[2]).items():
    if value is None: os.removexattr(sys.argv[1], name)
    else: os.setxattr(sys.argv[1], name, value.encode())
`
  const text = JSON.stringify(attributes, (_, value) => value ?? null)
  execFileSync('/usr/bin/python3', ['-ISc', set, path, text])
}

/** Runs a program as a user of that number alone. @returns true if it succeeded */
export function succeedsAs(uid: number, program: string, ...args: string[]): boolean {
  try {
    execFileSync('setpriv', [`--reuid=${uid}`, `--regid=${uid}`, '--clear-groups', program, ...args], {
      stdio: 'ignore'
    })
    return true
  } catch {
    return false
  }
}
