// Connection-level calls that change the host: pools of huge pages, KSM's settings, sleep.
import { writeFileSync } from 'node:fs'
import { virNodeAllocPagesFlags } from '../../../conf/enums.ts'
import { systemError } from '../../../conf/errno.ts'
import { argumentErrorsFrom, errorsFrom, VirError } from '../../../conf/error.ts'
import { array, flags, flagsIn, int, typedInput, uhyper, uint } from '../../../conf/wire.ts'
import { cellRange, hugePagesDirectory, noPages, PAGE_KIB, readText } from '../../../host/topology.ts'
import type { Connect } from '../../connection.ts'
import { methodFor } from '../../method.ts'
import { KSM, KSM_PARAMETERS } from './node.ts'

const fail = errorsFrom('VIR_FROM_NONE')
const badArgument = argumentErrorsFrom('VIR_FROM_DOMAIN')
const method = methodFor<Connect>()

const writes = { on: 'connect', acl: 'connect:write' } as const
/** libvirt's REMOTE_NODE_MAX_CELLS */
const SIZES_MAX = 1024

const { VIR_NODE_ALLOC_PAGES_SET } = virNodeAllocPagesFlags

/**
 * Sets or grows one pool (virNumaSetPagePoolSize).
 * @throws VIR_ERR_OPERATION_FAILED for sizes there are none of, and when the kernel finds no room
 */
function setPool(cell: number, sizeKiB: number, pages: bigint, isTotal: boolean): void {
  if (sizeKiB === PAGE_KIB) throw fail('VIR_ERR_OPERATION_UNSUPPORTED', "system pages pool can't be modified")
  const file = `${hugePagesDirectory(cell)}/hugepages-${sizeKiB}kB/nr_hugepages`
  const read = () => readText(file)
  const now = read()
  if (now === undefined) throw fail('VIR_ERR_OPERATION_FAILED', noPages(sizeKiB, cell))
  const wanted = isTotal ? pages : BigInt(now) + pages
  if (wanted === BigInt(now)) return
  try {
    writeFileSync(file, String(wanted))
  } catch (error) {
    throw systemError('VIR_FROM_NONE', `Unable to write to: ${file}`, error)
  }
  const got = BigInt(read() ?? 0)
  if (got !== wanted) {
    throw fail('VIR_ERR_OPERATION_FAILED', `Unable to allocate ${wanted} pages. Allocated only ${got}`)
  }
}

/** Time for the answer to leave before the host sleeps. */
const SUSPEND_DELAY_MS = 10_000
/** The host needs that long to fall asleep. */
const SUSPEND_MIN_S = 60n

let aboutToSuspend = false

async function suspend(target: number, durationS: bigint): Promise<void> {
  const [{ SUSPEND_TARGETS, suspendTargets }, { runHostCommand }] = await Promise.all([
    import('../../../host/identity.ts'),
    import('../../../host/command.ts')
  ])
  const supported = await suspendTargets()
  if (aboutToSuspend) throw fail('VIR_ERR_OPERATION_INVALID', 'Suspend operation already in progress')
  const wanted = SUSPEND_TARGETS[target]
  if (!wanted) throw fail('VIR_ERR_INVALID_ARG', 'Invalid suspend target')
  if (!supported.includes(wanted)) throw fail('VIR_ERR_ARGUMENT_UNSUPPORTED', wanted.words)
  if (durationS < SUSPEND_MIN_S) {
    throw fail('VIR_ERR_INVALID_ARG', `Suspend duration is too short, must be at least ${SUSPEND_MIN_S} seconds`)
  }
  aboutToSuspend = true
  try {
    await runHostCommand('rtcwake', ['-m', 'no', '-s', String(durationS)])
  } catch (error) {
    aboutToSuspend = false
    throw error
  }
  const sleep = () =>
    runHostCommand(wanted.command, [])
      .catch(() => undefined)
      .finally(() => {
        aboutToSuspend = false
      })
  setTimeout(() => void sleep(), SUSPEND_DELAY_MS).unref()
}

export const nodeSettings = {
  /** Grows or sets pools of huge pages, cell by cell, each by each page size. */
  virNodeAllocPages: method({
    ...writes,
    since: '1.2.9',
    args: {
      pageSizes: array(uint('KiB'), SIZES_MAX),
      pageCounts: array(uhyper(), SIZES_MAX),
      startCell: int(),
      cellCount: uint(),
      flags: flags(virNodeAllocPagesFlags)
    },
    ret: { ret: int('pools that were adjusted') },
    run(_host, { pageSizes, pageCounts, startCell, cellCount, flags: bits }) {
      if (pageSizes.length === 0) {
        throw badArgument('npages in virNodeAllocPages must not be zero')
      }
      if (pageCounts.length !== pageSizes.length) {
        throw fail('VIR_ERR_INVALID_ARG', 'pageCounts in virNodeAllocPages must have as many entries as pageSizes')
      }
      if (cellCount === 0) throw badArgument('cellCount in virNodeAllocPages must not be zero')
      const wanted = cellRange(startCell, cellCount)
      for (const cell of wanted) {
        for (const [i, size] of pageSizes.entries()) {
          setPool(cell, size, pageCounts[i]!, (bits & VIR_NODE_ALLOC_PAGES_SET) !== 0)
        }
      }
      return { ret: wanted.length * pageSizes.length }
    }
  }),

  /** Sets KSM's settings; none if this kernel lacks one of them. */
  virNodeSetMemoryParameters: method({
    ...writes,
    since: '0.10.2',
    args: {
      params: typedInput({ shm_pages_to_scan: 'uint', shm_sleep_millisecs: 'uint', shm_merge_across_nodes: 'uint' }),
      flags: flagsIn({ function: 'virHostMemSetParameters', domain: 'VIR_FROM_NONE' })
    },
    ret: {},
    run(_host, { params }) {
      const given = KSM_PARAMETERS.flatMap(({ name, file, settable }) =>
        settable && params[name] !== undefined ? [{ name, file: `${KSM}/${file}`, value: params[name] }] : []
      )
      const missing = given.find(({ file }) => readText(file) === undefined)
      if (missing) {
        throw fail('VIR_ERR_OPERATION_INVALID', `Parameter '${missing.name}' is not supported by this kernel`)
      }
      for (const { name, file, value } of given) {
        try {
          writeFileSync(file, String(value))
        } catch (error) {
          // virHostMemSetParameterValue takes -1 for the kernel's reason
          throw new VirError(
            'VIR_FROM_NONE',
            'VIR_ERR_SYSTEM_ERROR',
            `failed to set ${name}: Operation not permitted`,
            { cause: error }
          )
        }
      }
      return {}
    }
  }),

  /** Has the host sleep in a moment, and wake again after a time of at least a minute. */
  virNodeSuspendForDuration: method({
    ...writes,
    since: '0.9.8',
    args: {
      target: uint('virNodeSuspendTarget'),
      duration: uhyper('seconds'),
      flags: flagsIn({ function: 'virNodeSuspend', domain: 'VIR_FROM_NONE' })
    },
    ret: {},
    async run(_host, { target, duration }) {
      await suspend(target, duration)
      return {}
    }
  })
}
