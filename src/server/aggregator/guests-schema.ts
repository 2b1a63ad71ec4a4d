// The form of GET /v1/guests as JSON Schema.
import { reportSchema } from '../report-schema.ts'
import type { Flag } from './registry.ts'

const FLAGS: Flag[] = ['same name', 'same uuid', 'two sockets']

const guestSchema = {
  ...reportSchema,
  $id: undefined,
  title: 'A report, and how the guest is reached',
  properties: {
    ...reportSchema.properties,
    socket: { type: 'string', description: "API socket of the guest's shim; absent when it is shut off and has none" },
    unreachableSince: {
      type: 'integer',
      description: 'ms since the epoch; there while the shim does not answer, the rest is then what was known last'
    },
    flags: { type: 'array', items: { enum: FLAGS }, description: 'what this guest has in common with another' }
  },
  required: [...reportSchema.required, 'flags']
}

/** schemas/guests.json is this. */
export const guestsSchema = {
  $id: 'guests.json',
  title: 'Every guest that is known',
  type: 'object',
  properties: { guests: { type: 'array', items: guestSchema } },
  required: ['guests'],
  additionalProperties: false
}
