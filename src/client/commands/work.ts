// Commands on what a guest has put by: saved images.
import { type Commands, type DomainCall, onDomain } from '../command.ts'
import { saying } from '../failure.ts'

async function managedSaveRemove({ shim, session, wanted }: DomainCall): Promise<void> {
  const check = shim.call('virDomainHasManagedSaveImage')
  const { result } = await saying('Failed to check for domain managed save image', check)
  if (!result) return session.printExtra(`Domain '${wanted}' has no manage save image; removal skipped`)
  const removal = shim.call('virDomainManagedSaveRemove', {})
  await saying(`Failed to remove managed save image for domain '${wanted}'`, removal)
  session.printExtra(`Removed managedsave image for domain '${wanted}'`)
}

export const work: Commands = {
  'managedsave-remove': onDomain('Remove managed save of a domain', {}, managedSaveRemove)
}
