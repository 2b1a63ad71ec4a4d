// The form of status.json as JSON Schema, and its check. Loaded only where a status file is found.
import { Ajv } from 'ajv'
import { errorsFrom } from '../conf/error.ts'
import { STATUS_VERSION, type Status } from './status.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

const integer = { type: 'integer' }
const text = { type: 'string' }
const yesNo = { type: 'boolean' }

/** schemas/status.json is this. */
export const statusSchema = {
  $id: 'status.json',
  title: 'Live state of a guest, enough to take it over again',
  type: 'object',
  properties: {
    version: { const: STATUS_VERSION },
    bootId: { ...text, description: 'boot of the host the processes belong to' },
    phase: { enum: ['starting', 'running', 'stopping'] },
    name: text,
    uuid: text,
    id: integer,
    persistent: yesNo,
    process: {
      type: 'object',
      description: 'the QEMU process; absent until it is spawned',
      properties: { pid: integer, startTime: { ...text, description: 'field 22 of /proc/PID/stat' } },
      required: ['pid', 'startTime']
    },
    state: { ...integer, description: 'virDomainState' },
    reason: { ...integer, description: "the state's reason, of the enumeration libvirt has for it" },
    stateTimeMs: { ...integer, description: 'when the state was entered, ms since the epoch' },
    generation: integer,
    paused: { ...yesNo, description: 'the guest is to stay paused after its start' },
    fakeReboot: { ...yesNo, description: 'a shutdown under way is to end in a reboot' },
    autoDestroy: yesNo,
    cgroups: { type: 'array', items: text },
    registration: {
      type: 'object',
      description: "the guest as systemd's machine or scope",
      properties: { kind: { enum: ['machined', 'systemd'] }, machine: text },
      required: ['kind', 'machine']
    },
    claims: { type: 'array', description: "claims at the host's aggregator that xml speaks for", items: text },
    originalCpu: { ...text, description: '<cpu> it was started with, where QEMU made another' },
    taints: { type: 'array', description: "libvirt's virDomainTaint", items: text },
    deprecations: { type: 'array', description: 'what of the guest its QEMU means to drop', items: text },
    user: { ...text, description: 'who QEMU runs as; absent: who its shim ran as' },
    group: text,
    xml: { ...text, description: 'the live definition, aliases and addresses included' }
  },
  required: [
    'version',
    'bootId',
    'phase',
    'name',
    'uuid',
    'id',
    'persistent',
    'state',
    'reason',
    'stateTimeMs',
    'generation',
    'paused',
    'autoDestroy',
    'cgroups',
    'xml'
  ]
}

/** Checks what was read from `file`. @throws VIR_ERR_INTERNAL_ERROR naming the file and the member at fault */
export function checkStatus(value: unknown, file: string): Status {
  const ajv = new Ajv({ strict: false })
  if (ajv.validate(statusSchema, value)) return value as Status
  throw fail(
    'VIR_ERR_INTERNAL_ERROR',
    `'${file}' is not of form ${STATUS_VERSION}: ${ajv.errorsText(null, { dataVar: 'status' })}`
  )
}
