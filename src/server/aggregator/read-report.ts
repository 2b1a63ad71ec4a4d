// Reports as they come in. A watched socket may be another's, so nothing is taken on trust.
import { Ajv, type ValidateFunction } from 'ajv'
import type { Report } from '../report.ts'
import { reportSchema } from '../report-schema.ts'

/** Told by a shim, and not to be believed. */
export class NotBelieved extends Error {}

let validate: ValidateFunction | undefined

/** A report from its JSON; what a newer shim says beyond it is kept. @throws NotBelieved for anything else */
export function readReport(text: string): Report {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw new NotBelieved(`not a guest's report: ${(error as Error).message}`)
  }
  return checkReport(value)
}

/** The same, of what is read already. @throws NotBelieved */
export function checkReport(value: unknown): Report {
  if (!validate) {
    const ajv = new Ajv({ strict: false })
    validate = ajv.compile({ ...reportSchema, additionalProperties: true })
  }
  if (!validate(value)) {
    const { instancePath = '', message } = validate.errors?.[0] ?? {}
    throw new NotBelieved(`not a guest's report: ${instancePath} ${message}`)
  }
  const report = value as Report
  return { ...report, uuid: report.uuid.toLowerCase() }
}
