// <iommu>
import type { Def } from '../element.ts'
import { deviceInfo } from './device-info.ts'
import { deviceFamily } from './family.ts'

export const iommuFields = { ...deviceInfo }
export type IommuDef = Def<typeof iommuFields>

export const iommu = deviceFamily({ element: 'iommu', fields: iommuFields })
