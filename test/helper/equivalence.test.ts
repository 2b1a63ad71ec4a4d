import t from 'tap'
import { canonicalOptions, canonicalXml, difference, shellWords } from './equivalence.ts'

const options = (line: string, source = '') => canonicalOptions(shellWords(line), source)
const sameLine = (a: string, b: string) => difference(options(a), options(b))

t.test('words of a shell', async t => {
  t.same(shellWords(`A=1 /q -x '{"a":"b c"}' "d\\"e" f\\ g''`), ['A=1', '/q', '-x', '{"a":"b c"}', 'd"e', 'f g'])
})

t.test('what may differ', async t => {
  t.same(sameLine(`A=1 /q -m 1 -S -device '{"a":"0x10","b":true}'`, '/q -S -m 1 -device b=on,a=16'), [])
  t.same(sameLine('/q -netdev tap,fd=24,id=n', '/q -netdev id=n,fd=30'), [
    '- -netdev {"":"tap","fd":"OWN","id":"n"}',
    '+ -netdev {"fd":"OWN","id":"n"}'
  ])
  const uuid = '11111111-2222-3333-4444-555555555555'
  t.same(
    options(`/q -uuid ${uuid}`),
    ['/q ', '-uuid {"":"UUID"}'].map(line => line.trim())
  )
  t.same(options(`/q -uuid ${uuid}`, uuid.toUpperCase()), ['/q', `-uuid {"":"${uuid}"}`])
})

t.test('what may not differ', async t => {
  t.same(sameLine('/q -m 1', '/q -m 2').length, 2)
  t.same(sameLine('/q -m 1', '/q -m 1 -m 1'), ['+ -m "1"'])
  const xml = (text: string) => canonicalXml(text, '')
  t.same(difference(xml("<a><b x='1' y='2'/><c/></a>"), xml("<a><c/><b y='2' x='1'/></a>")), [])
  t.not(difference(xml("<a><b x='1'/><b x='2'/></a>"), xml("<a><b x='2'/><b x='1'/></a>")).length, 0)
  t.not(difference(xml('<a><b><c/></b><b/></a>'), xml('<a><b/><b><c/></b></a>')).length, 0)
  t.not(difference(xml('<a>1</a>'), xml('<a>2</a>')).length, 0)
})
