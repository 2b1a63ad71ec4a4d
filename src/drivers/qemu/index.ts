// The API table: every area's rows in one object. HTTP routes, OpenAPI, RPC procedures and the client come from it.
import { API_FACTS, type ApiFact } from '../../conf/api-list.ts'
import type { JsonValues, WireValues } from '../../conf/wire.ts'
import type { Connect } from '../connection.ts'
import type { Method } from '../method.ts'
import { agent } from './api/agent.ts'
import { backup } from './api/backup.ts'
import { block } from './api/block.ts'
import { blockTuning } from './api/block-tuning.ts'
import { blockjob } from './api/blockjob.ts'
import { capabilities } from './api/capabilities.ts'
import { checkpoint } from './api/checkpoint.ts'
import { connect } from './api/connect.ts'
import { console } from './api/console.ts'
import { define } from './api/define.ts'
import { description } from './api/description.ts'
import { device } from './api/device.ts'
import { dump } from './api/dump.ts'
import { files } from './api/files.ts'
import { graphics } from './api/graphics.ts'
import { guest } from './api/guest.ts'
import { interfaces } from './api/interface.ts'
import { iothread } from './api/iothread.ts'
import { job } from './api/job.ts'
import { lifecycle } from './api/lifecycle.ts'
import { listing } from './api/listing.ts'
import { memory } from './api/memory.ts'
import { migrate } from './api/migrate.ts'
import { migrateSettings } from './api/migrate-settings.ts'
import { node } from './api/node.ts'
import { nodeDevices } from './api/node-devices.ts'
import { nodeSettings } from './api/node-settings.ts'
import { power } from './api/power.ts'
import { save } from './api/save.ts'
import { security } from './api/security.ts'
import { snapshot } from './api/snapshot.ts'
import { stats } from './api/stats.ts'
import { tuning } from './api/tuning.ts'
import { vcpu } from './api/vcpu.ts'
import type { QemuDomain } from './domain/domain.ts'

/** An API as it is called: its row and name, and where it stands in libvirt's protocol. */
export type Api = (({ on: 'domain' } & Method<QemuDomain>) | ({ on: 'connect' } & Method<Connect>)) &
  ApiFact & { name: string }

const rows = {
  ...connect,
  ...listing,
  ...node,
  ...nodeDevices,
  ...nodeSettings,
  ...capabilities,
  ...lifecycle,
  ...description,
  ...define,
  ...stats,
  ...memory,
  ...vcpu,
  ...iothread,
  ...tuning,
  ...block,
  ...blockTuning,
  ...blockjob,
  ...interfaces,
  ...device,
  ...save,
  ...migrate,
  ...dump,
  ...snapshot,
  ...checkpoint,
  ...backup,
  ...console,
  ...graphics,
  ...files,
  ...agent,
  ...guest,
  ...power,
  ...job,
  ...migrateSettings,
  ...security
} satisfies Record<string, Method<QemuDomain> | Method<Connect>>

export type ApiName = keyof typeof rows
/** An API's arguments and results, as its row takes and gives them. */
export type ArgValues<N extends ApiName> = WireValues<(typeof rows)[N]['args']>
export type RetValues<N extends ApiName> = WireValues<(typeof rows)[N]['ret']>
/** The same as JSON has them. */
export type ArgsOf<N extends ApiName> = JsonValues<(typeof rows)[N]['args']>
export type RetOf<N extends ApiName> = JsonValues<(typeof rows)[N]['ret']>

/** Every API that is implemented, by its name. */
export const api = Object.fromEntries(
  Object.entries(rows).map(([name, row]) => [name, { name, ...API_FACTS[name], ...row }])
) as Record<ApiName, Api>

/** The row of an API by its name, undefined if there is none. */
export function findMethod(name: string): Api | undefined {
  return Object.hasOwn(api, name) ? api[name as ApiName] : undefined
}
