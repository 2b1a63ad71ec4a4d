// Values of attributes: C's numbers in their notations, tristates, identifiers. Edges first, then what must hold for all.
import fc from 'fast-check'
import t from 'tap'
import {
  hex,
  hexlong,
  int,
  intAnyBase,
  longlong,
  mac,
  nonNegativeInt,
  octal,
  onOff,
  path,
  positive,
  type Scalar,
  size,
  uint,
  uintAnyBase,
  uintWrapping,
  ulonglong,
  ulonglongAnyBase,
  ulonglongWrapping,
  unitFactor,
  uuid,
  yesNo
} from '../../src/conf/scalar.ts'

fc.configureGlobal({ seed: 20_230_101 })

t.test('numbers', async t => {
  const cases: [string, Scalar<number | bigint>, [text: string, value: number | bigint | undefined][]][] = [
    [
      'int',
      int,
      [
        ['0', 0],
        ['-2147483648', -(2 ** 31)],
        ['2147483647', 2 ** 31 - 1],
        ['2147483648', undefined],
        ['+7', 7],
        [' 7', 7],
        ['7 ', undefined],
        ['0x7', undefined],
        ['010', 10],
        ['', undefined],
        ['-', undefined],
        ['1.0', undefined],
        ['1e3', undefined]
      ]
    ],
    [
      'intAnyBase',
      intAnyBase,
      [
        ['0x10', 16],
        ['-0x10', -16],
        ['010', 8],
        ['08', undefined],
        ['0', 0],
        ['0x', undefined]
      ]
    ],
    [
      'nonNegativeInt',
      nonNegativeInt,
      [
        ['0', 0],
        ['-1', undefined],
        ['2147483648', undefined]
      ]
    ],
    [
      'uint',
      uint,
      [
        ['4294967295', 2 ** 32 - 1],
        ['4294967296', undefined],
        ['-1', undefined],
        ['-0', 0]
      ]
    ],
    [
      'uintWrapping',
      uintWrapping,
      [
        ['-1', 2 ** 32 - 1],
        ['-4294967295', 1],
        ['-4294967296', undefined],
        ['5', 5],
        ['x', undefined]
      ]
    ],
    [
      'uintAnyBase',
      uintAnyBase,
      [
        ['0xffffffff', 2 ** 32 - 1],
        ['037777777777', 2 ** 32 - 1],
        ['0x100000000', undefined]
      ]
    ],
    [
      'octal',
      octal,
      [
        ['755', 0o755],
        ['0755', 0o755],
        ['8', undefined],
        ['-1', undefined],
        ['0x1', undefined]
      ]
    ],
    [
      'size',
      size,
      [
        ['9007199254740991', Number.MAX_SAFE_INTEGER],
        ['9007199254740992', undefined]
      ]
    ],
    [
      'ulonglong',
      ulonglong,
      [
        ['18446744073709551615', 2n ** 64n - 1n],
        ['18446744073709551616', undefined],
        ['-1', undefined]
      ]
    ],
    [
      'ulonglongWrapping',
      ulonglongWrapping,
      [
        ['-1', 2n ** 64n - 1n],
        ['-18446744073709551615', 1n],
        ['-18446744073709551616', undefined]
      ]
    ],
    [
      'ulonglongAnyBase',
      ulonglongAnyBase,
      [
        ['0xffffffffffffffff', 2n ** 64n - 1n],
        ['01777777777777777777777', 2n ** 64n - 1n]
      ]
    ],
    [
      'longlong',
      longlong,
      [
        ['-9223372036854775808', -(2n ** 63n)],
        ['9223372036854775808', undefined]
      ]
    ],
    [
      'hex, base 16',
      hex(4, 16),
      [
        ['10', 16],
        ['0x10', 16],
        ['ffffffff', 2 ** 32 - 1],
        ['g', undefined]
      ]
    ],
    [
      'hexlong',
      hexlong(),
      [
        ['0xffffffffffffffff', 2n ** 64n - 1n],
        ['10', 10n]
      ]
    ]
  ]
  for (const [name, scalar, values] of cases) {
    for (const [text, value] of values) t.equal(scalar.parse(text), value, `${name} '${text}'`)
  }
})

