// QEMUs that are not here: programs that answer the probe as another QEMU has answered, from a recording of its replies.
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'

/** Replies by command; those of commands about a type or a CPU model by its name. */
export type Replies = Record<string, unknown>

const RECORDINGS = '../shared/qemu-replies'

/** Replies of a recorded version; undefined in a checkout without recordings. */
export function recordedReplies(version: string): Replies | undefined {
  const file = join(RECORDINGS, `${version}-x86_64-tcg.json.gz`)
  return existsSync(file) ? JSON.parse(gunzipSync(readFileSync(file)).toString()) : undefined
}

const PROGRAM = `
const replies = JSON.parse(require('node:fs').readFileSync(__filename + '.json', 'utf8'))
const say = message => process.stdout.write(JSON.stringify(message) + '\\n')
const find = ({ execute, arguments: args = {} }) => {
  if (execute === 'qmp_capabilities') return {}
  if (/-list-properties$/.test(execute)) return replies[execute][args.typename]
  if (execute !== 'query-cpu-model-expansion') return replies[execute]
  return args.model.props ? undefined : replies[execute][args.model.name + '/' + args.type]
}
say(replies.greeting)
require('node:readline').createInterface({ input: process.stdin }).on('line', line => {
  const order = JSON.parse(line)
  const found = find(order)
  const isKnown = found !== undefined && found !== null && !('$error' in Object(found))
  say({ ...(isKnown ? { return: found } : { error: { class: 'GenericError', desc: 'not recorded' } }), id: order.id })
})
`

/** A program in `dir` that answers so. @returns its path */
export function recordedQemu(dir: string, name: string, replies: Replies): string {
  const path = join(dir, name)
  writeFileSync(`${path}.json`, JSON.stringify(replies))
  writeFileSync(path, `#!${process.execPath}\n${PROGRAM}`)
  chmodSync(path, 0o755)
  return path
}
