// The program: options in front of a command, exit status, what goes to which stream.
import { spawn, spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { groups } from '../../src/client/commands/index.ts'
import { VERSION } from '../../src/conf/version.ts'
import { bareGuest } from '../helper/shim.ts'

const dir = mkdtempSync(join(tmpdir(), 'virshim-main-'))
t.teardown(() => rmSync(dir, { recursive: true, force: true }))
const nowhere = join(dir, 'nowhere/api.sock')
const empty = join(dir, 'empty')
mkdirSync(empty)

const env = { ...process.env, VIRSHIM_CONNECT: empty }
const run = (words: string[], more: object = {}) => {
  const { status, stdout, stderr } = spawnSync('bin/virshim', words, { encoding: 'utf8', env, ...more })
  return { status, out: stdout, err: stderr }
}
const failed = (...lines: string[]) => ({ status: 1, out: '', err: lines.map(line => `error: ${line}\n`).join('') })
const version = { status: 0, out: `${VERSION}\n`, err: '' }
const unreachable = [
  'failed to connect to the hypervisor',
  `Failed to connect socket to '${nowhere}': No such file or directory`
]

t.test('options in front of a command', async t => {
  const cases: [words: string[], said: object][] = [
    [['-v'], version],
    [['-V'], version],
    [['--version', 'nonsense'], version],
    [['-q', '-r', '-c', nowhere, '-v'], version],
    [['--help'], { status: 0, out: /^\nvirshim \[options\]/, err: '' }],
    [['-h', '--nonsense'], { status: 0, out: /-c \| --connect/, err: '' }],
    [[], { status: 1, out: '', err: /^\nvirshim \[options\]/ }],
    [['-q'], { status: 1, out: '', err: /^\nvirshim \[options\]/ }],
    [['-c'], failed("option '-c' requires an argument")],
    [['--connect'], failed("option '--connect' requires an argument")],
    [['--nonsense', 'list'], failed("unsupported option '--nonsense'. See --help.")],
    [['-qr', 'list'], failed("unsupported option '-qr'. See --help.")],
    [['nonsense'], failed("unknown command: 'nonsense'")],
    [['constructor'], failed("unknown command: 'constructor'")],
    [['__proto__'], failed("unknown command: '__proto__'")],
    [['list', '--nonsense'], failed("command 'list' doesn't support option --nonsense")],
    [['list', '--name'], { status: 0, out: '\n', err: '' }],
    [['-q', 'list', '--name'], { status: 0, out: '', err: '' }],
    [['--quiet', '--readonly', 'list'], { status: 0, out: '', err: '' }],
    ...[['-c', nowhere], [`-c${nowhere}`], ['--connect', nowhere], [`--connect=${nowhere}`]].map(
      (words): [string[], object] => [['-q', ...words, 'list'], failed(...unreachable)]
    ),
    [['-c', empty, '-c', nowhere, '-q', 'list'], failed(...unreachable)],
    [['-c', nowhere, 'list'], { ...failed(...unreachable), out: '\n' }],
    [['list', '--help'], { status: 0, out: /^ {2}NAME\n {4}list - list domains\n/, err: '' }],
    [['-c', 'qemu+ssh://host/system', '-q', 'list'], { status: 1, out: '', err: /no connection driver available/ }]
  ]
  for (const [words, said] of cases) t.match(run(words), said, words.join(' ') || 'nothing')
})

t.test('the environment names the connection, an option comes first', async t => {
  const to = { env: { ...env, VIRSHIM_CONNECT: nowhere } }
  t.same(run(['-q', 'list'], to), failed(...unreachable))
  t.same(run(['-q', '-c', empty, 'list'], to), { status: 0, out: '', err: '' })
})

t.test('help names every command once, in its group', async t => {
  const { status, out } = run(['help'])
  t.equal(status, 0)
  for (const { name, keyword, commands } of groups) {
    t.match(out, ` ${name} (help keyword '${keyword}'):\n`)
    t.equal(run(['help', keyword]).out, run(['help', name]).out)
    for (const [command, { help, hidden }] of Object.entries(commands)) {
      const lines = out.split('\n').filter(line => line.startsWith(`    ${command} `))
      t.same(lines, hidden ? [] : [`    ${command.padEnd(30)} ${help}`], command)
    }
  }
})

t.test('a reader who leaves early is no fault', async t => {
  const child = spawn('bash', ['-c', 'set -o pipefail; bin/virshim help | head -n 1'], {
    stdio: ['ignore', 'pipe', 'pipe']
  })
  let said = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', chunk => {
      said += chunk
    })
  }
  await new Promise(done => child.once('close', done))
  t.equal(said, " Domain Management (help keyword 'domain'):\n")
})

