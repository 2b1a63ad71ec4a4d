// The operating system's errors in glibc's words, as libvirt's messages end with them (virReportSystemError).
import { getSystemErrorMap } from 'node:util'
import { type ErrorDomain, VirError } from './error.ts'

/** glibc's words by code, where libuv has others. */
const GLIBC: Record<string, string> = {
  EAI_AGAIN: 'Temporary failure in name resolution',
  EBUSY: 'Device or resource busy',
  ECONNABORTED: 'Software caused connection abort',
  ECONNRESET: 'Connection reset by peer',
  EEXIST: 'File exists',
  EFBIG: 'File too large',
  EINTR: 'Interrupted system call',
  EIO: 'Input/output error',
  EISDIR: 'Is a directory',
  ELOOP: 'Too many levels of symbolic links',
  EMFILE: 'Too many open files',
  ENAMETOOLONG: 'File name too long',
  ENFILE: 'Too many open files in system',
  ENOMEM: 'Cannot allocate memory',
  ENOTFOUND: 'Name or service not known',
  EPIPE: 'Broken pipe',
  ERANGE: 'Numerical result out of range',
  ETXTBSY: 'Text file busy',
  EXDEV: 'Invalid cross-device link'
}

/** strerror()'s words for an error from Node; the error's own message if it has no errno. */
export function errnoText(error: unknown): string {
  const { code, errno, message } = error as NodeJS.ErrnoException
  if (code !== undefined && GLIBC[code]) return GLIBC[code]
  const [, words] = (errno !== undefined && getSystemErrorMap().get(errno)) || []
  return words ? words[0]!.toUpperCase() + words.slice(1) : message
}

/** libvirt's form of a failed system call: its words, then the system's. */
export function systemError(domain: ErrorDomain, words: string, error: unknown): VirError {
  return new VirError(domain, 'VIR_ERR_SYSTEM_ERROR', `${words}: ${errnoText(error)}`, { cause: error })
}
