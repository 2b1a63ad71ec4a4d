// A host made of files: what the kernel and the system would show, in a directory of the test's own.
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setHostRoot } from '../../src/host/root.ts'

/** Files by path; a link is told by what it leads to. */
export type HostFiles = Record<string, string | Uint8Array | { to: string }>

/** Carries out the work on a host that has these files and no others. Gives the tree's directory to it. */
export async function onHost(files: HostFiles, work: (root: string) => unknown): Promise<void> {
  const root = mkdtempSync(join(tmpdir(), 'virshim-host-tree-'))
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(join(root, dirname(path)), { recursive: true })
    if (typeof content === 'string' || content instanceof Uint8Array) writeFileSync(join(root, path), content)
    else symlinkSync(content.to, join(root, path))
  }
  setHostRoot(root)
  try {
    await work(root)
  } finally {
    setHostRoot('')
    rmSync(root, { recursive: true, force: true })
  }
}
