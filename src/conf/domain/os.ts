// <os>, <bootloader>
import type { Fields } from '../element.ts'

export const osFields = {} satisfies Fields
