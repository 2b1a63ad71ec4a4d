// domxml-to-native, domxml-normalize, domxml-validate: what needs no daemon, only QEMU.
import { checkDefinable } from '../conf/domain/identity.ts'
import { formatDomain } from '../conf/domain-xml.ts'
import { toVirError } from '../conf/error.ts'
import { formatJson } from '../conf/json.ts'
import { decodeXml } from '../conf/xml.ts'
import { libvirtContext, type NativeCommand, nativeCommand, shellLine } from '../drivers/qemu/definition/native.ts'
import { loadDomain } from '../drivers/qemu/definition/passes.ts'
import { cacheDirectory } from '../state/root.ts'
import { readInput } from './input.ts'

type Answer = Record<string, unknown>

const verbs: Record<string, (xml: string) => Promise<Answer>> = {
  async 'domxml-to-native'(xml) {
    const { argv, given } = await nativeCommand(xml, cacheDirectory())
    return { argv, ...(Object.keys(given).length > 0 && { env: given }) }
  },
  async 'domxml-normalize'(xml) {
    const { def } = await loadDomain(xml, def => libvirtContext(def, cacheDirectory()))
    checkDefinable(def)
    return { xml: formatDomain(def, { inactive: true, secure: true }) }
  },
  async 'domxml-validate'(xml) {
    await loadDomain(xml, def => libvirtContext(def, cacheDirectory()), { validate: true })
    return { valid: true }
  }
}

/** Runs one offline verb over files; with json one line a file. Gives the exit status. */
export async function runOffline(verb: string, files: string[], json: boolean): Promise<number> {
  let status = 0
  for (const file of files) {
    let answer: Answer
    try {
      answer = await verbs[verb]!(decodeXml(await readInput(file), '(domain_definition)'))
    } catch (thrown) {
      const error = toVirError(thrown)
      status = 1
      if (process.env.VIRSHIM_DEBUG) process.stderr.write(`${file}: ${error.stack}\n`)
      answer = { error: { code: error.number, message: error.message } }
    }
    if (json) process.stdout.write(`${formatJson({ file, ...answer })}\n`)
    else if (answer.error) process.stderr.write(`error: ${file}: ${(answer.error as Error).message}\n`)
    else if (answer.argv) process.stdout.write(`${shellLine({ env: {}, ...answer } as NativeCommand)}\n`)
    else process.stdout.write(answer.xml ? `${answer.xml}` : `${file} validates\n`)
  }
  return status
}
