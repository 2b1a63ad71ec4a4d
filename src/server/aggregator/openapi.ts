// The aggregator's HTTP as an OpenAPI 3.1 document.
import { API_FACTS } from '../../conf/api-list.ts'
import { api } from '../../drivers/qemu/index.ts'
import { openapiOf, pathItem } from '../openapi.ts'
import { shimRows } from '../rows.ts'
import { aggregatorSchema } from './claim-schema.ts'
import { guestsSchema } from './guests-schema.ts'
import { aggregatorRows } from './rows.ts'

const GUEST = { name: 'domain', in: 'path', required: true, schema: { type: 'string' }, description: 'name or uuid' }

const json = (description: string, schema: object) => ({
  200: { description, content: { 'application/json': { schema } } }
})

const JOB = {
  type: 'object',
  properties: {
    guest: { type: 'object', description: 'name and uuid; where jobs of several guests are listed' },
    id: { type: 'string' },
    kind: { type: 'string', description: "libvirt's virDomainAsyncJob or virDomainJob, or agent" },
    heldBy: { type: 'string', description: 'the API that holds it' },
    sinceMs: { type: 'integer', description: 'when it began, ms since the epoch' },
    phase: { type: 'string' },
    percent: { type: 'integer', description: 'never less than before; absent where nothing is counted' },
    bytesPerSecond: { type: 'integer' },
    cancellable: { type: 'boolean' }
  },
  required: ['id', 'kind', 'heldBy', 'sinceMs', 'cancellable']
}

/** Paths that are no API of libvirt's. */
const PLAIN = {
  '/v1/guests': {
    get: {
      operationId: 'guests',
      summary: 'Every guest that is known, those that do not answer included',
      parameters: [{ name: 'guest', in: 'query', schema: { type: 'string' }, description: 'name, uuid or id' }],
      responses: json('all guests', { $ref: '#/components/schemas/Guests' })
    }
  },
  '/v1/allocations': {
    get: {
      operationId: 'allocations',
      summary: 'Every resource of the host that guests hold, and what they have together of those that are counted',
      responses: json('all resources', { $ref: '#/components/schemas/Allocations' })
    }
  },
  '/v1/conflicts': {
    get: {
      operationId: 'conflicts',
      summary: 'Resources that several guests hold although they must not, and budgets that are exceeded',
      responses: json('all conflicts', { $ref: '#/components/schemas/Conflicts' })
    }
  },
  '/v1/claims': {
    post: {
      operationId: 'claim',
      summary: 'Grants a guest all it asks for, or nothing',
      requestBody: { content: { 'application/json': { schema: { $ref: '#/components/schemas/Claim' } } } },
      responses: {
        ...json('granted', { $ref: '#/components/schemas/Granted' }),
        409: {
          description: 'somebody has some of it',
          content: { 'application/json': { schema: { $ref: '#/components/schemas/Refused' } } }
        }
      }
    }
  },
  '/v1/claims/{claim}': {
    parameters: [{ name: 'claim', in: 'path', required: true, schema: { type: 'string' } }],
    delete: { operationId: 'release', summary: 'Gives a claim back', responses: json('it is free', { type: 'object' }) }
  },
  '/v1/jobs': {
    get: {
      operationId: 'jobs',
      summary: 'What guests are busy with: long jobs with their progress, and the calls that hold a guest',
      responses: json('all jobs', {
        type: 'object',
        properties: { jobs: { type: 'array', items: JOB } },
        required: ['jobs']
      })
    }
  },
  '/v1/domains/{domain}/jobs/{job}': {
    parameters: [GUEST, { name: 'job', in: 'path', required: true, schema: { type: 'string' } }],
    get: { operationId: 'job', summary: 'One job of a guest', responses: json('the job', JOB) },
    delete: {
      operationId: 'cancelJob',
      summary: 'Has a job given up',
      responses: json('it is about to end', { type: 'object' })
    }
  },
  '/v1/events': {
    get: {
      operationId: 'events',
      summary: 'Events of all guests in one stream, resumable by id',
      parameters: [{ name: 'since', in: 'query', schema: { type: 'integer' } }],
      responses: { 200: { description: 'server-sent events', content: { 'text/event-stream': {} } } }
    }
  },
  '/healthz': { get: { operationId: 'health', responses: json('how many guests do not answer', { type: 'object' }) } },
  '/metrics': {
    get: {
      operationId: 'metrics',
      responses: { 200: { description: 'for Prometheus', content: { 'text/plain': {} } } }
    }
  }
}

const { claim, granted, refused, allocations, conflicts } = aggregatorSchema.$defs
const SCHEMAS = {
  Guests: guestsSchema,
  Claim: claim,
  Granted: granted,
  Refused: refused,
  Allocations: allocations,
  Conflicts: conflicts
}

/** The whole document. */
export function aggregatorOpenapi(): object {
  const paths: Record<string, object> = { ...PLAIN }
  for (const [name, row] of Object.entries({ ...api, ...shimRows, ...aggregatorRows })) {
    const readOnly = API_FACTS[name]?.readOnly ?? false
    if (row.on === 'connect') paths[`/v1/${name}`] = pathItem(name, row, readOnly)
    else paths[`/v1/domains/{domain}/${name}`] = pathItem(name, row, readOnly, [GUEST])
  }
  return openapiOf("libvirt's APIs of every guest of this host", paths, SCHEMAS)
}
