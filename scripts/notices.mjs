// The notices of the packages that the bundles hold: what their licences ask to be passed on with them.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { bundledPackages } from './bundled.mjs'

/** A package's licence; of one without a text its author and where the text can be read. */
function licenceText(dir, { author, license }) {
  const files = readdirSync(dir).filter(file => /^(licen[cs]e|copying|notice)([.-]|$)/i.test(file))
  if (files.length > 0) return files.map(file => readFileSync(join(dir, file), 'utf8').trim()).join('\n\n')
  return `Copyright ${author?.name ?? author}\nhttps://spdx.org/licenses/${license}.html`
}

/** @param metafile esbuild's, with paths from the current directory */
export function thirdPartyNotices(metafile) {
  const notices = bundledPackages(metafile).map(
    ({ dir, about }) => `${about.name} ${about.version} (${about.license})\n\n${licenceText(dir, about)}\n`
  )
  return ['The programs in this directory hold code of these packages.\n', ...notices]
    .join(`\n${'-'.repeat(80)}\n\n`)
    .replaceAll('\r\n', '\n')
}
