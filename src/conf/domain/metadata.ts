// <metadata>
import type { Fields } from '../element.ts'

export const metadataFields = {} satisfies Fields
