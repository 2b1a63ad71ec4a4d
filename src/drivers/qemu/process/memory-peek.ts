// A look into the guest's memory (qemuDomainMemoryPeek).
import { readSync } from 'node:fs'
import { errorsFrom } from '../../../conf/error.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { withWrittenFile } from './written-file.ts'

const fail = errorsFrom('VIR_FROM_RPC')

/** libvirt's REMOTE_DOMAIN_MEMORY_PEEK_BUFFER_MAX. */
const SIZE_MAX = 4 * 1024 * 1024

/**
 * Bytes at an address; what QEMU does not write is zero.
 * @param isVirtual as the first vCPU sees it, else physical
 * @throws VIR_ERR_INTERNAL_ERROR with QEMU's words, and for more than a reply can have
 */
export async function peekMemory(
  domain: QemuDomain,
  start: bigint,
  size: number,
  isVirtual: boolean
): Promise<Uint8Array> {
  if (size > SIZE_MAX) throw fail('VIR_ERR_INTERNAL_ERROR', 'size > maximum buffer size')
  return withWrittenFile(domain, 'memory', async (filename, fd) => {
    await domain.qmp.execute(isVirtual ? 'memsave' : 'pmemsave', { val: start, size, filename })
    const buffer = Buffer.alloc(size)
    readSync(fd, buffer, 0, size, 0)
    return buffer
  })
}
