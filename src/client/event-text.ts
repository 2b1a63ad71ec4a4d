// Events as virsh prints them: what stands behind `event 'TYPE' for domain 'NAME'`, in the order of libvirt's event ids.
import {
  AGENT_REASONS,
  AGENT_STATES,
  BLOCK_JOB_STATUSES,
  BLOCK_JOBS,
  DISK_CHANGES,
  GRAPHICS_FAMILIES,
  GRAPHICS_PHASES,
  IO_ERROR_ACTIONS,
  LIFECYCLE_EVENTS,
  MEMORY_FAILURE_ACTIONS,
  MEMORY_FAILURE_RECIPIENTS,
  METADATA_TYPES,
  TRAY_CHANGES,
  WATCHDOG_ACTIONS
} from './names.ts'

type Data = Record<string, unknown>

interface Address {
  family: number
  node: string
  service: string
}

/** virDomainMemoryFailureFlags */
const ACTION_REQUIRED = 1
const RECURSIVE = 2

const word = (words: readonly string[], number: unknown, other = 'unknown') => words[Number(number)] ?? other
const nothing = () => ''
const alias = ({ devAlias }: Data) => `: ${devAlias}`
const ioError = ({ srcPath, devAlias, action }: Data) => `: ${srcPath} (${devAlias}) ${word(IO_ERROR_ACTIONS, action)}`
const orNull = (value: unknown) => value ?? '<null>'

function address({ family, node, service }: Address): string {
  return `[${word(GRAPHICS_FAMILIES, family)} ${node} ${service}]`
}

const blockJob = (disk: string) => (data: Data) =>
  `: ${word(BLOCK_JOBS, data.type, 'Unknown job')} for ${data[disk]} ${word(BLOCK_JOB_STATUSES, data.status)}`

/** As virTypedParameterToString. */
function paramText(type: string, value: unknown): string {
  if (type === 'double') return String(Number(Number(value).toPrecision(6)))
  return type === 'boolean' ? String(Number(value)) : String(value)
}

/** The agent's channel and others have the same words. */
const portState = ({ state, reason }: Data) =>
  ` state: '${word(AGENT_STATES, state, 'unsupported value')}' reason: '${word(AGENT_REASONS, reason, 'unsupported value')}'`

/** Typed parameters, one a line. */
function params(data: Data): string {
  const lines = Object.entries(data.params as Record<string, { type: string; value: unknown }>).map(
    ([name, { type, value }]) => `\n\t${name}: ${paramText(type, value)}`
  )
  return `:${lines.join('')}`
}

export const EVENT_TEXTS: Readonly<Record<string, (data: Data) => string>> = {
  lifecycle({ event, detail }) {
    const [name = 'unknown', details = []] = LIFECYCLE_EVENTS[Number(event)] ?? []
    return `: ${name} ${word(details, detail)}`
  },
  reboot: nothing,
  'rtc-change': ({ utcoffset }) => `: ${utcoffset}`,
  watchdog: ({ action }) => `: ${word(WATCHDOG_ACTIONS, action)}`,
  'io-error': ioError,
  graphics({ phase, local, remote, authScheme, subject }) {
    const ends = `local${address(local as Address)} remote${address(remote as Address)}`
    const who = (subject as { type: string; name: string }[]).map(({ type, name }) => `\n\t${type}=${name}`)
    return `: ${word(GRAPHICS_PHASES, phase)} ${ends} ${authScheme}${who.join('')}`
  },
  'io-error-reason': data => `${ioError(data)} due to ${data.reason}`,
  'control-error': nothing,
  'block-job': blockJob('path'),
  'disk-change': ({ devAlias, oldSrcPath, newSrcPath, reason }) =>
    ` disk ${devAlias}: ${orNull(oldSrcPath)} -> ${orNull(newSrcPath)}: ${word(DISK_CHANGES, reason)}`,
  'tray-change': ({ devAlias, reason }) => ` disk ${devAlias}: ${word(TRAY_CHANGES, reason)}`,
  'pm-wakeup': nothing,
  'pm-suspend': nothing,
  'balloon-change': ({ actual }) => `: ${actual}KiB`,
  'pm-suspend-disk': nothing,
  'device-removed': alias,
  'block-job-2': blockJob('dst'),
  tunable: params,
  'agent-lifecycle': data => `:${portState(data)}`,
  'device-added': alias,
  'migration-iteration': ({ iteration }) => `: iteration: '${iteration}'`,
  'job-completed': params,
  'device-removal-failed': alias,
  'metadata-change': ({ type, nsuri }) =>
    `: type ${word(METADATA_TYPES, type, 'unsupported value')}, uri ${orNull(nsuri)}`,
  'block-threshold': ({ dev, path, threshold, excess }) => `: dev: ${dev}(${orNull(path)}) ${threshold} ${excess}`,
  'memory-failure'({ recipient, action, flags }) {
    const has = (bit: number) => Number((Number(flags) & bit) !== 0)
    return [
      ':',
      `recipient: ${word(MEMORY_FAILURE_RECIPIENTS, recipient, 'unsupported value')}`,
      `action: ${word(MEMORY_FAILURE_ACTIONS, action, 'unsupported value')}`,
      'flags:',
      `\taction required: ${has(ACTION_REQUIRED)}`,
      `\trecursive: ${has(RECURSIVE)}`
    ].join('\n')
  },
  'memory-device-size-change': data => `:\nalias: ${data.alias}\nsize: ${data.size}`,
  'nic-mac-change': data => `:\nalias: ${data.alias}\noldMAC: ${data.oldMAC}\nnewMAC: ${data.newMAC}`,
  'vcpu-removed': ({ vcpuid }) => `: vcpu ${vcpuid}`,
  'channel-lifecycle': data => `: channel name: '${data.channelName}'${portState(data)}`
}

/** libvirt's event ids, where the word differs from virsh's. */
const IDS: Readonly<Record<string, string>> = {
  'pm-wakeup': 'PMWAKEUP',
  'pm-suspend': 'PMSUSPEND',
  'pm-suspend-disk': 'PMSUSPEND_DISK'
}
const idOf = (name: string) => `VIR_DOMAIN_EVENT_ID_${IDS[name] ?? name.toUpperCase().replaceAll('-', '_')}`

/** virsh's name of each event, by libvirt's id. */
export const EVENT_NAMES: ReadonlyMap<string, string> = new Map(
  Object.keys(EVENT_TEXTS).map(name => [idOf(name), name])
)
