// The command line as virsh reads it.
import t from 'tap'
import { type Options, parseInteger, readArguments } from '../../src/client/arguments.ts'
import { option } from '../../src/client/command.ts'
import { ClientError } from '../../src/client/failure.ts'

const OPTIONS: Options = {
  domain: option.domain,
  flag: option.bool(''),
  other: option.bool(''),
  size: option.int(''),
  file: option.text(''),
  blank: option.text('', { emptyOk: true }),
  timeout: option.int('', { named: true }),
  rest: option.argv('')
}
const NAMES = Object.keys(OPTIONS)

/** What was given, by option; or the lines of the error. */
function read(words: string[], options: Options = OPTIONS): unknown {
  try {
    const given = readArguments('cmd', options, words)
    return Object.fromEntries([...NAMES, 'help'].filter(name => given.has(name)).map(name => [name, given.all(name)]))
  } catch (error) {
    if (!(error instanceof ClientError)) throw error
    return error.lines
  }
}

t.test('other names of an option', async t => {
  const options = {
    domain: option.domain,
    size: option.int('', { aliases: ['kilobytes'] }),
    file: option.text('', { aliases: ['none=/dev/null'] }),
    flag: option.bool('', { aliases: ['banner'] })
  }
  const cases: [words: string[], given: unknown][] = [
    [['vm', '--kilobytes', '5'], { domain: ['vm'], size: ['5'] }],
    [['vm', '--kilobytes=5', '--banner'], { domain: ['vm'], size: ['5'], flag: [''] }],
    [['--none', 'vm', '5'], { domain: ['vm'], size: ['5'], file: ['/dev/null'] }],
    [['vm', '--none=x'], ["invalid '=' after option --none"]],
    [['vm', '--kilobytes', '5', '--size', '6'], ['option --size already seen']],
    [['vm', '--none', '--file', 'x'], ['option --file already seen']]
  ]
  for (const [words, given] of cases) t.same(read(words, options), given, words.join(' '))
})

t.test('words and what they give', async t => {
  const cases: [words: string[], given: unknown][] = [
    [['vm'], { domain: ['vm'] }],
    [['--domain', 'vm'], { domain: ['vm'] }],
    [['--domain=vm'], { domain: ['vm'] }],
    [['--domain='], ["Failed to get option 'domain': Option argument is empty"]],
    [['--domain=a=b'], { domain: ['a=b'] }],
    [['--domain=a\nb'], { domain: ['a\nb'] }],
    [['vm', '--flag'], { domain: ['vm'], flag: [''] }],
    [['--flag', 'vm'], { domain: ['vm'], flag: [''] }],
    [['vm', '5', 'f', 'b', 'r', 's'], { domain: ['vm'], size: ['5'], file: ['f'], blank: ['b'], rest: ['r', 's'] }],
    [['--size', '5', 'vm', 'f'], { domain: ['vm'], size: ['5'], file: ['f'] }],
    [['vm', '--rest', 'a', '--rest', 'b'], { domain: ['vm'], rest: ['a', 'b'] }],
    [
      ['--rest', 'a', 'vm', '1', 'f', 'b', 'c'],
      { domain: ['vm'], size: ['1'], file: ['f'], blank: ['b'], rest: ['a', 'c'] }
    ],
    [['vm', '--timeout', '1'], { domain: ['vm'], timeout: ['1'] }],
    [['vm', '--size', '-1'], { domain: ['vm'], size: ['-1'] }],
    [['vm', '--file', '--flag'], { domain: ['vm'], file: ['--flag'] }],
    [['vm', '--blank', ''], { domain: ['vm'], blank: [''] }],
    [['vm', '--file', ''], ["Failed to get option 'file': Option argument is empty"]],
    [['-'], { domain: ['-'] }],
    [['-x'], { domain: ['-x'] }],
    [['---x'], ["command 'cmd' doesn't support option ---x"]],
    [['--', '--flag'], { domain: ['--flag'] }],
    [['vm', '--', '--size', '--'], { domain: ['vm'], size: ['--size'], file: ['--'] }],
    [['--help'], { help: [''] }],
    [['--flag', '--help'], { flag: [''], help: [''] }],
    [['--flag', '--help', '--nonsense'], ["command 'cmd' doesn't support option --nonsense"]],
    [[], ["command 'cmd' requires <domain> option"]],
    [['--flag'], ["command 'cmd' requires <domain> option"]],
    [['vm', '--nope'], ["command 'cmd' doesn't support option --nope"]],
    [['vm', '--nope=1'], ["command 'cmd' doesn't support option --nope"]],
    [['vm', '--constructor'], ["command 'cmd' doesn't support option --constructor"]],
    [['vm', '--__proto__'], ["command 'cmd' doesn't support option --__proto__"]],
    [['vm', '--flag=yes'], ["invalid '=' after option --flag"]],
    [['vm', '--flag', '--flag'], ['option --flag already seen']],
    [['vm', '--domain', 'vm'], ['option --domain already seen']],
    [['--domain', 'a', '--domain', 'b'], ['option --domain already seen']],
    [['vm', '--size'], ['expected syntax: --size <number>']],
    [['vm', '--file'], ['expected syntax: --file <string>']],
    [['vm', '--rest'], ['expected syntax: --rest <string>']]
  ]
  for (const [words, given] of cases) t.same(read(words), given, words.join(' ') || 'nothing')
})

