// <iommu>: QEMU's defaults, checks and arguments.
import type { IommuDef } from '../../../conf/devices/iommu.ts'
import type { Command } from './command.ts'
import type { QemuFamily } from './family.ts'

export const qemuIommu: QemuFamily<IommuDef> = {}

export function iommusArgs(_command: Command): void {}
