// Command lines of the daemons: what they give, and what is bad usage.
import { join } from 'node:path'
import t from 'tap'
import { DEFAULT_OVERCOMMITS } from '../../src/server/aggregator/budget.ts'
import { readOptions as readAggregator } from '../../src/server/aggregator/options.ts'
import { readOptions as readShim, USAGE, UsageError } from '../../src/server/options.ts'
import { libvirtDirectory } from '../../src/server/rpc/libvirt-sockets.ts'

/** What differs from a command line without options; the message of bad usage. */
function differs(read: (argv: string[]) => object | string, base: string[], words: string[]): unknown {
  try {
    const options = read(words)
    if (typeof options === 'string') return options
    const plain = read(base) as Record<string, unknown>
    return Object.fromEntries(
      Object.entries(options).filter(([name, value]) => JSON.stringify(value) !== JSON.stringify(plain[name]))
    )
  } catch (error) {
    if (!(error instanceof UsageError)) throw error
    return error.message
  }
}

t.test('virshimd', async t => {
  const notSeconds = (option: string, text: string) => `${option}: '${text}' is not a number of seconds`
  const cases: [words: string[], options: unknown][] = [
    [['g.xml'], {}],
    [['-'], { xmlFile: '-' }],
    [['--', '--detach'], { xmlFile: '--detach' }],
    [['--root', 'd', 'g.xml'], { root: 'd' }],
    [['--root=d'], { xmlFile: undefined, root: 'd' }],
    [['--name', 'n'], { xmlFile: undefined, name: 'n' }],
    [['--detach', 'g.xml'], { detach: true }],
    [['--background', 'g.xml'], { background: true }],
    [['--paused', '--autodestroy', 'g.xml'], { paused: true, autoDestroy: true }],
    [['--tied', 'g.xml'], { tied: true }],
    [['--define', '--validate', '--reset-nvram', 'g.xml'], { define: true, validate: true, resetNvram: true }],
    [['--linger', 'g.xml'], { linger: true }],
    [['--inactive', 'g.xml'], { inactive: true, linger: true }],
    [['--json', 'g.xml'], {}],
    [['--idle-timeout', '0.5', 'g.xml'], { idleTimeoutS: 0.5 }],
    [['--shutdown-timeout', '2147483', 'g.xml'], { shutdownTimeoutS: 2147483 }],
    [['--shutdown-timeout=0', 'g.xml'], { shutdownTimeoutS: 0 }],
    [['--aggregator', 'none', 'g.xml'], { aggregator: 'none' }],
    [['--log-level', 'trace', 'g.xml'], { logLevel: 'trace' }],
    [['--help'], 'help'],
    [['-h', 'a', 'b'], 'help'],
    [['--version'], 'version'],
    [['-V', '--root', 'd', '--name', 'n'], 'version'],
    [['--help', '--version'], 'help'],
    [[], 'GUEST.xml is missing'],
    [['--paused'], 'GUEST.xml is missing'],
    [['a', 'b'], 'one guest per process, not 2'],
    [['--root', 'd', '--name', 'n', 'g.xml'], '--root and --name exclude each other'],
    ...['-1', '', 'x', '1e3', '0x10', ' 5', 'Infinity', 'NaN', '2147484', '1.'].flatMap(
      (text): [string[], string][] => [
        [[`--shutdown-timeout=${text}`, 'g.xml'], notSeconds('--shutdown-timeout', text)],
        [[`--idle-timeout=${text}`, 'g.xml'], notSeconds('--idle-timeout', text)]
      ]
    ),
    ...['loud', '', 'INFO', 'fatal', 'silent'].map((level): [string[], string] => [
      [`--log-level=${level}`, 'g.xml'],
      `--log-level: '${level}' is unknown`
    ])
  ]
  for (const [words, options] of cases) t.same(differs(readShim, ['g.xml'], words), options, words.join(' '))
  for (const words of [
    ['--nope'],
    ['-x'],
    ['--root'],
    ['--detach=yes', 'g'],
    ['--root', '--detach'],
    ['--log-level']
  ]) {
    t.type(differs(readShim, ['g.xml'], words), 'string', words.join(' '))
  }
  const named = USAGE.match(/--[a-z0-9-]+/g)!.filter(word => word !== '--aggregator' && word !== '--inactive')
  for (const option of new Set(named)) {
    t.notMatch(differs(readShim, ['g.xml'], [option, '0', 'g.xml']), /Unknown option/, `${option} is known`)
  }
})

