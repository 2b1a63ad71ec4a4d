// Reports as they come in. A watched socket may be another's, so nothing is taken on trust.
import { Ajv, type ValidateFunction } from 'ajv'
import type { Report } from '../report.ts'
import { reportSchema } from '../report-schema.ts'

let validate: ValidateFunction | undefined

/** A report from its JSON; what a newer shim says beyond it is kept. @throws Error for anything else */
export function readReport(text: string): Report {
  const value: unknown = JSON.parse(text)
  if (!validate) {
    const ajv = new Ajv({ strict: false })
    validate = ajv.compile({ ...reportSchema, additionalProperties: true })
  }
  if (!validate(value)) {
    const { instancePath = '', message } = validate.errors?.[0] ?? {}
    throw new Error(`not a guest's report: ${instancePath} ${message}`)
  }
  return value as Report
}
