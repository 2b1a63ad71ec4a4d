// status.json: what is kept of a running guest, enough to take it over after this process was killed. One table: what
// is saved, what is loaded and the file's schema come from the same line.
import { formatDomain } from '../../../conf/domain-xml.ts'
import { virDomainAgentResponseTimeoutValues } from '../../../conf/enums.ts'
import { formatBackup, parseBackup } from '../../../conf/moment/backup.ts'
import { ASYNC_JOBS, type SavedJob } from '../../../state/async-job.ts'
import { bootId, PHASES, readStatusFile, STATUS_VERSION, statusText, writeStatus } from '../../../state/status.ts'
import type { Taint } from '../../../state/taint.ts'
import { BLOCK_JOB_STATES, BLOCK_JOBS, type BlockJob } from './block-jobs.ts'
import type { QemuDomain } from './domain.ts'
import type { Backup, CheckpointChange, LooseImage, MediumChange, Ownership, Run } from './run.ts'

type SavedOwnership = Omit<Ownership, 'turn'>
type SavedBackup = Omit<Backup, 'def'> & { xml: string }

/** A member of status.json. */
interface Line<T> {
  /** its JSON Schema */
  schema: object
  /** files of older versions, or of guests without it, do not have it */
  optional?: boolean
  /** undefined leaves it out */
  save(run: Run, domain: QemuDomain): T | undefined
  /** absent where whoever takes the guest over finds it out by other means */
  load?(value: T, run: Run, domain: QemuDomain): void
}

const line = <T>(required: Line<T>): Line<T> & { optional?: false } => ({ ...required, optional: false })
const optional = <T>(given: Line<T>): Line<T> & { optional: true } => ({ ...given, optional: true })

/** A field of Run that is kept as it is. */
function field<K extends keyof Run>(name: K, schema: object): Line<Run[K]> {
  return {
    schema,
    save: run => run[name],
    load(value, run) {
      run[name] = value
    }
  }
}

const { VIR_DOMAIN_AGENT_RESPONSE_TIMEOUT_BLOCK } = virDomainAgentResponseTimeoutValues

const text = (description?: string) => ({ type: 'string', ...(description !== undefined && { description }) })
const integer = (description?: string) => ({ type: 'integer', ...(description !== undefined && { description }) })
const yesNo = (description?: string) => ({ type: 'boolean', ...(description !== undefined && { description }) })
const texts = (description?: string) => ({
  type: 'array',
  ...(description !== undefined && { description }),
  items: text()
})
const ids = { type: 'object', properties: { uid: integer(), gid: integer() }, required: ['uid', 'gid'] }
const unlessEmpty = <T>(list: readonly T[]): T[] | undefined => (list.length > 0 ? [...list] : undefined)

