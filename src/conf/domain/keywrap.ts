// <keywrap>
import type { Fields } from '../element.ts'

export const keywrapFields = {} satisfies Fields