t.test('what is written reads as the same', async t => {
  const all: [string, Scalar<number>, bigint, bigint][] = [
    ['int', int, -(2n ** 31n), 2n ** 31n - 1n],
    ['intAnyBase', intAnyBase, -(2n ** 31n), 2n ** 31n - 1n],
    ['uint', uint, 0n, 2n ** 32n - 1n],
    ['uintAnyBase', uintAnyBase, 0n, 2n ** 32n - 1n],
    ['octal', octal, 0n, 2n ** 32n - 1n],
    ['hex', hex(4), 0n, 2n ** 32n - 1n],
    ['hex of base 16', hex(2, 16), 0n, 2n ** 32n - 1n],
    ['size', size, 0n, 2n ** 53n - 1n],
    ['positive', positive, 1n, 2n ** 32n - 1n]
  ]
  for (const [name, scalar, min, max] of all) {
    fc.assert(
      fc.property(fc.bigInt({ min, max }), value => scalar.parse(scalar.format(Number(value))) === Number(value))
    )
    t.pass(name)
  }
  for (const [name, scalar, min, max] of [
    ['ulonglong', ulonglong, 0n, 2n ** 64n - 1n],
    ['longlong', longlong, -(2n ** 63n), 2n ** 63n - 1n],
    ['hexlong', hexlong(4), 0n, 2n ** 64n - 1n]
  ] as const) {
    fc.assert(fc.property(fc.bigInt({ min, max }), value => scalar.parse(scalar.format(value)) === value))
    t.pass(name)
  }
})

t.test('no text of any kind throws', async t => {
  const scalars = [int, intAnyBase, uint, uintWrapping, octal, ulonglong, ulonglongWrapping, hex(), uuid, mac, path]
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.string({ unit: fc.constantFrom(...'0123456789abcdefx+- :/') })), text => {
      for (const scalar of scalars) {
        const value = (scalar as Scalar<unknown>).parse(text)
        if (value === undefined) continue
        const again = (scalar as Scalar<unknown>).parse((scalar as Scalar<unknown>).format(value))
        if (again !== value) return false
      }
      return true
    })
  )
  t.pass('and what is read is written so that it reads the same')
})

t.test('tristates', async t => {
  t.same(['yes', 'no', 'Yes', 'on', ''].map(yesNo.parse), [true, false, undefined, undefined, undefined])
  t.same(['on', 'off', 'ON', 'yes', ''].map(onOff.parse), [true, false, undefined, undefined, undefined])
  t.same([true, false].map(yesNo.format), ['yes', 'no'])
  t.same([true, false].map(onOff.format), ['on', 'off'])
})

t.test('UUIDs in libvirt’s forms', async t => {
  const canonical = '53764d0e-85a0-42b4-af5c-2046b460b1dc'
  for (const text of [
    canonical,
    canonical.toUpperCase(),
    canonical.replaceAll('-', ''),
    ` ${canonical} `,
    '53 76-4d0e85a042b4af5c2046b460b1dc'
  ]) {
    t.equal(uuid.parse(text), canonical, text)
  }
  for (const text of [
    '',
    canonical.slice(1),
    `${canonical}0`,
    canonical.replace('5', 'g'),
    '5-3764d0e85a042b4af5c2046b460b1dc'
  ]) {
    t.equal(uuid.parse(text), undefined, text)
  }
})

t.test('MAC addresses', async t => {
  for (const [text, value] of [
    ['52:54:00:AB:cd:ef', '52:54:00:ab:cd:ef'],
    ['1:2:3:4:5:6', '01:02:03:04:05:06'],
    ['52:54:00:ab:cd:ef x', '52:54:00:ab:cd:ef'],
    ['52:54:00:ab:cd', undefined],
    ['52:54:00:ab:cd:ef:00', undefined],
    ['52-54-00-ab-cd-ef', undefined],
    ['525:4:00:ab:cd:ef', undefined],
    ['', undefined]
  ] as const) {
    t.equal(mac.parse(text), value, text)
  }
})

t.test('paths', async t => {
  for (const [text, value] of [
    ['/a//b///c/', '/a/b/c'],
    ['//a//b', '//a/b'],
    ['///a', '/a'],
    ['/', '/'],
    ['a/', 'a'],
    ['', ''],
    ['nbd://h//x/', 'nbd://h//x/']
  ] as const) {
    t.equal(path.parse(text), value, text)
  }
})

t.test('units', async t => {
  for (const [unit, factor] of [
    ['b', 1n],
    ['bytes', 1n],
    ['k', 1024n],
    ['KiB', 1024n],
    ['kb', 1000n],
    ['MB', 1000n ** 2n],
    ['GiB', 1024n ** 3n],
    ['T', 1024n ** 4n],
    ['pb', 1000n ** 5n],
    ['EiB', 1024n ** 6n],
    ['', undefined],
    ['x', undefined],
    ['kx', undefined],
    ['KiBs', undefined]
  ] as const) {
    t.equal(unitFactor(unit), factor, unit)
  }
})