t.test('which of the APIs are there', async t => {
  const all = JSON.parse(run(['api-coverage', '--json']).out) as { api: string; coverage: string }[]
  const missing = JSON.parse(run(['api-coverage', '--json', '--missing']).out) as typeof all
  t.ok(all.length > 200)
  t.same(
    missing,
    all.filter(({ coverage }) => coverage === 'missing')
  )
  const { out } = run(['api-coverage', '--missing'])
  t.match(out, / API +Procedure +Coverage +Area\n-+\n/)
  if (missing.length > 0) t.match(out, new RegExp(`\\b${missing.length} missing`))
  else t.match(out, /^ *\d+ implemented, \d+ client side, \d+ refused$/m)
})

const GOOD = bareGuest('t-offline').replace('<memory', '<uuid>9a3849fc-7320-4a80-8af4-58521fd2d58c</uuid><memory')
const files: Record<string, string | Buffer> = {
  good: GOOD,
  bad: '<domain>',
  unknown: GOOD.replace('<devices>', '<nonsense/><devices>'),
  latin1: Buffer.from(GOOD.replace('t-offline', 't-\xe9'), 'latin1'),
  slash: GOOD.replace('t-offline', 'a/b'),
  empty: ''
}
for (const [name, text] of Object.entries(files)) writeFileSync(join(dir, `${name}.xml`), text)
const at = (name: string) => join(dir, `${name}.xml`)

t.test('offline verbs: exit status, and which stream', async t => {
  const argv = /^\/usr\/bin\/qemu-system-x86_64 -name guest=t-offline,/
  const cases: [words: string[], said: object][] = [
    [['domxml-validate', at('good')], { status: 0, out: `${at('good')} validates\n\n`, err: '' }],
    [['domxml-to-native', 'qemu-argv', at('good')], { status: 0, out: argv, err: '' }],
    [['domxml-to-native', '--format', 'qemu-argv', '--xml', at('good')], { status: 0, out: argv, err: '' }],
    [
      ['domxml-normalize', at('good')],
      { status: 0, out: /^<domain type='qemu'>\n {2}<name>t-offline<\/name>\n/, err: '' }
    ],
    [
      ['domxml-validate', at('unknown')],
      { status: 1, out: '\n', err: /^error: .*unknown\.xml: XML document failed to validate/ }
    ],
    [['domxml-normalize', at('unknown')], { status: 0, err: '' }],
    [['domxml-normalize', at('bad')], { status: 1, out: '\n', err: /^error: .*bad\.xml: at line 1: / }],
    [['domxml-normalize', at('empty')], { status: 1, out: '\n', err: /^error: .*empty\.xml: / }],
    [['domxml-normalize', at('latin1')], { status: 1, out: '\n', err: /^error: .*latin1\.xml: / }],
    [
      ['domxml-normalize', at('slash')],
      { status: 1, out: '\n', err: /^error: .*slash\.xml: .*name a\/b cannot contain '\/'/ }
    ],
    [['domxml-normalize', at('none')], { status: 1, out: '\n', err: /^error: .*none\.xml: .*ENOENT|No such file/ }],
    [['domxml-normalize', dir], { status: 1, out: '\n', err: /^error: [^\n]*EISDIR|directory/ }],
    [['domxml-normalize'], failed("command 'domxml-normalize' requires <file> option")]
  ]
  for (const [words, said] of cases) {
    const ran = run(words)
    t.match(ran, said, words.join(' '))
    t.notMatch(ran.err, /^ {4}at /m, 'no stack trace')
  }
})

t.test('one bad file does not hide the rest; with --json one line a file', async t => {
  const names = ['bad', 'good', 'none', 'good']
  const lines = (verb: string[]) => {
    const { status, out, err } = run([...verb, '--json', ...names.map(at)])
    t.same([status, err], [1, ''])
    return out
      .split('\n')
      .filter(line => line !== '')
      .map(line => JSON.parse(line) as Record<string, unknown>)
  }
  for (const [verb, key, value] of [
    [['domxml-to-native', 'qemu-argv'], 'argv', /^\/.*qemu-system-x86_64$/],
    [['domxml-normalize'], 'xml', /^<domain/],
    [['domxml-validate'], 'valid', true]
  ] as const) {
    const told = lines([...verb])
    t.same(
      told.map(({ file }) => file),
      names.map(at)
    )
    for (const i of [0, 2]) t.match(told[i]!.error, { code: Number, message: String })
    t.notOk('error' in told[1]!)
    const first = [told[1]![key]].flat().find(word => typeof word !== 'string' || !/^\w+=/.test(word))
    t.match(first, value, key)
    t.same(told[1], told[3])
  }
})
