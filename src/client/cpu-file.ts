// CPUs in a file: alone or in a row, in domain XML, in capabilities of hosts and of hypervisors.
import { errnoText } from '../conf/errno.ts'
import { toVirError } from '../conf/error.ts'
import { childElements, decodeXml, formatXml, parseXml, type XmlElement } from '../conf/xml.ts'
import { ClientError } from './failure.ts'
import { readInput } from './input.ts'

const DECLARATION = /^<\?xml[\s\S]*?\?>/

/** Elements below `nodes` at a path of names. */
const below = (nodes: XmlElement[], ...path: string[]): XmlElement[] =>
  path.reduce((found, name) => found.flatMap(node => childElements(node, name)), nodes)

/** Each CPU as XML of its own. @throws ClientError in virsh's words */
export async function cpusIn(path: string): Promise<string[]> {
  let root: XmlElement
  try {
    const text = decodeXml(await readInput(path), path).replace(DECLARATION, '')
    root = parseXml(`<container>${text}</container>`, path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).errno !== undefined) {
      throw new ClientError(`Failed to open file '${path}': ${errnoText(error)}`)
    }
    throw new ClientError(toVirError(error).message)
  }
  const models = below([root], 'domainCapabilities', 'cpu', 'mode')
    .filter(({ attributes }) => attributes.name === 'host-model' && attributes.supported === 'yes')
    .map(({ children }): XmlElement => ({ name: 'cpu', attributes: {}, children }))
  const found = [
    ...below([root], 'cpu'),
    ...below([root], 'domain', 'cpu'),
    ...below([root], 'capabilities', 'host', 'cpu'),
    ...models
  ]
  if (found.length === 0) {
    throw new ClientError(
      `File '${path}' does not contain any <cpu> element or valid domain XML, host capabilities XML, or domain capabilities XML`
    )
  }
  return found.map(node => formatXml(node))
}
