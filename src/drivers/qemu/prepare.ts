// What a start fills in: ports, socket paths, node names (qemuProcessPrepareDomain).
import type { DomainDef } from '../../conf/domain-def.ts'
import type { QemuContext } from './context.ts'

export function prepareDomain(_def: DomainDef, _context: QemuContext): void {}
