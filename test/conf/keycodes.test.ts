import t from 'tap'
import { virKeycodeSet } from '../../src/conf/enums.ts'
import { KEYCODE_TABLE } from '../../src/conf/keycode-table.ts'
import { linuxKeycode, toQnum } from '../../src/conf/keycodes.ts'

const rows = KEYCODE_TABLE.trim()
  .split('\n')
  .map(line => line.split(' '))

t.test('the table is whole', async t => {
  t.ok(rows.length > 450, `${rows.length} keys`)
  for (const row of rows) {
    t.match(row.join(' '), /^((?:KEY|BTN)_\w+)?( (\d+|-)){9}$/)
    t.not(row[1], '-', `${row[0]} has a Linux code`)
  }
  const names = rows.map(([name]) => name).filter(name => name !== '')
  t.equal(new Set(names).size, names.length, 'no name twice')
})

t.test('a key has the same number in every set', async t => {
  const sets = [
    virKeycodeSet.VIR_KEYCODE_SET_LINUX,
    virKeycodeSet.VIR_KEYCODE_SET_ATSET1,
    virKeycodeSet.VIR_KEYCODE_SET_ATSET2,
    virKeycodeSet.VIR_KEYCODE_SET_ATSET3,
    virKeycodeSet.VIR_KEYCODE_SET_OSX,
    virKeycodeSet.VIR_KEYCODE_SET_XT_KBD,
    virKeycodeSet.VIR_KEYCODE_SET_USB,
    virKeycodeSet.VIR_KEYCODE_SET_WIN32
  ]
  for (const [at, set] of sets.entries()) {
    const seen = new Set<string>()
    for (const [name, ...codes] of rows) {
      const code = codes[at]!
      // the first key of a code is meant
      if (code === '-' || seen.has(code)) continue
      seen.add(code)
      // libvirt presses key 0 for what QEMU lacks
      const qnum = codes[8] === '-' ? 0 : Number(codes[8])
      if (toQnum(set, Number(code)) !== qnum) t.fail(`set ${at}: ${name}`)
    }
    t.ok(seen.size > 90, `set ${at}: ${seen.size} codes`)
  }
})

t.test('keys by name, and what is none', async t => {
  t.same(['KEY_ENTER', 'KEY_ESC', 'KEY_LEFTCTRL', 'key_enter', 'nosuch', ''].map(linuxKeycode), [
    28,
    1,
    29,
    undefined,
    undefined,
    undefined
  ])
  t.equal(toQnum(virKeycodeSet.VIR_KEYCODE_SET_USB, 40), 28, 'enter')
  t.equal(toQnum(virKeycodeSet.VIR_KEYCODE_SET_XT, 28), toQnum(virKeycodeSet.VIR_KEYCODE_SET_ATSET1, 28))
  t.equal(toQnum(virKeycodeSet.VIR_KEYCODE_SET_LINUX, 60000), undefined)
  t.equal(toQnum(99, 1), undefined)
})
