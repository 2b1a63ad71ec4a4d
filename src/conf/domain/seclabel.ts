// <seclabel>
import type { Fields } from '../element.ts'

export const seclabelFields = {} satisfies Fields
