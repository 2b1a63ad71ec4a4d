// The name a guest has as a machine of the host's (virDomainDriverGenerateMachineName).
import { createHash } from 'node:crypto'
import { userInfo } from 'node:os'

const NAME_MAX = 64

export interface Machine {
  /** libvirt's id of the running guest */
  id: number
  name: string
  /** the guest's own directory, where it was chosen: names are unique only among those in the default one */
  root?: string | undefined
}

/**
 * Appends a name's characters that a host's name can have, without dots and dashes in a row or at the ends
 * (virDomainMachineNameAppendValid).
 */
function appendName(start: string, name: string): string {
  let out = start
  let skip = true
  for (const char of name) {
    if (out.length >= NAME_MAX) break
    if (char === '.' || char === '-') {
      if (!skip) out += char
      skip = true
    } else if (/[a-zA-Z0-9]/.test(char)) {
      out += char
      skip = false
    }
  }
  return out.replace(/[-.]+$/, '')
}

/** The machine name of a guest: `qemu-ID-NAME`, with the user or a hash of the root where that is not the default. */
export function machineName({ id, name, root }: Machine): string {
  const user = process.getuid?.() === 0 ? '' : `${userInfo().username}-`
  const place =
    root === undefined ? `qemu-${user}` : `qemu-embed-${createHash('sha256').update(root).digest('hex').slice(0, 8)}-`
  return appendName(`${place}${id}-`, name)
}
