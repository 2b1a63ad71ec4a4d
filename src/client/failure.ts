// Failures that end a command: lines for stderr, exit status 1.

/** A failure of the client itself or of a call, as the lines virsh would print behind `error: `. */
export class ClientError extends Error {
  readonly lines: string[]

  constructor(...lines: string[]) {
    super(lines.join('\n'))
    this.lines = lines
  }
}

/** An error a shim answered with; `code` and `domain` are libvirt's numbers. */
export class ApiError extends ClientError {
  readonly code: number
  readonly domain: number | undefined

  constructor(message: string, code: number, domain?: number) {
    super(message)
    this.code = code
    this.domain = domain
  }
}

/** Runs a call; puts a line in front of its error, as virsh does for some commands. */
export async function saying<T>(line: string, call: Promise<T>): Promise<T> {
  try {
    return await call
  } catch (error) {
    if (error instanceof ClientError) throw new ClientError(line, ...error.lines)
    throw error
  }
}

/** Runs a call; puts a line behind its error, as virsh does for others. */
export async function failing<T>(call: Promise<T>, line: string): Promise<T> {
  try {
    return await call
  } catch (error) {
    if (error instanceof ClientError) throw new ClientError(...error.lines, line)
    throw error
  }
}
