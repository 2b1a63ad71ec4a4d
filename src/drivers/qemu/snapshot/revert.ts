import type { QemuDomain } from '../domain/domain.ts'
export async function revertToSnapshot(domain: QemuDomain, name: string, bits: number): Promise<void> {
  throw new Error(`${domain.name} ${name} ${bits}`)
}
