// <vcpu>, <vcpus>, <iothreads>, <iothreadids>
import type { Fields } from '../element.ts'

export const vcpuFields = {} satisfies Fields
