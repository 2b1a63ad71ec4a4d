// Numeric addresses against Node.js's own readers, which are inet_pton.
import { isIPv4, isIPv6 } from 'node:net'
import fc from 'fast-check'
import t from 'tap'
import { formatSocketAddress, isNetworkAddress, parseSocketAddress } from '../../../src/conf/net/socket-address.ts'

fc.configureGlobal({ seed: 20_230_101 })

const octets = (count: number) =>
  fc.array(fc.oneof(fc.constant(0), fc.nat(255)), { minLength: count, maxLength: count })

t.test('an address reads as it was written', async t => {
  for (const [family, count, isValid] of [
    ['ipv4', 4, isIPv4],
    ['ipv6', 16, isIPv6]
  ] as const) {
    fc.assert(
      fc.property(octets(count), octets => {
        const text = formatSocketAddress({ family, octets })
        const read = parseSocketAddress(text)
        return isValid(text) && read?.family === family && JSON.stringify(read.octets) === JSON.stringify(octets)
      })
    )
    t.pass(family)
  }
})

t.test('what inet_pton takes is taken, and no other IPv6 address', async t => {
  const text = fc.oneof(
    fc.ipV4(),
    fc.ipV6(),
    fc.string({ unit: fc.constantFrom(...'0123456789abcdef:.'), maxLength: 24 })
  )
  fc.assert(
    fc.property(text, text => {
      if (isIPv4(text)) return parseSocketAddress(text)?.octets.join('.') === text
      const family = parseSocketAddress(text)?.family
      // inet_aton takes more for IPv4 than inet_pton
      return isIPv6(text) ? family === 'ipv6' : family !== 'ipv6'
    }),
    { numRuns: 2000 }
  )
  t.pass('for every text')
})

t.test('a mask leaves network addresses as they are', async t => {
  fc.assert(
    fc.property(octets(4), fc.nat(32), (octets, prefix) => {
      const value = octets.reduce((sum, octet) => sum * 256 + octet, 0)
      const isNetwork = value % 2 ** (32 - prefix) === 0
      const mask = Array.from({ length: 4 }, (_, i) => (0xff00 >> Math.min(8, Math.max(0, prefix - 8 * i))) & 0xff)
      const address = { family: 'ipv4' as const, octets }
      return (
        isNetworkAddress(address, prefix) === isNetwork &&
        isNetworkAddress(address, { family: 'ipv4', octets: mask }) === isNetwork
      )
    })
  )
  t.pass('by length and as a mask')
})
