// Paths as libvirt keeps them.

/** virFileSanitizePath: several slashes are one, none at the end; URIs and a leading double slash stay. */
export function sanitizePath(path: string): string {
  const uri = path.indexOf('://')
  if (uri >= 0 && path.indexOf('/') > uri) return path
  const head = /^\/\/(?!\/)/.test(path) ? '//' : ''
  const rest = path.slice(head.length).replace(/\/+/g, '/')
  return head + (rest.length > 1 ? rest.replace(/\/$/, '') : rest)
}
