// A dump of a crashed guest's memory, as <on_crash> and <watchdog> can ask for it (doCoreDumpToAutoDumpPath).
import { closeSync, openSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { errorsFrom } from '../../../conf/error.ts'
import { giveTo, letThrough } from '../../../host/owner.ts'
import { makePrivateDirectory } from '../../../state/store.ts'
import type { QemuDomain } from '../domain/domain.ts'
import type { QmpEvent, QmpMonitor } from '../monitor/qmp.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** `2024-01-31-12:00:00`, local time. */
function stamp(now: Date): string {
  const two = (value: number) => String(value).padStart(2, '0')
  const day = [now.getFullYear(), two(now.getMonth() + 1), two(now.getDate())].join('-')
  return `${day}-${[now.getHours(), now.getMinutes(), now.getSeconds()].map(two).join(':')}`
}

/**
 * Writes the guest's memory as an ELF core file into the guest's dump directory.
 * @returns its path @throws VIR_ERR_OPERATION_FAILED; no file stays then
 */
export async function dumpMemory(domain: QemuDomain): Promise<string> {
  const { qmp, root, id, name, running } = domain
  makePrivateDirectory(root.dumpDir)
  const path = join(root.dumpDir, `${id}-${name}-${stamp(new Date())}`)
  closeSync(openSync(path, 'wx', 0o600))
  try {
    giveTo(path, running.owner)
    letThrough([root.dir, root.dumpDir], running.owner)
    const done = dumpCompleted(qmp)
    await qmp.execute('dump-guest-memory', { paging: false, protocol: `file:${path}`, detach: true })
    await done
    domain.log.info({ path }, "guest's memory was dumped")
    return path
  } catch (error) {
    rmSync(path, { force: true })
    throw error
  }
}

/** Settles when QEMU is through with the dump, or is gone. */
function dumpCompleted(monitor: QmpMonitor): Promise<void> {
  const done = new Promise<void>((resolve, reject) => {
    const settle = (error?: Error) => {
      monitor.off('event', onEvent)
      monitor.off('close', settle)
      if (error) reject(error)
      else resolve()
    }
    const onEvent = ({ event, data }: QmpEvent) => {
      if (event !== 'DUMP_COMPLETED') return
      settle(data.error === undefined ? undefined : fail('VIR_ERR_OPERATION_FAILED', String(data.error)))
    }
    monitor.on('event', onEvent)
    monitor.on('close', settle)
  })
  done.catch(() => undefined)
  return done
}
