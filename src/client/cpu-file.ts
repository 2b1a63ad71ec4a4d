// CPUs in a file: alone or in a row, in domain XML, in capabilities of hosts and of hypervisors.
import { errnoText } from '../conf/errno.ts'
import { toVirError } from '../conf/error.ts'
import { childElements, decodeXml, formatXml, parseXml, textOf, type XmlElement } from '../conf/xml.ts'
import { ClientError } from './failure.ts'
import { readInput } from './input.ts'

const DECLARATION = /^<\?xml[\s\S]*?\?>/

/** Elements below `nodes` at a path of names. */
const below = (nodes: XmlElement[], ...path: string[]): XmlElement[] =>
  path.reduce((found, name) => found.flatMap(node => childElements(node, name)), nodes)

/** A host's CPU: its features have no policy, which a hypervisor would want to know. */
const isHosts = (cpu: XmlElement) =>
  childElements(cpu, 'feature').some(({ attributes }) => attributes.policy === undefined)

/**
 * Each CPU as XML of its own (vshExtractCPUDefXMLs).
 * @param warn told of each CPU that is a host's; absent: these are welcome
 * @throws ClientError in virsh's words
 */
export async function cpusIn(path: string, warn?: (line: string) => void): Promise<string[]> {
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
  for (const _ of found.filter(isHosts)) warn?.('using host CPU definition as input may provide incorrect results')
  return found.map(node => formatXml(node))
}

/** Names of the models in <domainCapabilities> that guests can have, or of all. */
export function usableModels(capabilities: string, all: boolean): string[] {
  const models = below([parseXml(capabilities, 'domcapabilities')], 'cpu', 'mode', 'model')
  return models
    .filter(({ attributes: { usable } }) => (all ? usable !== undefined : usable === 'yes'))
    .map(model => textOf(model))
}
