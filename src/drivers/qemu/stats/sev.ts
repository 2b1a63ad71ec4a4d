// What QEMU and the host's secure processor tell of a guest with AMD's SEV.
import { errorsFrom } from '../../../conf/error.ts'
import { type TypedParams, typed } from '../../../conf/wire.ts'
import type { QmpMonitor } from '../monitor/qmp.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** query-sev; `policy` is plain SEV's, `snp-policy` that of SNP, which `sev-type` tells apart in QEMU 9.1 and later. */
interface QmpSev {
  'api-major'?: number
  'api-minor'?: number
  'build-id'?: number
  'sev-type'?: string
  policy?: number
  'snp-policy'?: number | bigint
}

/**
 * The measurement of what was loaded, versions and policy (qemuDomainGetSEVInfo).
 * @throws VIR_ERR_INTERNAL_ERROR where one of them is missing
 */
export async function sevInfo(qmp: QmpMonitor): Promise<TypedParams> {
  const { data } = await qmp.execute<{ data?: string }>('query-sev-launch-measure')
  if (data === undefined) throw fail('VIR_ERR_INTERNAL_ERROR', "query-sev-launch-measure reply was missing 'data'")
  const sev = await qmp.execute<QmpSev>('query-sev')
  const { 'api-major': major, 'api-minor': minor, 'build-id': build, 'sev-type': type = 'sev' } = sev
  if (type !== 'sev' && type !== 'sev-snp') throw fail('VIR_ERR_INTERNAL_ERROR', `unknown SEV type '${type}'`)
  const policy = type === 'sev' ? sev.policy : sev['snp-policy']
  if (major === undefined || minor === undefined || build === undefined || policy === undefined) {
    throw fail('VIR_ERR_INTERNAL_ERROR', 'query-sev reply was missing some data')
  }
  return {
    'sev-measurement': typed.string(data),
    'sev-api-major': typed.uint(major),
    'sev-api-minor': typed.uint(minor),
    'sev-build-id': typed.uint(build),
    ...(type === 'sev' ? { 'sev-policy': typed.uint(Number(policy)) } : { 'sev-snp-policy': typed.ullong(policy) })
  }
}
