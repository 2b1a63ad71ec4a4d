// All that is fuzzed.
import type { Target } from './target.ts'
import { FILE_TARGETS } from './targets/files.ts'
import { HTTP_TARGETS } from './targets/http.ts'
import { QEMU_TARGETS } from './targets/qemu.ts'
import { RPC_TARGETS } from './targets/rpc.ts'
import { XML_TARGETS } from './targets/xml.ts'

export const TARGETS: readonly Target[] = [
  ...XML_TARGETS,
  ...RPC_TARGETS,
  ...HTTP_TARGETS,
  ...QEMU_TARGETS,
  ...FILE_TARGETS
]
