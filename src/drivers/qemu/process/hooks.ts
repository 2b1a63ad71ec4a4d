// Hook scripts around a guest's life: the host's administrator prepares for a guest, refuses it, and cleans up after it
// (qemuProcessStartHook). Where there are none, nothing is loaded and nothing run.
import { existsSync } from 'node:fs'
import { formatDomain } from '../../../conf/domain-xml.ts'
import type { QemuDomain } from '../domain/domain.ts'

/** libvirt has no limit, and stands still with a script that does. */
const TIMEOUT_MS = 30_000

/** virHookQemuOp with its virHookSubop */
const SUB_OPERATIONS = {
  prepare: 'begin',
  start: 'begin',
  started: 'begin',
  stopped: 'end',
  release: 'end',
  reconnect: 'begin',
  attach: 'begin',
  migrate: 'begin',
  restore: 'begin'
} as const
export type HookOperation = keyof typeof SUB_OPERATIONS

/** Operations whose scripts may change the XML they get. */
const FILTERS: readonly HookOperation[] = ['migrate', 'restore']

/** The first of the directories that has hooks for QEMU's guests: ours come before libvirt's, they are not mixed. */
const hooksOf = (directories: readonly string[]): string | undefined =>
  directories.find(directory => existsSync(`${directory}/qemu`) || existsSync(`${directory}/qemu.d`))

/** True where a guest's life is told to scripts. */
export const hasHooks = ({ hookDirs }: Pick<QemuDomain, 'hookDirs'>): boolean => hooksOf(hookDirs) !== undefined

/** The scripts that are run. */
export async function scriptsIn(hookDirs: readonly string[]): Promise<string[]> {
  const directory = hooksOf(hookDirs)
  return directory === undefined ? [] : (await import('../../../host/hook-scripts.ts')).hookScripts(directory, 'qemu')
}

/**
 * Tells the scripts of an operation and waits for them; a script that is under way is ended.
 * @param xml by default the guest's present one
 * @returns the XML as `migrate` and `restore` scripts have changed it, undefined where there are no scripts
 * @throws VIR_ERR_HOOK_SCRIPT_FAILED when a script fails or takes too long, VIR_ERR_OPERATION_ABORTED
 */
export async function callHook(
  domain: QemuDomain,
  operation: HookOperation,
  xml?: string
): Promise<string | undefined> {
  const { run, name } = domain
  const directory = hooksOf(domain.hookDirs)
  if (directory === undefined) return undefined
  const { hookScripts, runHookScripts } = await import('../../../host/hook-scripts.ts')
  const call = new AbortController()
  run?.hook?.abort()
  if (run) run.hook = call
  try {
    return await runHookScripts(hookScripts(directory, 'qemu'), {
      args: [name, operation, SUB_OPERATIONS[operation], '-'],
      input: xml ?? presentXml(domain, SUB_OPERATIONS[operation] === 'end'),
      filter: FILTERS.includes(operation),
      timeoutMs: TIMEOUT_MS,
      signal: call.signal
    })
  } finally {
    if (run?.hook === call) run.hook = undefined
  }
}

/** Tells the scripts that a guest is gone; no failure of theirs can change that. */
export async function tellHook(domain: QemuDomain, operation: 'stopped' | 'release'): Promise<void> {
  await callHook(domain, operation).catch(error => domain.log.error({ err: error, operation }, 'a hook script failed'))
}

/** The live definition; a guest that is gone has no id any more. */
function presentXml({ def }: QemuDomain, gone: boolean): string {
  return formatDomain(gone ? { ...def, id: undefined } : def, { inactive: false, aliases: true })
}
