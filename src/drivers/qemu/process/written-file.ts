// A file of ours that QEMU writes into: its user may make none in the guest's directory.
import { closeSync, openSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { randomUUID } from '../../../conf/random.ts'
import { giveTo } from '../../../host/owner.ts'
import type { QemuDomain } from '../domain/domain.ts'

/**
 * Has QEMU write a file, which is gone afterwards.
 * @param work tells QEMU to write, and reads what it wrote by the descriptor
 */
export async function withWrittenFile<T>(
  { root, running }: QemuDomain,
  name: string,
  work: (filename: string, fd: number) => Promise<T>
): Promise<T> {
  const filename = join(root.dir, `${name}.${randomUUID()}`)
  const fd = openSync(filename, 'wx+', 0o600)
  try {
    giveTo(filename, running.owner)
    return await work(filename, fd)
  } finally {
    closeSync(fd)
    rmSync(filename, { force: true })
  }
}
