// <features>
import type { Fields } from '../element.ts'

export const featuresFields = {} satisfies Fields
