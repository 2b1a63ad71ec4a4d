// Core dumps of a guest.
import { resolve } from 'node:path'
import { virDomainCoreDumpFlags, virDomainCoreDumpFormat } from '../../../conf/enums.ts'
import { argumentErrorsFrom } from '../../../conf/error.ts'
import { flags, text, uint } from '../../../conf/wire.ts'
import type { AsyncJob } from '../../../state/async-job.ts'
import { exclusive, methodFor } from '../../method.ts'
import type { QemuDomain } from '../domain/domain.ts'
import type { DumpOptions } from '../save/dump.ts'

const badArgument = argumentErrorsFrom('VIR_FROM_DOMAIN')
const method = methodFor<QemuDomain>()

const { VIR_DUMP_CRASH, VIR_DUMP_LIVE, VIR_DUMP_RESET } = virDomainCoreDumpFlags
const FORMATS: readonly number[] = Object.values(virDomainCoreDumpFormat)

const dumped = {
  on: 'domain',
  acl: 'domain:core_dump',
  job: { async: 'dump' },
  needs: 'active',
  ret: {}
} as const

async function run(domain: QemuDomain, job: AsyncJob | undefined, options: DumpOptions): Promise<object> {
  const { coreDump } = await import('../save/dump.ts')
  await coreDump(domain, job!, { ...options, path: resolve(options.path) })
  return {}
}

export const dump = {
  /** The guest's memory into a file of this host, as ELF with VIR_DUMP_MEMORY_ONLY, else with the state of its devices. */
  virDomainCoreDump: method({
    ...dumped,
    since: '0.0.3',
    args: { to: text('path'), flags: flags(virDomainCoreDumpFlags) },
    check({ flags: bits }) {
      exclusive(bits, { VIR_DUMP_CRASH, VIR_DUMP_LIVE, VIR_DUMP_RESET })
    },
    run: (domain, { to, flags: bits }, { job }) => run(domain, job, { path: to, flags: bits })
  }),

  /** As virDomainCoreDump, in a format which is of memory alone unless it is VIR_DOMAIN_CORE_DUMP_FORMAT_RAW. */
  virDomainCoreDumpWithFormat: method({
    ...dumped,
    since: '1.2.3',
    args: { to: text('path'), dumpformat: uint('virDomainCoreDumpFormat'), flags: flags(virDomainCoreDumpFlags) },
    check({ dumpformat, flags: bits }) {
      if (!FORMATS.includes(dumpformat)) throw badArgument(`dumpformat '${dumpformat}' is not supported`)
      exclusive(bits, { VIR_DUMP_CRASH, VIR_DUMP_LIVE, VIR_DUMP_RESET })
    },
    run: (domain, { to, dumpformat, flags: bits }, { job }) =>
      run(domain, job, { path: to, flags: bits, format: dumpformat })
  })
}