export const STATUS = {
  version: line({ schema: { const: STATUS_VERSION }, save: () => STATUS_VERSION }),
  bootId: line({ schema: text('boot of the host the processes belong to'), save: bootId }),
  phase: line(field('phase', { enum: PHASES })),
  name: line({ schema: text(), save: (_, { name }) => name }),
  uuid: line({ schema: text(), save: (_, { uuid }) => uuid }),
  id: line({
    schema: integer(),
    save: (_, { id }) => id,
    load(id, _, domain) {
      domain.id = id
    }
  }),
  persistent: line({ schema: yesNo(), save: (_, { isPersistent }) => isPersistent }),
  runId: optional({
    schema: text("in QEMU's environment, by which it is found whose pid was not saved"),
    save: ({ id }) => id,
    load(id, run) {
      run.id = id
    }
  }),
  process: optional(
    field('process', {
      type: 'object',
      description: 'the QEMU process; absent until it is spawned',
      properties: { pid: integer(), startTime: text('field 22 of /proc/PID/stat') },
      required: ['pid', 'startTime']
    })
  ),
  state: line({ schema: integer('virDomainState'), save: (_, { state }) => state }),
  reason: line({
    schema: integer("the state's reason, of the enumeration libvirt has for it"),
    save: (_, { reason }) => reason
  }),
  stateTimeMs: line({
    schema: integer('when the state was entered, ms since the epoch'),
    save: (_, { stateTimeMs }) => stateTimeMs
  }),
  generation: line({ schema: integer(), save: (_, { generation }) => generation }),
  paused: line(field('paused', yesNo('the guest is to stay paused after its start'))),
  fakeReboot: optional({
    ...field('fakeReboot', yesNo('a shutdown under way is to end in a reboot')),
    save: ({ fakeReboot }) => fakeReboot || undefined
  }),
  frozen: optional({
    ...field('frozen', yesNo('its file systems are frozen for a snapshot, and to be thawed')),
    save: ({ frozen }) => frozen || undefined
  }),
  agentTimeout: optional({
    schema: integer("limit of the agent's answers, s, or one of virDomainAgentResponseTimeoutValues; absent: none"),
    save: (_, { agentTimeout }) =>
      agentTimeout === VIR_DOMAIN_AGENT_RESPONSE_TIMEOUT_BLOCK ? undefined : agentTimeout,
    load(seconds, _, domain) {
      domain.agentTimeout = seconds
    }
  }),
  migrationSpeed: optional({
    schema: integer('what its migrations may send in a second, MiB; absent: no limit'),
    save: (_, { migrationSpeedMiB }) => migrationSpeedMiB,
    load(speed, _, domain) {
      domain.migrationSpeedMiB = speed
    }
  }),
  autoDestroy: line(field('autoDestroy', yesNo("it was started to end with its client's connection, or its shim"))),
  cgroups: line(field('cgroups', texts())),
  registration: optional(
    field('registration', {
      type: 'object',
      description: "the guest as systemd's machine or scope",
      properties: { kind: { enum: ['machined', 'systemd'] }, machine: text() },
      required: ['kind', 'machine']
    })
  ),
  claims: optional({
    schema: texts("claims at the host's aggregator that xml speaks for"),
    save: (_, { claims }) => claims?.held
  }),
  job: optional<SavedJob>({
    schema: {
      type: 'object',
      description: 'the async job under way; a start has none, its phase says it',
      properties: {
        kind: { enum: Object.keys(ASYNC_JOBS) },
        phase: text('the step it is in'),
        api: text('who began it'),
        flags: integer('flags of that call'),
        sinceMs: integer('when it began, ms since the epoch'),
        stalled: yesNo('it stands still until somebody brings it on')
      },
      required: ['kind', 'api', 'sinceMs']
    },
    save: (_, { jobs }) => jobs.saved
  }),
  memoryFile: optional(
    field('memoryFile', {
      type: 'object',
      description: "a file the guest's memory is being written into; made: it was not there before",
      properties: { path: text(), made: yesNo() },
      required: ['path', 'made']
    })
  ),
  goesOnFrom: optional(
    field('goesOnFrom', {
      enum: ['file', 'managed save'],
      description: 'where its memory comes from, until it runs: a saved image then goes'
    })
  ),
  departure: optional(
    field('departure', {
      type: 'object',
      description: 'the migration it leaves by; ran: its CPUs did before',
      properties: {
        ran: yesNo(),
        witness: {
          type: 'object',
          description: 'where its destination answers whether it is there',
          properties: {
            host: text(),
            port: integer('of its shim'),
            qemu: integer('of its QEMU'),
            token: text(),
            heard: yesNo('both have answered')
          },
          required: ['host', 'port', 'token']
        }
      },
      required: ['ran']
    })
  ),
  arrival: optional(
    field('arrival', {
      type: 'object',
      description: 'the migration it comes by, or has come by lately',
      properties: {
        sourceName: text('the name it has where it comes from'),
        port: integer('TCP port at which QEMU waits for it'),
        witness: {
          type: 'object',
          description: 'where its source is told whether it is here',
          properties: {
            port: integer('of its shim'),
            qemu: integer('of its QEMU'),
            token: text(),
            asked: yesNo('its source has')
          },
          required: ['port', 'token']
        }
      },
      required: ['sourceName']
    })
  ),
  migrationParameters: optional(
    field('migrationParameters', {
      type: 'object',
      description: "QEMU's parameters from before the migration under way, to be set back"
    })
  ),
  memoryLock: optional(
    field(
      'memoryLock',
      text('limits of the memory that QEMU may lock from before the migration under way, to be set back')
    )
  ),
  diskServer: optional(
    field('diskServer', {
      type: 'object',
      description: 'the NBD server that disks are copied to, until the guest has come',
      properties: { port: integer('of TCP') }
    })
  ),
  indexedThresholds: optional({
    schema: texts('nodes of images whose write threshold was set by their number in the chain'),
    save: ({ indexedThresholds }) => unlessEmpty([...indexedThresholds]),
    load(nodes, { indexedThresholds }) {
      for (const node of nodes) indexedThresholds.add(node)
    }
  }),
  originalCpu: optional(field('originalCpu', text('<cpu> it was started with, where QEMU made another'))),
  taints: optional({
    schema: texts("libvirt's virDomainTaint"),
    save: ({ taints }) => unlessEmpty<string>([...taints]),
    load(names, { taints }) {
      for (const name of names) taints.add(name as Taint)
    }
  }),
  deprecations: optional({
    ...field('deprecations', texts('what of the guest its QEMU means to drop')),
    save: ({ deprecations }) => unlessEmpty(deprecations)
  }),
  nodeIndex: optional(field('nodeIndex', integer('number of the last block node that was named'))),
  fdsetIndex: optional(field('fdsetIndex', integer('number of the next set of descriptors'))),
  leaving: optional({
    schema: texts('aliases of devices whose plugging has failed, and which the guest has yet to give up'),
    save: ({ leaving }) => unlessEmpty([...leaving]),
    load(aliases, { leaving }) {
      for (const alias of aliases) leaving.add(alias)
    }
  }),
  media: optional<Record<string, MediumChange>>({
    schema: {
      type: 'object',
      description: 'media being changed, by alias of the drive: it as it was and is going to be',
      additionalProperties: {
        type: 'object',
        properties: { from: text(), to: text() },
        required: ['from', 'to']
      }
    },
    save: ({ media }) => (media.size > 0 ? Object.fromEntries(media) : undefined),
    load(changes, { media }) {
      for (const [alias, change] of Object.entries(changes)) media.set(alias, change)
    }
  }),
  looseImages: optional<Record<string, LooseImage>>({
    schema: {
      type: 'object',
      description: 'images being added or taken away that no definition has, by their number',
      additionalProperties: {
        type: 'object',
        properties: {
          disk: text('a disk that has it, and what goes with it, for its images'),
          files: texts('files that go with them')
        },
        required: ['disk', 'files']
      }
    },
    save: ({ looseImages }) => (looseImages.size > 0 ? Object.fromEntries(looseImages) : undefined),
    load(images, { looseImages }) {
      for (const [index, image] of Object.entries(images)) looseImages.set(Number(index), image)
    }
  }),
  blockJobs: optional<BlockJob[]>({
    schema: {
      type: 'array',
      description: "QEMU's jobs on disks; images are told by their numbers",
      items: {
        type: 'object',
        properties: {
          name: text("QEMU's id of it"),
          kind: { enum: BLOCK_JOBS },
          disk: text('target of the disk'),
          state: { enum: BLOCK_JOB_STATES },
          flags: integer('of the call that began it'),
          top: integer('the uppermost image that a commit takes away'),
          base: integer('the image that stays below'),
          topParent: integer('the image above the uppermost that goes'),
          error: text("why it failed, in QEMU's words"),
          pivoted: text("the persistent definition's disk once QEMU has finished a pivot, which it may have")
        },
        required: ['name', 'kind', 'disk', 'state', 'flags']
      }
    },
    save: ({ blockJobs }) => unlessEmpty([...blockJobs.values()]),
    load(list, { blockJobs }) {
      for (const job of list) blockJobs.set(job.name, job)
    }
  }),
  checkpoint: optional<CheckpointChange | undefined>(
    field('checkpoint', {
      type: 'object',
      description: 'the checkpoint whose bitmaps and description are about to come or go',
      properties: { creating: text(), deleting: text() }
    })
  ),
  temporaryBitmaps: optional({
    ...field('temporaryBitmaps', {
      type: 'array',
      description: 'bitmaps made for the migration under way, which go if the guest stays',
      items: { type: 'object', properties: { node: text(), name: text() }, required: ['node', 'name'] }
    }),
    save: ({ temporaryBitmaps }) => unlessEmpty(temporaryBitmaps)
  }),
  backup: optional<SavedBackup>({
    schema: {
      type: 'object',
      description: 'the backup under way',
      properties: {
        xml: text('<domainbackup> with the state of each disk'),
        flags: integer('virDomainBackupBeginFlags'),
        begun: yesNo('its caller is told that it goes on'),
        done: {
          type: 'object',
          description: 'bytes of the disks that are through',
          properties: { current: integer(), total: integer() },
          required: ['current', 'total']
        },
        error: text('why it fails')
      },
      required: ['xml', 'flags', 'begun', 'done']
    },
    save({ backup }) {
      if (!backup) return undefined
      const { def, ...rest } = backup
      return { xml: formatBackup(def, { status: true }), ...rest }
    },
    load({ xml, ...rest }, run) {
      run.backup = { def: parseBackup(xml, { status: true }), ...rest }
    }
  }),
  user: optional({
    schema: text('who QEMU runs as; absent: who its shim ran as'),
    save: ({ owner }) => owner.user
  }),
  group: optional({ schema: text(), save: ({ owner }) => owner.group }),
  ownership: optional<SavedOwnership>({
    schema: {
      type: 'object',
      description: "QEMU's user where it is one of the guest's own, and the files that it is given",
      properties: {
        uid: integer(),
        gid: integer(),
        alone: yesNo("no other guest's QEMU is that user"),
        given: {
          type: 'array',
          items: {
            type: 'object',
            properties: {
              path: text(),
              uid: integer(),
              gid: integer(),
              own: yesNo("it is made that user's, rather than open to it"),
              write: yesNo(),
              was: { ...ids, description: 'whose it was' },
              dev: text('which file it is'),
              ino: text(),
              how: { enum: ['owner', 'acl', 'none'], description: 'absent until it is known' }
            },
            required: ['path', 'uid', 'gid', 'own', 'write', 'was', 'dev', 'ino']
          }
        },
        change: {
          type: 'object',
          description: 'the process that is giving or taking back',
          properties: { pid: integer(), startTime: text() },
          required: ['pid', 'startTime']
        }
      },
      required: ['uid', 'gid', 'alone', 'given']
    },
    save({ ownership }) {
      if (!ownership) return undefined
      const { turn: _, ...rest } = ownership
      return rest
    },
    load(saved, run) {
      run.ownership = { ...saved, turn: Promise.resolve() }
    }
  }),
  view: optional(
    field('view', {
      type: 'object',
      description: "a confined QEMU's own view of the host's files",
      properties: {
        staging: text('directory with what covers others'),
        covers: { type: 'array', description: 'directories that are covered', items: text() }
      },
      required: ['staging', 'covers']
    })
  ),
  xml: line({
    schema: text('the live definition, aliases and addresses included'),
    save: (_, { def }) => formatDomain(def, { inactive: false, secure: true, status: true })
  })
} as const

