// Words for libvirt's numbers, as virsh prints them; position is the number.

/** virDomainState */
export const STATES = ['no state', 'running', 'idle', 'paused', 'in shutdown', 'shut off', 'crashed', 'pmsuspended']

/** virDomain*Reason, by state */
const REASONS = [
  ['unknown'],
  [
    'unknown',
    'booted',
    'migrated',
    'restored',
    'from snapshot',
    'unpaused',
    'migration canceled',
    'save canceled',
    'event wakeup',
    'crashed',
    'post-copy',
    'post-copy failed'
  ],
  ['unknown'],
  [
    'unknown',
    'user',
    'migrating',
    'saving',
    'dumping',
    'I/O error',
    'watchdog',
    'from snapshot',
    'shutting down',
    'creating snapshot',
    'crashed',
    'starting up',
    'post-copy',
    'post-copy failed',
    'api error'
  ],
  ['unknown', 'user'],
  ['unknown', 'shutdown', 'destroyed', 'crashed', 'migrated', 'saved', 'failed', 'from snapshot', 'daemon'],
  ['unknown', 'panicked'],
  ['unknown']
]

/** virsh's word for a virDomainState. */
export const stateName = (state: number) => STATES[state] ?? 'no state'
/** virsh's word for the reason of a state: virDomainRunningReason and its siblings. */
export const stateReason = (state: number, reason: number) => REASONS[state]?.[reason] ?? 'unknown'

/** virDomainControlState */
export const CONTROL_STATES = ['ok', 'background job', 'occupied', 'error']
/** virDomainControlErrorReason */
export const CONTROL_ERRORS = ['', 'unknown', 'monitor failure', 'internal (locking) error']

/** virVcpuState */
export const VCPU_STATES = ['offline', 'running', 'blocked']

/** virDomainEventType, each with its details */
export const LIFECYCLE_EVENTS: [event: string, details: string[]][] = [
  ['Defined', ['Added', 'Updated', 'Renamed', 'Snapshot']],
  ['Undefined', ['Removed', 'Renamed']],
  ['Started', ['Booted', 'Migrated', 'Restored', 'Snapshot', 'Event wakeup', 'Recreated']],
  [
    'Suspended',
    [
      'Paused',
      'Migrated',
      'I/O Error',
      'Watchdog',
      'Restored',
      'Snapshot',
      'API error',
      'Post-copy',
      'Post-copy Error',
      'guest shutdown'
    ]
  ],
  ['Resumed', ['Unpaused', 'Migrated', 'Snapshot', 'Post-copy', 'Post-copy Error']],
  ['Stopped', ['Shutdown', 'Destroyed', 'Crashed', 'Migrated', 'Saved', 'Failed', 'Snapshot', 'Recreated']],
  ['Shutdown', ['Finished', 'Finished after guest request', 'Finished after host request']],
  ['PMSuspended', ['Memory', 'Disk']],
  ['Crashed', ['Panicked', 'Crashloaded']]
]

/** virDomainEventWatchdogAction */
export const WATCHDOG_ACTIONS = ['none', 'pause', 'reset', 'poweroff', 'shutdown', 'debug', 'inject-nmi']
/** virDomainEventIOErrorAction */
export const IO_ERROR_ACTIONS = ['none', 'pause', 'report']
/** virDomainMetadataType */
export const METADATA_TYPES = ['description', 'title', 'element']

/** virDomainEventGraphicsPhase */
export const GRAPHICS_PHASES = ['connect', 'initialize', 'disconnect']
/** virDomainEventGraphicsAddressType */
export const GRAPHICS_FAMILIES = ['IPv4', 'IPv6', 'unix']
/** virDomainJobType */
export const JOB_TYPES = ['None', 'Bounded', 'Unbounded', 'Completed', 'Failed', 'Cancelled']
/** virDomainJobOperation */
export const JOB_OPERATIONS = [
  'Unknown',
  'Start',
  'Save',
  'Restore',
  'Incoming migration',
  'Outgoing migration',
  'Snapshot',
  'Snapshot revert',
  'Dump',
  'Backup',
  'Snapshot delete'
]
/** virDomainBlockJobType */
export const BLOCK_JOBS = ['Unknown job', 'Block Pull', 'Block Copy', 'Block Commit', 'Active Block Commit', 'Backup']
/** virConnectDomainEventBlockJobStatus */
export const BLOCK_JOB_STATUSES = ['completed', 'failed', 'canceled', 'ready']
/** virConnectDomainEventDiskChangeReason */
export const DISK_CHANGES = ['changed', 'dropped']
/** virDomainEventTrayChangeReason */
export const TRAY_CHANGES = ['opened', 'closed']
/** virConnectDomainEventAgentLifecycleState */
export const AGENT_STATES = ['unknown', 'connected', 'disconnected']
/** virConnectDomainEventAgentLifecycleReason */
export const AGENT_REASONS = ['unknown', 'domain started', 'channel event']
/** virDomainMemoryFailureRecipientType */
export const MEMORY_FAILURE_RECIPIENTS = ['hypervisor', 'guest']
/** virDomainMemoryFailureActionType */
export const MEMORY_FAILURE_ACTIONS = ['ignore', 'inject', 'fatal', 'reset']
