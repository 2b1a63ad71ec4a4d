// Dirty bitmaps carried along by jobs: what checkpoints know stays known where chains change.

import type { StorageSource } from '../../../conf/storage/source.ts'
import type { KnownImages } from '../block/bitmaps.ts'
import { type Action, forgetWrites, queryBlockNodes, recordWrites } from '../block/bitmaps.ts'
import type { QemuDomain } from '../domain/domain.ts'

/** Has QEMU do what is made of the bitmaps it has; nothing where there is nothing to do. */
export async function carryBitmaps(
  { qmp, context }: QemuDomain,
  make: (known: KnownImages) => Action[]
): Promise<void> {
  const nodes = await queryBlockNodes(qmp)
  const actions = make({ nodes, qemu: context.qemu })
  if (actions.length > 0) await qmp.execute('transaction', { actions })
}

/** Records from now on what a guest writes to an image it is about to go on with; a failure changes nothing. */
export async function recordFrom({ qmp, context, log }: QemuDomain, image: StorageSource): Promise<void> {
  const actions = [recordWrites(context, image)]
  await qmp.execute('transaction', { actions }).catch(error => {
    log.warn({ err: error }, 'what is written from the end of a job on is not recorded')
  })
}

/** Forgets it where the guest has not gone on. */
export async function forgetRecord({ qmp, context }: QemuDomain, image: StorageSource): Promise<void> {
  await qmp.execute('transaction', { actions: [forgetWrites(context, image)] }).catch(() => undefined)
}
