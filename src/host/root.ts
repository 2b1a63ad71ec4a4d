// Root of the host's own files: `/`, or for tests a tree of theirs (as virSysfsSetSystemPath).
let root = ''

/** Has the host's files read below another directory; '' is the host itself. */
export function setHostRoot(directory: string): void {
  root = directory
}

/** The place of a file of the host's, as /proc/meminfo. */
export const hostFile = (path: string): string => root + path
