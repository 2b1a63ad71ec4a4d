// The packages of which something is in the bundles.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

/** Directory of the package a bundled file is of, if it is of one. */
const PACKAGE = /^.*\/?node_modules\/(?:@[^/]+\/)?[^/]+(?=\/)/

/**
 * Their directories and what their package.json says, by name and version.
 * @param metafile esbuild's, with paths from the current directory
 */
export function bundledPackages({ outputs }) {
  const files = Object.values(outputs).flatMap(({ inputs }) => Object.keys(inputs))
  const dirs = new Set(files.flatMap(file => PACKAGE.exec(file) ?? []))
  const packages = new Map()
  for (const dir of dirs) {
    const about = JSON.parse(readFileSync(join(dir, 'package.json'), 'utf8'))
    packages.set(`${about.name} ${about.version}`, { dir, about })
  }
  return [...packages].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, one]) => one)
}
