// The forms the aggregator's ledger has outside, as JSON Schema, and the check of what comes in.
import { Ajv, type ValidateFunction } from 'ajv'
import { errorsFrom } from '../../conf/error.ts'
import { type ClaimRequest, isAutomatic } from '../../state/claim.ts'
import { errorSchema } from '../error-schema.ts'
import { nameSchema, reportSchema } from '../report-schema.ts'
import { COUNTED } from './budget.ts'

const fail = errorsFrom('VIR_FROM_RPC')

const text = { type: 'string', maxLength: 4096 }
const count = { type: 'integer', minimum: 0 }
const allocation = reportSchema.properties.allocations.items
const ref = (name: string) => ({ $ref: `#/$defs/${name}` })
const list = (items: object) => ({ type: 'array', items })
const object = (properties: Record<string, object>, optional: string[] = []) => ({
  type: 'object',
  properties,
  required: Object.keys(properties).filter(name => !optional.includes(name))
})

const { key, path, mode } = allocation.properties
const kind = { ...text, description: 'what sort of resource it is, as in a report' }
const socket = { ...text, description: "API socket of the guest's shim, as the shim itself sees it" }
const namespace = { ...text, maxLength: 64, description: 'as in /proc/PID/ns' }

/** Kinds whose values can be chosen. */
const AUTOMATIC_KINDS = ['domain-id', 'tcp-port', 'uid', 'vsock-cid']
/** Values that one claim may have chosen. */
const CHOSEN_MAX = 1024
const value = { ...count, maximum: 2 ** 32 - 1 }

const automatic = object(
  {
    kind: { enum: AUTOMATIC_KINDS },
    auto: object(
      {
        min: value,
        max: value,
        from: { ...value, description: 'where the search for a free value begins; absent: at min' }
      },
      ['from']
    ),
    count: {
      type: 'integer',
      minimum: 1,
      maximum: CHOSEN_MAX,
      description: `how many values; absent: one. At most ${CHOSEN_MAX} in one claim`
    }
  },
  ['count']
)

const claim = object(
  {
    claim: {
      ...text,
      pattern: '^[0-9a-f]{1,64}$',
      description: 'chosen by the guest: asking again with the same one gives the same answer'
    },
    name: nameSchema,
    uuid: { ...text, maxLength: 64 },
    pid: { ...count, description: "the shim's process" },
    startTime: { ...text, description: 'field 22 of /proc/PID/stat' },
    socket,
    namespaces: { type: 'object', properties: { net: namespace, mnt: namespace, cgroup: namespace, pid: namespace } },
    resources: { ...list({ anyOf: [allocation, automatic] }), maxItems: 4096 }
  },
  ['claim', 'namespaces']
)

const conflict = object(
  {
    kind,
    key,
    path,
    mode: { ...mode, description: 'how it was asked for' },
    holder: { ...text, description: 'name of the guest that has it' },
    uuid: { ...text, description: "the holder's" }
  },
  ['path']
)

const guest = { name: text, uuid: text, socket }
const budget = object(
  {
    kind: { enum: [...COUNTED] },
    key: { ...text, description: 'of huge pages, their size in KiB' },
    used: { ...count, description: 'by all guests; KiB of memory, else a number' },
    capacity: { ...count, description: 'what the host has' },
    limit: { ...count, description: 'what guests may have together; absent where nobody counts' },
    policy: { enum: ['refuse', 'warn', 'off'] },
    exceeded: { type: 'boolean' }
  },
  ['key', 'limit']
)

/** schemas/aggregator.json is this: the bodies of /v1/claims, /v1/allocations and /v1/conflicts. */
export const aggregatorSchema = {
  $id: 'aggregator.json',
  title: 'What the aggregator hears from guests, and the ledger of what they hold',
  $defs: {
    report: { $ref: 'report.json' },
    allocation,
    claim: { ...claim, description: 'body of POST /v1/claims' },
    granted: {
      ...object({
        claim: { ...text, description: 'DELETE /v1/claims/ID gives it back' },
        chosen: { ...list(list(count)), description: 'values of each automatic resource, in the order asked for' },
        warnings: { ...list(text), description: 'budgets that are overdrawn, where the policy is to warn' }
      }),
      description: 'answer 200 to it'
    },
    refused: {
      ...errorSchema,
      properties: { ...errorSchema.properties, conflicts: list(conflict) },
      description: 'answer 409 to it; without conflicts where a budget or a range is used up'
    },
    allocations: {
      ...object({
        allocations: list({
          ...allocation,
          properties: {
            ...allocation.properties,
            holder: object(guest),
            state: { enum: ['reported', 'claimed'], description: 'claimed: granted to a guest that has not told of it' }
          },
          required: [...allocation.required, 'holder', 'state']
        }),
        budgets: list(budget)
      }),
      description: 'answer to GET /v1/allocations'
    },
    conflicts: {
      ...object({
        conflicts: list(object({ kind, key, path, holders: list(object({ ...guest, mode })) }, ['path'])),
        budgets: { ...list(budget), description: 'those that are exceeded' },
        leftOut: {
          ...list(object({ place: { ...text, description: 'where the shim was found' }, reason: text })),
          description: 'reports that are not believed'
        }
      }),
      description: 'answer to GET /v1/conflicts'
    }
  },
  anyOf: ['report', 'claim', 'granted', 'refused', 'allocations', 'conflicts'].map(ref)
}

let validate: ValidateFunction | undefined

/** A claim from its JSON. @throws VIR_ERR_INVALID_ARG */
export function readClaimRequest(value: unknown): ClaimRequest {
  validate ??= new Ajv({ strict: false }).compile(claim)
  if (!validate(value)) {
    const { instancePath = '', message } = validate.errors?.[0] ?? {}
    throw fail('VIR_ERR_INVALID_ARG', `claim: ${instancePath} ${message}`)
  }
  const request = value as ClaimRequest
  const automatic = request.resources.filter(isAutomatic)
  for (const { auto } of automatic) {
    if (auto.min > auto.max) throw fail('VIR_ERR_INVALID_ARG', 'claim: min is above max')
  }
  const chosen = automatic.reduce((sum, { count: values = 1 }) => sum + values, 0)
  if (chosen > CHOSEN_MAX)
    throw fail('VIR_ERR_INVALID_ARG', `claim: ${chosen} values are to be chosen, ${CHOSEN_MAX} may be`)
  return request
}
