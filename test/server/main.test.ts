// Exit status of the daemons and what they say, where they never come to serve.
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { VERSION } from '../../src/conf/version.ts'
import { bareGuest } from '../helper/shim.ts'

const VIR_ERR_INVALID_ARG = 8
/** Only against hanging. */
const LIMIT_MS = 60_000

const dir = mkdtempSync(join(tmpdir(), 'virshim-exit-'))
t.teardown(() => rmSync(dir, { recursive: true, force: true }))
const at = (name: string) => join(dir, name)
const file = (name: string, text: string | Buffer) => {
  writeFileSync(at(name), text)
  return at(name)
}
mkdirSync(at('empty'))
const good = file('good.xml', bareGuest('t-exit'))
const guest = (from: string | RegExp, to: string) =>
  file(`${readdirSync(dir).length}.xml`, bareGuest('t-exit').replace(from, to))

const run = (program: string, words: string[], input = '') => {
  const { status, stdout, stderr } = spawnSync(`bin/${program}`, words, { encoding: 'utf8', input, timeout: LIMIT_MS })
  return { status, out: stdout, err: stderr }
}
const usage = (message: string | RegExp) => ({
  status: 2,
  out: '',
  err: new RegExp(`^error: ${message instanceof RegExp ? message.source : message}\nusage: virshimd`)
})
const refused = (status: number, message: RegExp) => ({ status, out: '', err: message })
const root = ['--root', at('root')]

t.test('virshimd', async t => {
  const cases: [words: string[], said: object, input?: string][] = [
    [['--version'], { status: 0, out: `virshimd ${VERSION}\n`, err: '' }],
    [['--help', '--nope=1'].slice(0, 1), { status: 0, out: /^usage: virshimd \[OPTIONS\] GUEST\.xml\n/, err: '' }],
    [[], usage('GUEST\\.xml is missing')],
    [['--nope'], usage(/Unknown option '--nope'.*/)],
    [[good, good], usage('one guest per process, not 2')],
    [[...root, '--idle-timeout', 'soon', good], usage("--idle-timeout: 'soon' is not a number of seconds")],
    [[...root, at('none.xml')], usage(/cannot read '.*none\.xml': ENOENT.*/)],
    [[...root, dir], usage(/cannot read '.*': EISDIR.*/)],
    [['--root', at('empty')], usage(/GUEST\.xml is missing and nothing is known of a guest in '.*empty'/)],
    [['--root', at('empty'), '--inactive'], usage(/GUEST\.xml is missing and nothing is known.*/)],
    [[...root, '-'], refused(2, /^error: .*document is empty|^error: at line 1: /)],
    [[...root, '-'], refused(2, /^error: at line 1: /), '<domain'],
    [[...root, file('text.xml', 'not XML')], refused(2, /^error: at line 1: /)],
    [
      [...root, file('other.xml', '<network/>')],
      refused(2, /^error: XML error: expecting root element of 'domain', not 'network'/)
    ],
    [[...root, file('nul.xml', Buffer.from('<domain>\0</domain>'))], refused(2, /^error: /)],
    [[...root, guest(/<name>.*<\/name>/, '')], refused(2, /^error: .*name/)],
    [['--root', '/proc/nosuch', good], refused(1, /^error: .*cannot create directory '\/proc\/nosuch': ENOENT/)],
    [[...root, guest('t-exit', 'a/b')], refused(2, /^error: .*name a\/b cannot contain '\/'/)],
    [[...root, guest("type='qemu'", "type='xen'")], refused(2, /^error: .*xen/)],
    [[...root, guest('hvm', 'exe')], refused(2, /^error: XML error: init binary must be specified/)],
    [[...root, '--validate', guest('<devices>', '<nosuch/><devices>')], refused(2, /^error: .*validate/)],
    [[...root, '--inactive', good], refused(1, /^$/)]
  ]
  for (const [words, said, input] of cases) {
    const ran = run('virshimd', words, input)
    t.match(ran, said, words.join(' ') || 'nothing')
    t.notMatch(ran.err, /^ {4}at /m, 'no stack trace')
  }
})

t.test('--json says the same in a line', async t => {
  const told = (words: string[]) => {
    const { status, out } = run('virshimd', ['--json', ...words])
    const lines = out.split('\n').slice(0, -1)
    return { status, told: lines.map(line => JSON.parse(line) as { status: number; error?: object }) }
  }
  const cases: [words: string[], status: number, error: object][] = [
    [[], 2, { code: VIR_ERR_INVALID_ARG, codeName: 'VIR_ERR_INVALID_ARG' }],
    [['--nope'], 2, { codeName: 'VIR_ERR_INVALID_ARG', message: /Unknown option '--nope'/ }],
    [[...root, at('text.xml')], 2, { codeName: 'VIR_ERR_XML_DETAIL', domainName: 'VIR_FROM_DOMAIN' }],
    [[...root, at('none.xml')], 2, { codeName: 'VIR_ERR_INVALID_ARG', message: /cannot read/ }]
  ]
  for (const [words, status, error] of cases) {
    t.match(told(words), { status, told: [{ status, error }] }, words.join(' '))
    t.equal(told(words).told.length, 1)
  }
  t.match(told([...root, '--inactive', good]), { status: 1, told: [{ ended: null, status: 1 }] })
})

t.test('--detach passes the status on', async t => {
  t.match(run('virshimd', [...root, '--detach', at('text.xml')]), refused(2, /^error: at line 1: /))
  t.match(run('virshimd', [...root, '--detach', '-'], '<domain'), refused(2, /^error: at line 1: /))
  t.match(run('virshimd', [...root, '--detach', '--nope']), usage(/Unknown option '--nope'.*/))
})

t.test('nothing is left of any of them', async t => {
  t.same(
    readdirSync(dir)
      .filter(name => name === 'root')
      .flatMap(name => readdirSync(at(name))),
    []
  )
})

t.test('virshim-aggregatord', async t => {
  const taken = at('taken')
  const listener = createServer()
  await new Promise<void>(done => listener.listen(taken, done))
  t.teardown(() => listener.close())
  const bad = (message: RegExp) => ({
    status: 2,
    out: '',
    err: new RegExp(`^error: ${message.source}.*\nusage: virshim-aggregatord`)
  })
  const cases: [words: string[], said: object][] = [
    [['--version'], { status: 0, out: `virshim-aggregatord ${VERSION}\n`, err: '' }],
    [['-h'], { status: 0, out: /^usage: virshim-aggregatord/, err: '' }],
    [['--nope'], bad(/Unknown option '--nope'/)],
    [['extra'], bad(/Unexpected argument 'extra'/)],
    [['--overcommit', 'cpu=1'], bad(/--overcommit: overcommit 'cpu=1' is not/)],
    [['--root', good], refused(1, /^error: .*good\.xml/)],
    [['--root', join(good, 'below')], refused(1, /^error: /)],
    [['--root', at('agg'), '--libvirt-socket', taken], refused(1, /^error: .*another daemon listens at '.*taken'/m)]
  ]
  for (const [words, said] of cases) {
    const ran = run('virshim-aggregatord', words)
    t.match(ran, said, words.join(' '))
    t.notMatch(ran.err, /^ {4}at /m, 'no stack trace')
  }
  t.same(
    readdirSync(at('agg')).filter(name => name.includes('sock')),
    [],
    'no socket is left'
  )
})