t.test('as somebody else: only root may', async t => {
  const root = process.getuid?.() === 0
  for (const option of ['user', 'group']) {
    const wanted = root ? { [option]: 'qemu' } : '--user and --group: only root can run QEMU as somebody else'
    t.same(differs(readShim, ['g.xml'], [`--${option}`, 'qemu', 'g.xml']), wanted)
  }
})

t.test('users for guests: only root may', async t => {
  const root = process.getuid?.() === 0
  const onlyRoot = '--uid-range: only root can run QEMU as somebody else'
  for (const [given, range] of [
    ['5-5', { first: 5, last: 5 }],
    ['200000-265535', { first: 200_000, last: 265_535 }],
    ['1-4294967294', { first: 1, last: 4_294_967_294 }]
  ] as const) {
    t.same(differs(readShim, ['g.xml'], ['--uid-range', given, 'g.xml']), root ? { uidRange: range } : onlyRoot, given)
    t.same(differs(readAggregator, [], ['--uid-range', given]), root ? { uidRange: range } : onlyRoot, given)
  }
  for (const given of ['', '5', '0-9', '9-5', 'a-b', '5-6-7', '-5', '1-4294967295', '99999999999-99999999999']) {
    const wanted = `--uid-range: '${given}' is no range of user ids, FIRST-LAST`
    t.same(differs(readShim, ['g.xml'], [`--uid-range=${given}`, 'g.xml']), wanted)
  }
  for (const other of ['--user', '--group']) {
    const words = ['--uid-range', '5-6', other, 'nobody', 'g.xml']
    t.same(differs(readShim, ['g.xml'], words), '--uid-range excludes --user and --group')
  }
})

t.test('confined guests: only root may', async t => {
  const wanted = process.getuid?.() === 0 ? { confine: true } : '--confine: only root can do it'
  t.same(differs(readShim, ['g.xml'], ['--confine', 'g.xml']), wanted)
  t.same(differs(readAggregator, [], ['--confine']), { confine: true }, 'its shims will say')
})

t.test('virshim-aggregatord', async t => {
  const own = join(libvirtDirectory(), 'libvirt-sock')
  const vcpu = (ratio: number, policy: string) => ({ ...DEFAULT_OVERCOMMITS, vcpu: { ratio, policy } })
  const cases: [words: string[], options: unknown][] = [
    [[], {}],
    [['--root', 'd'], { root: 'd' }],
    [['--watch', 'a/*', '--watch', 'b'], { watch: ['a/*', 'b'] }],
    [['--secondary', 'none'], { secondary: undefined }],
    [['--secondary', '/x'], { secondary: '/x' }],
    [['--libvirt-socket'], { libvirtSocket: own }],
    [['--libvirt-socket', '--root', 'd'], { libvirtSocket: own, root: 'd' }],
    [['--libvirt-socket', '/x/s'], { libvirtSocket: '/x/s' }],
    [['--libvirt-socket=/x/s'], { libvirtSocket: '/x/s' }],
    [['--libvirt-socket', 'x'.repeat(100)], { libvirtSocket: 'x'.repeat(100) }],
    [['--libvirt-socket', 'x'.repeat(101)], `--libvirt-socket: '${'x'.repeat(101)}' is too long for a socket's path`],
    [['--overcommit', 'vcpu=2:refuse'], { overcommits: vcpu(2, 'refuse') }],
    [['--overcommit', 'vcpu=2', '--overcommit', 'vcpu=off'], { overcommits: vcpu(2, 'off') }],
    [['--claim-grace', '1.5'], { claimGraceMs: 1500 }],
    [['--idle-timeout', '7'], { idleTimeoutS: '7' }],
    [['--log-level', 'debug'], { logLevel: 'debug' }],
    [['-h'], 'help'],
    [['--version'], 'version'],
    ...['0', '-1', 'x', '', 'Infinity'].map((text): [string[], string] => [
      [`--claim-grace=${text}`],
      `--claim-grace: '${text}' is not a number of seconds`
    ]),
    ...['-1', 'x', '', '3000000'].map((text): [string[], string] => [
      [`--idle-timeout=${text}`],
      `--idle-timeout: '${text}' is not a number of seconds`
    ]),
    [['--log-level', 'loud'], "--log-level: 'loud' is unknown"],
    [
      ['--overcommit', 'disk=1'],
      "--overcommit: overcommit 'disk=1' is not KIND=RATIO:POLICY, with memory, hugepages, vcpu and refuse, warn, off"
    ]
  ]
  for (const [words, options] of cases) t.same(differs(readAggregator, [], words), options, words.join(' '))
  for (const words of [['g.xml'], ['--nope'], ['--watch'], ['--root']]) {
    t.type(differs(readAggregator, [], words), 'string', words.join(' '))
  }
})
