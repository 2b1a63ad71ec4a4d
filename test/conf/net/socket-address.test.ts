import t from 'tap'
import { formatSocketAddress, isNetworkAddress, parseSocketAddress } from '../../../src/conf/net/socket-address.ts'

const canonical = (text: string) => {
  const address = parseSocketAddress(text)
  return address && formatSocketAddress(address)
}

t.test('writes addresses as inet_ntop does', async t => {
  for (const [given, written] of [
    ['10.0.2.5', '10.0.2.5'],
    ['1.2', '1.0.0.2'],
    ['0x7f.1', '127.0.0.1'],
    ['010.1.1.1', '8.1.1.1'],
    ['4294967295', '255.255.255.255'],
    ['::', '::'],
    ['1::', '1::'],
    ['FE80::00aB', 'fe80::ab'],
    ['1:0:0:2:0:0:0:3', '1:0:0:2::3'],
    ['0:1:0:0:2:3:4:5', '0:1::2:3:4:5'],
    ['1:0:2:3:4:5:6:7', '1:0:2:3:4:5:6:7'],
    ['::ffff:1.2.3.4', '::ffff:1.2.3.4'],
    ['::102:304', '::1.2.3.4'],
    ['fe80::1%eth0', 'fe80::1%eth0']
  ] as const) {
    t.equal(canonical(given), written, given)
  }
})

t.test('refuses what is no address', async t => {
  for (const text of [
    '',
    'x',
    '1.2.3.4.5',
    '256.1.1.1',
    '1.65536.1',
    '4294967296',
    '1.2.3.08',
    ' 1.2.3.4',
    ':1',
    '1:::2',
    '12345::',
    '1:2:3:4:5:6:7:8:9',
    '::1%eth0'
  ]) {
    t.equal(canonical(text), undefined, JSON.stringify(text))
  }
  t.equal(parseSocketAddress('10.0.0.1', 'ipv6'), undefined)
  t.equal(parseSocketAddress('::1', 'ipv4'), undefined)
})

t.test('a network address has no bits beside its mask', async t => {
  const address = parseSocketAddress('10.128.0.0')!
  t.ok(isNetworkAddress(address, 9))
  t.notOk(isNetworkAddress(address, 8))
  t.ok(isNetworkAddress(address, parseSocketAddress('255.128.0.0')!))
  t.notOk(isNetworkAddress(parseSocketAddress('2001:db8::')!, 0))
})
