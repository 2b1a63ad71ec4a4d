// <launchSecurity>
import type { Fields } from '../element.ts'

export const launchSecurityFields = {} satisfies Fields
