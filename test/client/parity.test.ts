// Misuse of every command that virsh has too: virsh on a shim's socket and our client say the same. The lines come from
// the commands' own tables of options.
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import t from 'tap'
import type { OptionKind, Options } from '../../src/client/arguments.ts'
import { groups } from '../../src/client/commands/index.ts'
import { bareGuest, Shim } from '../helper/shim.ts'
import { runCommand, type Said } from '../helper/stand-in-api.ts'

t.setTimeout(240_000)

const RUNNING = 1
const NAME = 't-parity'

const shim = new Shim(bareGuest(NAME))
t.teardown(() => shim.end())
void shim.start()
await shim.untilState(RUNNING)

const uri = `qemu+unix:///system?socket=${join(shim.root, 'libvirt-sock')}`
const virsh = (words: string[]) =>
  new Promise<{ status: number; out: string; err: string }>(done => {
    const child = execFile('virsh', ['-c', uri, ...words], (_, out, err) =>
      done({ status: child.exitCode ?? -1, out: steady(out.trimEnd()), err })
    )
  })

/** What our client says, in the form of a program's output. */
function asProgram({ out, errors }: Said): { status: number; out: string; err: string } {
  return {
    status: errors ? 1 : 0,
    out: steady(out.trimEnd()),
    err: (errors ?? []).map(line => `error: ${line}\n`).join('')
  }
}

/** Commands that virsh lacks, or has in another form. */
const OWN = new Set(
  ['shim-detach', 'jobs', 'complete', 'help', 'uri', 'version', 'allocations', 'conflicts', 'api-coverage'].concat([
    'domxml-normalize',
    'domxml-to-native',
    'domxml-validate'
  ])
)

/** Lines with something wrong: each way with one option of each kind. */
function misuses(name: string, options: Options): string[][] {
  const lines = [['--nosuch'], ['--nosuch=1', NAME], ['--', ...Array(20).fill('x')], []]
  if ('domain' in options) lines.push(['nobody'], ['--domain', 'nobody', '--nosuch'], [''])
  const tried = new Set<OptionKind>()
  for (const [option, { kind }] of Object.entries(options)) {
    if (kind === 'bool' && !tried.has(kind)) lines.push([`--${option}=1`], [`--${option}`, `--${option}`])
    if (kind !== 'bool') lines.push([`--${option}=`])
    if (kind !== 'bool' && !tried.has(kind)) lines.push([`--${option}`], [`--${option}`, 'a', `--${option}`, 'b'])
    tried.add(kind)
  }
  return lines.map(words => [name, ...words])
}

/** What grows from one call to the next. */
const steady = (out: string) =>
  out.replace(/((?:rss|time|delay|system|user|idle|iowait|free|cached|Total|KiB:).*?)\d+/g, '$1N')

/** Numbers in the forms virsh takes and does not take. */
const NUMBERS = [
  ...['0', '00', '0x0', '010', '+0', ' 0', '0 ', '-0', '1e0', '2147483648', '-2147483649', 'zero'].flatMap(text => [
    ['nodecpustats', '--cpu', text],
    ['nodememstats', '--cell', text]
  ]),
  ...['4', ' 4', '+4', '4b', '4k', '4KB', '4 M', '4q', '4.0', '-4', '4T', '4294967295', '18446744073709551616'].map(
    text => [...['freepages', '--cellno', '0', '--pagesize', text]]
  ),
  ...['x', '+1', ' 1', '1 ', '18446744073709551616'].map(text => ['allocpages', '4', text]),
  ...['59', '0x3c', '60s'].map(text => ['nodesuspend', 'nowhere', text]),
  ...['0', '-1', '2147484', 'x'].map(text => ['event', '--all', '--timeout', text]),
  ...['0x10000', '65536', '0xg', '-1', '', '08'].map(text => ['send-key', NAME, text]),
  ...['0x1', '01', '1 ', '-1', '+9999999999'].map(text => ['domname', text])
]

/** Runs lines with both. */
async function compare(title: string, lines: string[][]): Promise<void> {
  await t.test(title, async t => {
    for (const line of lines) {
      const ours = runCommand(line, { connect: join(shim.root, 'api.sock') })
      const [expected, said] = await Promise.all([virsh(line), ours])
      t.same(asProgram(said), expected, line.join(' '))
    }
  })
}

for (const [name, { options }] of groups.flatMap(({ commands }) => Object.entries(commands))) {
  if (!OWN.has(name)) await compare(name, misuses(name, options))
}
await compare('numbers', NUMBERS)
