// The host's secrets: passphrases of images and passwords of storage servers, in libvirt's own files UUID.xml and
// UUID.base64, so that those of a host with libvirt serve too.
import { readdirSync, readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { errorsFrom } from '../conf/error.ts'
import type { SecretLookup } from '../conf/storage/secret.ts'
import { firstChild, parseXml, textOf } from '../conf/xml.ts'

const fail = errorsFrom('VIR_FROM_SECRET')

/** Uses of secrets, with the element of `<usage>` that names the thing used (virSecretUsageType). */
const USAGE_ELEMENT = { volume: 'volume', ceph: 'name', iscsi: 'target', tls: 'name', vtpm: 'name' } as const
export type SecretUsage = keyof typeof USAGE_ELEMENT

export interface SecretStore {
  /**
   * The value of a secret.
   * @throws VIR_ERR_NO_SECRET if there is none or it has no value, VIR_ERR_INVALID_ARG if it is for something else
   */
  value(usage: SecretUsage, lookup: SecretLookup): Uint8Array
}

interface Secret {
  uuid: string
  type: string
  usage: string
  directory: string
}

/** Directories of secrets, ours first. */
export function secretDirectories(privileged: boolean): string[] {
  const config = privileged ? '/etc' : process.env.XDG_CONFIG_HOME || join(homedir(), '.config')
  return ['virshim', 'libvirt'].map(name => join(config, name, 'secrets'))
}

/** The secrets below some directories; files are read when a secret is asked for. */
export function secretStore(directories: string[]): SecretStore {
  return {
    value(usage, lookup) {
      const found = [...secrets(directories)].find(one =>
        'uuid' in lookup ? one.uuid === lookup.uuid : one.type === usage && one.usage === lookup.usage
      )
      if (!found) {
        const [what, text] = Object.entries(lookup)[0]!
        throw fail('VIR_ERR_NO_SECRET', `no secret with matching ${what} '${text}'`)
      }
      if (found.type !== 'none' && found.type !== usage) {
        throw fail(
          'VIR_ERR_INVALID_ARG',
          `secret with uuid ${found.uuid} is of type '${found.type}' not expected '${usage}' type`
        )
      }
      return readValue(found)
    }
  }
}

function readValue({ uuid, directory }: Secret): Uint8Array {
  try {
    return Buffer.from(readFileSync(join(directory, `${uuid}.base64`), 'ascii'), 'base64')
  } catch (error) {
    throw fail('VIR_ERR_NO_SECRET', `secret '${uuid}' does not have a value`, error)
  }
}

function* secrets(directories: string[]): Generator<Secret> {
  for (const directory of directories) {
    for (const name of filesOf(directory)) {
      const secret = name.endsWith('.xml') && readSecret(directory, name)
      if (secret) yield secret
    }
  }
}

function filesOf(directory: string): string[] {
  try {
    return readdirSync(directory).sort()
  } catch {
    return []
  }
}

/** A secret's description; one that cannot be read is none. */
function readSecret(directory: string, name: string): Secret | undefined {
  try {
    const node = parseXml(readFileSync(join(directory, name), 'utf8'), '(definition_of_secret)')
    const usage = firstChild(node, 'usage')
    const type = usage?.attributes.type ?? 'none'
    const of = usage && Object.hasOwn(USAGE_ELEMENT, type) && firstChild(usage, USAGE_ELEMENT[type as SecretUsage])
    return { uuid: name.slice(0, -'.xml'.length), type, usage: of ? textOf(of) : '', directory }
  } catch {
    return undefined
  }
}
