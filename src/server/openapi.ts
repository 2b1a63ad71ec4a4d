// The API table as an OpenAPI 3.1 document.
import { VERSION } from '../conf/version.ts'
import { objectSchema } from '../conf/wire.ts'
import { isTwoWay, type Method } from '../drivers/method.ts'
import { type Api, api } from '../drivers/qemu/index.ts'
import { errorSchema } from './error-schema.ts'
import { shimRows } from './rows.ts'

const STREAM_CONTENT = {
  body: 'image/png',
  channel: 'application/octet-stream',
  file: 'application/octet-stream',
  upload: 'application/json'
}

/** Of an API that HTTP cannot carry out. */
const BYTES_NEEDED =
  'Takes bytes behind its call, which libvirt’s own protocol alone brings: VIR_ERR_ARGUMENT_UNSUPPORTED over HTTP'

/** The same. */
const FILES_NEEDED =
  'Needs open files, which come over libvirt’s own protocol alone: VIR_ERR_ARGUMENT_UNSUPPORTED over HTTP'

function operation(name: string, method: Row) {
  const content = method.stream
    ? { [STREAM_CONTENT[method.stream]]: {} }
    : {
        'application/json': { schema: objectSchema(method.ret) },
        // the tie of what ends with its caller's connection
        ...(method.tied && { 'text/event-stream': {} })
      }
  return {
    operationId: name,
    summary: `libvirt's ${name} (since ${method.since})`,
    ...(method.takesFiles && { description: FILES_NEEDED }),
    ...(method.stream === 'upload' && { description: BYTES_NEEDED }),
    externalDocs: { url: `https://libvirt.org/html/libvirt-libvirt-domain.html#${name}` },
    requestBody: { content: { 'application/json': { schema: objectSchema(method.args) } } },
    responses: {
      [isTwoWay(method) ? '101' : '200']: { description: 'done', content },
      default: {
        description: 'failed',
        content: { 'application/json': { schema: { $ref: '#/components/schemas/Error' } } }
      }
    }
  }
}

type Row = Pick<Method<never>, 'since' | 'stream' | 'tied' | 'takesFiles' | 'args' | 'ret'>

/** GET and POST of one API; `parameters` are those of its path. */
export function pathItem(name: string, row: Row, readOnly: boolean, parameters: object[] = []): object {
  const post = operation(name, row)
  const { requestBody, ...get } = post
  const query = Object.entries(row.args).map(([field, type]) => ({
    name: field,
    in: 'query',
    required: !type.optional,
    schema: type.schema
  }))
  const isGet = readOnly || isTwoWay(row)
  return {
    ...(parameters.length > 0 && { parameters }),
    ...(!isTwoWay(row) && { post }),
    ...(isGet && { get: { ...get, operationId: `get_${name}`, parameters: query } })
  }
}

/** A document around some paths. */
export function openapiOf(description: string, paths: object, schemas: object = {}): object {
  return {
    openapi: '3.1.0',
    info: {
      title: 'virshim',
      version: VERSION,
      description,
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' }
    },
    paths,
    components: { schemas: { Error: errorSchema, ...schemas } }
  }
}

/** The whole document of a shim. */
export function openapi(): object {
  const rows = Object.entries({ ...api, ...shimRows }) as [string, Api][]
  const paths = rows.map(([name, row]) => [`/v1/${name}`, pathItem(name, row, row.readOnly ?? false)])
  return openapiOf("libvirt's virDomain* APIs of one guest", Object.fromEntries(paths))
}
