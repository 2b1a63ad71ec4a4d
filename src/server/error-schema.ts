// The form of an error as JSON Schema.
import { ERROR_CODES, ERROR_DOMAINS } from '../conf/error-table.ts'

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
