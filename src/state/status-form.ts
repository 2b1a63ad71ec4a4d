// The check of a status file's form. Loaded only where such a file is found.
import { Ajv } from 'ajv'
import { errorsFrom } from '../conf/error.ts'
import { STATUS_VERSION } from './status.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** Checks what was read from `file`. @throws VIR_ERR_INTERNAL_ERROR naming the file and the member at fault */
export function checkForm(schema: object, value: unknown, file: string): void {
  const ajv = new Ajv({ strict: false })
  if (ajv.validate(schema, value)) return
  throw fail(
    'VIR_ERR_INTERNAL_ERROR',
    `'${file}' is not of form ${STATUS_VERSION}: ${ajv.errorsText(ajv.errors, { dataVar: 'status' })}`
  )
}