t.test('what is missing, the first in the order of the table', async t => {
  const options: Options = {
    a: option.text('', { required: true }),
    b: option.int('', { required: true }),
    c: option.text('', { required: true, named: true }),
    d: option.argv('', { required: true })
  }
  const missing = (name: string) => `command 'cmd' requires ${name} option`
  t.same(read([], options), [missing('<a>')])
  t.same(read(['1'], options), [missing('<b>')])
  t.same(read(['1', '2'], options), [missing('--c')])
  t.same(read(['1', '2', '--c', '3'], options), [missing('<d>')])
  t.same(read(['1', '2', '3'], options), [missing('--c')])
  t.same(read(['1', '2', '--c', 'x', '3', 'y'], options), {})
  t.same(read(['1', '2'], { a: option.text('') }), ["unexpected data '2'"])
  t.same(read(['1'], {}), ["unexpected data '1'"])
  t.same(read(['1'], { a: option.text('', { named: true }) }), ["unexpected data '1'"])
})

t.test('integers are decimal, as virsh has them', async t => {
  const cases: [text: string, value: number | undefined][] = [
    ['0', 0],
    ['7', 7],
    ['+7', 7],
    ['-7', -7],
    [' 7', 7],
    ['010', 10],
    ['09', 9],
    ['2147483648', 2 ** 31],
    ...['', '-', '+-1', '0x1F', '0b1', '1e3', '1.0', '1 ', '\uff11', '1_000', 'Infinity'].map(
      (text): [string, undefined] => [text, undefined]
    )
  ]
  for (const [text, value] of cases) t.equal(parseInteger(text), value, `'${text}'`)
})

t.test('numbers of options and their ranges', async t => {
  const int = (text: string, range?: { min?: number; max?: number }) => {
    const given = readArguments('cmd', OPTIONS, ['vm', '--size', text])
    try {
      return given.int('size', range)
    } catch (error) {
      return (error as ClientError).lines.join()
    }
  }
  const bad = (text: string) => `Numeric value '${text}' for <size> option is malformed or out of range`
  t.equal(int('2147483647'), 2 ** 31 - 1)
  t.equal(int('-2147483648'), -(2 ** 31))
  for (const text of ['2147483648', '-2147483649', 'many', '5k']) t.equal(int(text), bad(text))
  t.equal(int('-1', { min: 0 }), bad('-1'))
  t.equal(int('4294967295', { min: 0, max: 2 ** 32 - 1 }), 2 ** 32 - 1)
  t.equal(int('4294967296', { min: 0, max: 2 ** 32 - 1 }), bad('4294967296'))
  t.equal(readArguments('cmd', OPTIONS, ['vm']).int('size'), undefined)
})

t.test('options that exclude each other: the first pair is told', async t => {
  const given = readArguments('cmd', OPTIONS, ['vm', '--flag', '--other', '--size', '1'])
  t.doesNotThrow(() => given.exclusive(['flag', 'file'], ['file', 'other']))
  t.throws(() => given.exclusive(['flag', 'file'], ['flag', 'other'], ['size', 'other']), {
    message: 'Options --flag and --other are mutually exclusive'
  })
})
