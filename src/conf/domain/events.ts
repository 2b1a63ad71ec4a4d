// <on_poweroff>, <on_reboot>, <on_crash>, <on_lockfailure>
import type { Fields } from '../element.ts'

export const eventFields = {} satisfies Fields
