// The API table: every area's rows in one object. HTTP routes, OpenAPI, RPC procedures and the client come from it.
import type { Method } from '../method.ts'
import { block } from './block.ts'
import { consoleArea } from './console.ts'
import { define } from './define.ts'
import type { QemuDomain } from './domain.ts'
import { guest } from './guest.ts'
import { interfaces } from './interface.ts'
import { lifecycle } from './lifecycle.ts'
import { memory } from './memory.ts'
import { stats } from './stats.ts'
import { vcpu } from './vcpu.ts'

export const api = {
  ...lifecycle,
  ...define,
  ...stats,
  ...memory,
  ...vcpu,
  ...block,
  ...interfaces,
  ...consoleArea,
  ...guest
} satisfies Record<string, Method<QemuDomain>>

/** The row of an API by its name, undefined if there is none. */
export function findMethod(name: string): Method<QemuDomain> | undefined {
  return Object.hasOwn(api, name) ? (api as Record<string, Method<QemuDomain>>)[name] : undefined
}
