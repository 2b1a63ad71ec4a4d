// The API table as an OpenAPI 3.1 document.
import { ERROR_CODES, ERROR_DOMAINS } from '../conf/error-table.ts'
import { VERSION } from '../conf/version.ts'
import { objectSchema } from '../conf/wire.ts'
import { type Api, api } from '../drivers/qemu/index.ts'

/** The form of every error; schemas/error.json is this. */
export const errorSchema = {
  type: 'object',
  properties: {
    code: { type: 'integer', description: "libvirt's virErrorNumber" },
    codeName: { enum: Object.keys(ERROR_CODES) },
    domain: { type: 'integer', description: "libvirt's virErrorDomain" },
    domainName: { enum: Object.keys(ERROR_DOMAINS) },
    message: { type: 'string' }
  },
  required: ['code', 'codeName', 'domain', 'domainName', 'message'],
  additionalProperties: false
}

const STREAM_CONTENT = { body: 'image/png', channel: 'application/octet-stream' }

function operation(name: string, method: Api) {
  const content = method.stream
    ? { [STREAM_CONTENT[method.stream]]: {} }
    : { 'application/json': { schema: objectSchema(method.ret) } }
  return {
    operationId: name,
    summary: `libvirt's ${name} (since ${method.since})`,
    externalDocs: { url: `https://libvirt.org/html/libvirt-libvirt-domain.html#${name}` },
    requestBody: { content: { 'application/json': { schema: objectSchema(method.args) } } },
    responses: {
      [method.stream === 'channel' ? '101' : '200']: { description: 'done', content },
      default: {
        description: 'failed',
        content: { 'application/json': { schema: { $ref: '#/components/schemas/Error' } } }
      }
    }
  }
}

/** The whole document. */
export function openapi(): object {
  const paths = Object.fromEntries(
    (Object.entries(api) as [string, Api][]).map(([name, method]) => {
      const post = operation(name, method)
      const { requestBody, ...get } = post
      const parameters = Object.entries(method.args).map(([field, type]) => ({
        name: field,
        in: 'query',
        required: !type.optional,
        schema: type.schema
      }))
      const isGet = method.readOnly || method.stream === 'channel'
      return [
        `/v1/${name}`,
        {
          ...(method.stream !== 'channel' && { post }),
          ...(isGet && { get: { ...get, operationId: `get_${name}`, parameters } })
        }
      ]
    })
  )
  return {
    openapi: '3.1.0',
    info: {
      title: 'virshim',
      version: VERSION,
      description: "libvirt's virDomain* APIs of one guest",
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' }
    },
    paths,
    components: { schemas: { Error: errorSchema } }
  }
}
