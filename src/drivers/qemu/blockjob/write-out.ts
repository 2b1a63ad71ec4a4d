// Images written out while QEMU has them. Where the clusters of an image are is in QEMU's own cache until somebody flushes
// it, and no job does that at its end: should QEMU be killed then, what the job wrote is lost.
import { open } from 'node:fs/promises'
import type { DiskDef } from '../../../conf/devices/disk.ts'
import { isLocalStorage, type StorageSource } from '../../../conf/storage/source.ts'
import { reopenImage } from '../block/nodes.ts'
import { diskUse } from '../device/disk/backend.ts'
import type { QemuDomain } from '../domain/domain.ts'

/** Has QEMU write out all it knows of an image that it may write to. @throws VIR_ERR_INTERNAL_ERROR with QEMU's words */
export async function writeOut({ qmp, context }: QemuDomain, disk: DiskDef, image: StorageSource): Promise<void> {
  // QEMU stands still as long as it waits for the host's disk, which has most of it by then
  if (isLocalStorage(image) && image.path !== undefined) await sync(image.path).catch(() => undefined)
  // no command does just that: it is part of opening an image anew
  await reopenImage(qmp, image, context.qemu, { ...diskUse(disk), readOnly: false })
}

async function sync(path: string): Promise<void> {
  const file = await open(path)
  try {
    await file.datasync()
  } finally {
    await file.close()
  }
}
