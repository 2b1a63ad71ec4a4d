// The software bill of materials of the bundles, in CycloneDX's form: users get no packages beside them, so that `npm sbom`
// of an installed virshim has nothing to tell. The same bundles have the same bill: there is no time or number in it.
import { readFileSync } from 'node:fs'
import { bundledPackages } from './bundled.mjs'

const purl = ({ name, version }) => `pkg:npm/${name.replace('@', '%40')}@${version}`

/** npm's integrity, base64, as the hexadecimal hash that the form wants. */
function hashesOf(integrity = '') {
  return integrity
    .split(' ')
    .filter(one => one.startsWith('sha512-'))
    .map(one => ({ alg: 'SHA-512', content: Buffer.from(one.slice(7), 'base64').toString('hex') }))
}

/** @param metafile esbuild's, with paths from the current directory */
export function billOfMaterials(metafile) {
  const own = JSON.parse(readFileSync('package.json', 'utf8'))
  const { packages: locked } = JSON.parse(readFileSync('package-lock.json', 'utf8'))
  const component = ({ dir, about }) => ({
    type: 'library',
    'bom-ref': purl(about),
    name: about.name,
    version: about.version,
    licenses: [/ (OR|AND) /.test(about.license) ? { expression: about.license } : { license: { id: about.license } }],
    purl: purl(about),
    hashes: hashesOf(locked[dir.slice(dir.indexOf('node_modules/'))]?.integrity)
  })
  return {
    $schema: 'http://cyclonedx.org/schema/bom-1.5.schema.json',
    bomFormat: 'CycloneDX',
    specVersion: '1.5',
    version: 1,
    metadata: {
      component: {
        type: 'application',
        'bom-ref': purl(own),
        name: own.name,
        version: own.version,
        licenses: [{ license: { id: own.license } }],
        purl: purl(own)
      }
    },
    components: bundledPackages(metafile).map(component)
  }
}
