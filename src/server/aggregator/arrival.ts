// A guest that might come here: what its migration would find, by the shim's own checks. No shim is started for it.
import { checkCreatable } from '../../drivers/known-guest.ts'
import type { Finding, MigrationPhase } from '../../drivers/migration.ts'
import type { Log } from '../../drivers/qemu/domain/domain.ts'
import { checkPreparePhase } from '../../drivers/qemu/migration/check-prepare.ts'
import { contextFor } from '../guest-context.ts'
import type { Guests } from './guests.ts'
import type { Layout } from './layout.ts'
import type { KnownGuest } from './registry.ts'
import type { Resources } from './resources.ts'

export interface ArrivalOptions {
  layout: Layout
  guests: Guests
  resources: Resources
  /** directory of the sockets of libvirt's other drivers, if there are any */
  secondary: string | undefined
  hookDirs: readonly string[]
  log: Log
}

/** Looks at all that would keep a guest from coming. */
export function checkArrival(options: ArrivalOptions, phase: MigrationPhase): Promise<Finding[]> {
  const { layout, guests, resources, secondary, hookDirs, log } = options
  let known: KnownGuest | undefined
  return checkPreparePhase(
    {
      contextFor: def => contextFor(def, layout.guest(def.name), secondary),
      hookDirs,
      log,
      rootOf: ({ name }) => layout.guest(name),
      checkIdentity(def) {
        known = guests.known(def)
        if (known) checkCreatable(known.report)
      },
      look: (def, claimed, refuse) => resources.look(def, known, claimed, refuse)
    },
    phase
  )
}
