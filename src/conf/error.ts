// VirError: the one error that leaves virshim, with libvirt's code, domain and message shape.
import { ERROR_CODES, ERROR_DOMAINS } from './error-table.ts'

export type ErrorCode = keyof typeof ERROR_CODES
export type ErrorDomain = keyof typeof ERROR_DOMAINS

/** An error as HTTP and RPC clients see it; schemas/error.json is its form. */
export interface ErrorJson {
  code: number
  codeName: ErrorCode
  domain: number
  domainName: ErrorDomain
  message: string
}

/** HTTP status of the codes that are not plain server failures; the rest are 500. */
const HTTP_STATUS: Partial<Record<ErrorCode, number>> = {
  VIR_ERR_INVALID_ARG: 400,
  VIR_ERR_XML_ERROR: 400,
  VIR_ERR_XML_DETAIL: 400,
  VIR_ERR_XML_INVALID_SCHEMA: 400,
  VIR_ERR_CONFIG_UNSUPPORTED: 422,
  VIR_ERR_OS_TYPE: 422,
  VIR_ERR_NO_NAME: 400,
  VIR_ERR_NO_DOMAIN: 404,
  VIR_ERR_DEVICE_MISSING: 404,
  VIR_ERR_RPC: 404,
  VIR_ERR_NO_DOMAIN_METADATA: 404,
  VIR_ERR_NO_SUPPORT: 501,
  VIR_ERR_ARGUMENT_UNSUPPORTED: 501,
  VIR_ERR_OPERATION_UNSUPPORTED: 501,
  VIR_ERR_OPERATION_INVALID: 409,
  VIR_ERR_OPERATION_DENIED: 403,
  VIR_ERR_ACCESS_DENIED: 403,
  VIR_ERR_DOM_EXIST: 409,
  VIR_ERR_RESOURCE_BUSY: 409,
  VIR_ERR_OPERATION_TIMEOUT: 504,
  VIR_ERR_AGENT_UNRESPONSIVE: 503,
  VIR_ERR_OPERATION_ABORTED: 409
}

/** A failure in libvirt's terms. `detail` is put into the code's template, as virReportError does. */
export class VirError extends Error {
  override readonly name = 'VirError'
  readonly code: ErrorCode
  readonly domain: ErrorDomain
  /** the text put into the code's template */
  readonly detail: string | undefined
  /** the detail is the whole message */
  readonly #isWhole: boolean

  constructor(domain: ErrorDomain, code: ErrorCode, detail?: string, options?: ErrorOptions & { isWhole?: boolean }) {
    const [, bare, template] = ERROR_CODES[code]
    super(detail === undefined ? bare : options?.isWhole ? detail : template.replace('%s', () => detail), options)
    this.#isWhole = options?.isWhole ?? false
    this.detail = detail
    this.code = code
    this.domain = domain
  }

  get number(): number {
    return ERROR_CODES[this.code][0]
  }

  /** the code's text, with %s for the detail */
  get template(): string {
    const [, bare, template] = ERROR_CODES[this.code]
    return this.detail === undefined ? bare : this.#isWhole ? '%s' : template
  }

  get httpStatus(): number {
    return HTTP_STATUS[this.code] ?? 500
  }

  toJSON(): ErrorJson {
    return {
      code: this.number,
      codeName: this.code,
      domain: ERROR_DOMAINS[this.domain][0],
      domainName: this.domain,
      message: this.message
    }
  }
}

export type Fail = (code: ErrorCode, detail?: string, cause?: unknown) => VirError

/** The error maker of one file: `const fail = errorsFrom('VIR_FROM_QEMU')`, then `throw fail(code, detail)`. */
export function errorsFrom(domain: ErrorDomain): Fail {
  return (code, detail, cause) => new VirError(domain, code, detail, cause === undefined ? undefined : { cause })
}

/** The maker of errors about arguments of one file; they come without their code's words (virReportInvalidArg). */
export const argumentErrorsFrom =
  (domain: ErrorDomain) =>
  (message: string): VirError =>
    new VirError(domain, 'VIR_ERR_INVALID_ARG', message, { isWhole: true })

/** Any thrown value as a VirError; what is not one already is a bug and becomes VIR_ERR_INTERNAL_ERROR. */
export function toVirError(thrown: unknown, domain: ErrorDomain = 'VIR_FROM_QEMU'): VirError {
  if (thrown instanceof VirError) return thrown
  const message = thrown instanceof Error ? thrown.message : String(thrown)
  return new VirError(domain, 'VIR_ERR_INTERNAL_ERROR', message, { cause: thrown })
}