type Table = typeof STATUS
type Value<L> = L extends Line<infer T> ? Exclude<T, undefined> : never
type Optional = { [K in keyof Table]: Table[K] extends { optional: true } ? K : never }[keyof Table]

/** The form of status.json; schemas/status.json says the same. */
export type Status = { [K in Exclude<keyof Table, Optional>]: Value<Table[K]> } & {
  [K in Optional]?: Value<Table[K]>
}

const LINES = Object.entries(STATUS) as [keyof Status, Line<unknown>][]

/** schemas/status.json is this. */
export const statusSchema = {
  $id: 'status.json',
  title: 'Live state of a guest, enough to take it over again',
  type: 'object',
  properties: Object.fromEntries(LINES.map(([name, { schema }]) => [name, schema])),
  required: LINES.flatMap(([name, { optional }]) => (optional ? [] : [name]))
}

const statusOf = (domain: QemuDomain, run: Run): object =>
  Object.fromEntries(LINES.map(([name, { save }]) => [name, save(run, domain)]))

/** Has status.json say all of a run, synced. @throws VIR_ERR_SYSTEM_ERROR */
export function saveStatus(domain: QemuDomain, run: Run): void {
  run.saved = writeStatus(domain.root.status, statusOf(domain, run), run.saved)
}

/** True where status.json says all that is to be said of a run. */
export const isSaved = (domain: QemuDomain, run: Run): boolean => run.saved === statusText(statusOf(domain, run))

/** Fills a run with what was saved of it. */
export function loadStatus(status: Status, run: Run, domain: QemuDomain): void {
  for (const [name, { load }] of LINES) if (status[name] !== undefined) load?.(status[name], run, domain)
}

/** Reads status.json; undefined if there is none. @throws VIR_ERR_INTERNAL_ERROR for a file of another form */
export async function readStatus(file: string): Promise<Status | undefined> {
  const value = readStatusFile(file)
  if (value === undefined) return undefined
  const { checkForm } = await import('../../../state/status-form.ts')
  checkForm(statusSchema, value, file)
  return value as Status
}
