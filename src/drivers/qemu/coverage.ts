// libvirt's APIs by their state here: answered, refused as libvirt's own QEMU driver refuses them, or missing.
import { API_AREAS } from '../../conf/api-list.ts'
import { findMethod } from './index.ts'

export type Coverage = 'implemented' | 'client side' | 'refused' | 'missing'

/** Calls that the RPC connection itself carries out. */
const CONNECTION_CALLS = new Set([
  'virConnectOpen',
  'virConnectOpenReadOnly',
  'virConnectOpenAuth',
  'virConnectClose',
  'virConnectSetKeepAlive',
  'virConnectRegisterCloseCallback',
  'virConnectUnregisterCloseCallback',
  'virConnectSetIdentity',
  'virConnectDomainEventRegister',
  'virConnectDomainEventDeregister',
  'virConnectDomainEventRegisterAny',
  'virConnectDomainEventDeregisterAny',
  'virConnectDomainQemuMonitorEventRegister',
  'virConnectDomainQemuMonitorEventDeregister'
])

/** What a client makes of several calls of its own is there if these are. */
const LAST_STEP = 'virDomainMigrateConfirm3Params'

export interface CoverageRow {
  area: string
  api: string
  /** procedure number, with the program if it is QEMU's */
  procedure: string
  coverage: Coverage
}

/** One row per API of libvirt's list. */
export function apiCoverage(): CoverageRow[] {
  return Object.entries(API_AREAS).flatMap(([area, apis]) =>
    Object.entries(apis).map(([api, { proc, program, refused, steps }]) => ({
      area,
      api,
      procedure: proc === undefined ? '-' : program === 'qemu' ? `QEMU ${proc}` : String(proc),
      coverage:
        findMethod(api) || CONNECTION_CALLS.has(api) || (steps && findMethod(LAST_STEP))
          ? 'implemented'
          : refused
            ? 'refused'
            : proc === undefined
              ? 'client side'
              : 'missing'
    }))
  )
}
