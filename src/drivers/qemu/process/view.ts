// QEMU's own view of the host's files: none but the host's own yet.
import type { QemuDomain } from '../domain/domain.ts'

/** Has QEMU see files of the host. */
export async function admitToView(_domain: QemuDomain, _paths: readonly string[]): Promise<void> {}

/** Hides them from it. */
export async function dismissFromView(_domain: QemuDomain, _paths: readonly string[]): Promise<void> {}
