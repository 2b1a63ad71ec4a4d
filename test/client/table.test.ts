import t from 'tap'
import { formatTable } from '../../src/client/table.ts'

/** Rows below a header of one wide column and a second that shows where the first ends. */
const columnOf = (...cells: string[]) =>
  formatTable(
    ['A', 'B'],
    cells.map(cell => [cell, '|'])
  )
    .split('\n')
    .slice(2, -1)

t.test('columns stand three blanks apart, the last is not padded', async t => {
  const rows = [
    ['1', 'long name', 'x'],
    ['-', 'n', '']
  ]
  t.equal(
    formatTable(['Id', 'Name', 'State'], rows),
    [' Id   Name        State', '-------------------------', ' 1    long name   x', ' -    n           ', ''].join('\n')
  )
  t.equal(formatTable(['Id', 'Name', 'State'], rows, true), ' 1   long name   x\n -   n           \n')
})

t.test('without rows: the header, or nothing', async t => {
  t.equal(formatTable(['Id', 'Name'], []), ' Id   Name\n------------\n')
  t.equal(formatTable(['Id', 'Name'], [], true), '')
})

t.test('characters of two columns, and of none', async t => {
  const widths: [text: string, columns: number][] = [
    ['abcd', 4],
    ['日本', 4],
    ['한국', 4],
    ['ｆｕ', 4],
    ['😀😀', 4],
    ['öäüß', 4],
    ['e\u0301e\u0301e\u0301e\u0301', 4],
    ['ab\u200bcd', 4],
    ['ｶﾀｶﾅ', 4]
  ]
  for (const [text] of widths) t.same(columnOf(text, 'abcd'), [` ${text}   |`, ' abcd   |'], JSON.stringify(text))
})

t.test('control characters cannot break the columns, nor be taken for what was typed so', async t => {
  t.same(columnOf('a\nb', 'a\tb', 'a\x1b[31m', '\x7f', '\x85', '\\x0a', 'c:\\dir'), [
    ' a\\x0ab      |',
    ' a\\x09b      |',
    ' a\\x1b[31m   |',
    ' \\x7f        |',
    ' \\x85        |',
    ' \\x5cx0a     |',
    ' c:\\dir      |'
  ])
})
