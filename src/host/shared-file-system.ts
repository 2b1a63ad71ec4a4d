// File systems that several hosts see: images on them are where a guest goes (virFileIsSharedFSType, virFileIsClusterFS).
import { statfsSync } from 'node:fs'
import { dirname } from 'node:path'

/** Magic numbers of statfs(2); `cluster`: its caches are kept alike on all hosts. */
const SHARED = new Map<number, { cluster?: true }>([
  [0x6969, {}], // NFS
  [0x0116_1970, { cluster: true }], // GFS2
  [0x7461_636f, { cluster: true }], // OCFS2
  [0x6b41_4653, {}], // AFS
  [0x517b, {}], // SMB
  [0xff53_4d42, {}], // CIFS
  [0xfe53_4d42, {}], // SMB2
  [0x00c3_6400, { cluster: true }], // CEPH
  [0x4750_4653, {}], // GPFS
  [0x6163_6673, {}], // ACFS
  [0x1983_0326, {}] // BeeGFS
])

/** How a file's place is shared between hosts; undefined for one that only this host has, or that cannot be looked at. */
export function sharedFileSystem(path: string): { cluster?: true } | undefined {
  for (let at = path; ; at = dirname(at)) {
    try {
      return SHARED.get(statfsSync(at).type >>> 0)
    } catch {
      if (at === dirname(at)) return undefined
    }
  }
}
