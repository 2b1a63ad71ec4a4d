// What a dry run of a migration finds on one side: everything that its phases would refuse, not just the first.
import { type ErrorJson, toVirError, VirError } from '../../../conf/error.ts'
import type { Refuse } from '../../../conf/refuse.ts'
import { ResourceTaken } from '../../../state/claim.ts'
import { FINDINGS_MAX, type Finding } from '../../migration.ts'

/** What is looked at. */
export type Subject =
  | 'certificates'
  | 'cookie'
  | 'definition'
  | 'destination'
  | 'devices'
  | 'disks'
  | 'firmware'
  | 'flags'
  | 'guest'
  | 'hooks'
  | 'memory'
  | 'name'
  | 'parameters'
  | 'resources'
  | 'secrets'

type Severity = 'error' | 'warning'

export class Findings {
  readonly list: Finding[] = []
  readonly #side: 'source' | 'destination'

  constructor(side: 'source' | 'destination') {
    this.#side = side
  }

  get hasErrors(): boolean {
    return this.list.some(({ severity }) => severity === 'error')
  }

  /**
   * Makes checks, which tell of what they refuse; one that throws ends them.
   * @returns what they give, undefined where they were ended
   */
  async check<T>(about: Subject, checks: (refuse: Refuse) => T | Promise<T>): Promise<T | undefined> {
    try {
      return await checks((error, device) => this.#add('error', about, error, device))
    } catch (error) {
      // what was refused before may be what the next check stumbles over
      if (error instanceof VirError || !this.hasErrors) this.#add('error', about, toVirError(error))
      return undefined
    }
  }

  warn(about: Subject, error: VirError, device?: string): void {
    this.#add('warning', about, error, device)
  }

  #add(severity: Severity, about: Subject, error: VirError, device?: string): void {
    for (const one of error instanceof ResourceTaken ? error.each() : [error]) {
      const isKnown = this.list.some(known => known.message === one.message && known.device === device)
      if (isKnown || this.list.length >= FINDINGS_MAX) continue
      this.list.push({ side: this.#side, severity, about, ...(device !== undefined && { device }), ...jsonOf(one) })
    }
  }
}

/** Without what only some errors have. */
function jsonOf(error: VirError): ErrorJson {
  const { code, codeName, domain, domainName, message } = error.toJSON()
  return { code, codeName, domain, domainName, message }
}
