// A file of ours that QEMU writes into: its user may make none in the guest's directory.
import { closeSync, openSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { randomUUID } from '../../../conf/random.ts'
import { giveTo } from '../../../host/owner.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { admitToView, dismissFromView } from './view.ts'

const PREFIX = 'written-'

/**
 * Has QEMU write a file, which is gone afterwards.
 * @param work tells QEMU to write, and reads what it wrote by the descriptor
 */
export async function withWrittenFile<T>(
  domain: QemuDomain,
  name: string,
  work: (filename: string, fd: number) => Promise<T>
): Promise<T> {
  const { root, running } = domain
  const filename = join(root.dir, `${PREFIX}${name}.${randomUUID()}`)
  const fd = openSync(filename, 'wx+', 0o600)
  try {
    giveTo(filename, running.owner)
    await admitToView(domain, [filename])
    return await work(filename, fd)
  } finally {
    closeSync(fd)
    await dismissFromView(domain, [filename])
    rmSync(filename, { force: true })
  }
}

/** Removes what a shim that was killed meanwhile has left. */
export function removeWritten({ root }: Pick<QemuDomain, 'root'>): void {
  for (const name of readdirSync(root.dir)) if (name.startsWith(PREFIX)) rmSync(join(root.dir, name), { force: true })
}
