// The API table: every area's rows in one object. HTTP routes, OpenAPI, RPC procedures and the client come from it.
import { API_FACTS, type ApiFact } from '../../conf/api-list.ts'
import type { Host } from '../host.ts'
import type { Method } from '../method.ts'
import { block } from './block.ts'
import { connect } from './connect.ts'
import { consoleArea } from './console.ts'
import { define } from './define.ts'
import { definition } from './definition.ts'
import type { QemuDomain } from './domain.ts'
import { guest } from './guest.ts'
import { hostCapabilities } from './host-capabilities.ts'
import { interfaces } from './interface.ts'
import { jobs } from './jobs.ts'
import { lifecycle } from './lifecycle.ts'
import { listing } from './listing.ts'
import { memory } from './memory.ts'
import { node } from './node.ts'
import { nodeDevices } from './node-devices.ts'
import { nodeSettings } from './node-settings.ts'
import { security } from './security.ts'
import { stats } from './stats.ts'
import { vcpu } from './vcpu.ts'

/** An API as it is called: its row, and where it stands in libvirt's protocol. */
export type Api = (({ on: 'domain' } & Method<QemuDomain>) | ({ on: 'connect' } & Method<Host>)) & ApiFact

const rows = {
  ...connect,
  ...listing,
  ...node,
  ...nodeDevices,
  ...nodeSettings,
  ...hostCapabilities,
  ...lifecycle,
  ...define,
  ...definition,
  ...stats,
  ...memory,
  ...vcpu,
  ...block,
  ...interfaces,
  ...consoleArea,
  ...guest,
  ...jobs,
  ...security
} satisfies Record<string, Method<QemuDomain> | Method<Host>>

/** Every API that is implemented, by its name. */
export const api = Object.fromEntries(
  Object.entries(rows).map(([name, row]) => [name, { ...API_FACTS[name], ...row }])
) as Record<keyof typeof rows, Api>

/** The row of an API by its name, undefined if there is none. */
export function findMethod(name: string): Api | undefined {
  return Object.hasOwn(api, name) ? api[name as keyof typeof rows] : undefined
}
