// Numeric IP addresses as virSocketAddrParse and virSocketAddrFormat treat them: what getaddrinfo(AI_NUMERICHOST)
// takes, inet_aton's short and hexadecimal IPv4 forms included, and what getnameinfo(NI_NUMERICHOST) writes.
export type AddressFamily = 'ipv4' | 'ipv6'

/** An address as its octets: 4 of them or 16. */
export interface SocketAddress {
  family: AddressFamily
  octets: number[]
  /** the zone of a link-local address, `eth0` in fe80::1%eth0 */
  zone?: string
}

/** Reads an address, of one family only if that is given; undefined for what is none. */
export function parseSocketAddress(text: string, family?: AddressFamily): SocketAddress | undefined {
  const octets = family === 'ipv6' ? undefined : parseIPv4(text)
  if (octets) return { family: 'ipv4', octets }
  if (family === 'ipv4') return undefined
  const [, address, zone] = /^([0-9a-f:.]{2,45})(?:%([\w.-]+))?$/i.exec(text) ?? []
  const long = address === undefined ? undefined : parseIPv6(address)
  // a zone by name is for addresses that are good on one link only
  if (zone !== undefined && long && !/^\d+$/.test(zone) && !isLinkLocal(long)) return undefined
  return long && { family: 'ipv6', octets: long, ...(zone !== undefined && { zone }) }
}

const isLinkLocal = ([first = 0, second = 0]: number[]) =>
  (first === 0xfe && second >> 6 === 2) || (first === 0xff && (second & 0xf) === 2)

/** inet_aton: one to four numbers, decimal, octal or hexadecimal; the last fills the octets that are left. */
function parseIPv4(text: string): number[] | undefined {
  const parts = text.split('.')
  if (parts.length > 4) return undefined
  const numbers: number[] = []
  for (const part of parts) {
    if (/^0x[0-9a-f]{1,8}$/i.test(part) || /^(0|[1-9]\d{0,9})$/.test(part)) numbers.push(Number(part))
    else if (/^0[0-7]{1,11}$/.test(part)) numbers.push(Number.parseInt(part, 8))
    else return undefined
  }
  const last = numbers.pop()!
  const left = 4 - numbers.length
  if (numbers.some(number => number > 255) || last >= 256 ** left) return undefined
  const tail = Array.from({ length: left }, (_, i) => Math.floor(last / 256 ** (left - 1 - i)) % 256)
  return [...numbers, ...tail]
}

/** inet_pton: eight groups, one run of zero groups shortened to `::`, the last two perhaps as an IPv4 address. */
function parseIPv6(text: string): number[] | undefined {
  const sides = text.split('::').map(side => (side === '' ? [] : side.split(':')))
  if (sides.length > 2) return undefined
  const octets: number[][] = []
  for (const [i, side] of sides.entries()) {
    const out: number[] = []
    for (const [j, group] of side.entries()) {
      const isLast = i === sides.length - 1 && j === side.length - 1
      if (isLast && group.includes('.')) {
        if (!/^(\d{1,3}\.){3}\d{1,3}$/.test(group) || group.split('.').some(one => Number(one) > 255)) return undefined
        out.push(...group.split('.').map(Number))
      } else if (/^[0-9a-f]{1,4}$/i.test(group)) {
        const value = Number.parseInt(group, 16)
        out.push(value >> 8, value & 0xff)
      } else return undefined
    }
    octets.push(out)
  }
  const [head = [], tail] = octets
  if (tail === undefined) return head.length === 16 ? head : undefined
  const gap = 16 - head.length - tail.length
  return gap < 2 ? undefined : [...head, ...new Array<number>(gap).fill(0), ...tail]
}

/** The canonical text: the longest run of zero groups as `::`, an embedded IPv4 address dotted (inet_ntop). */
export function formatSocketAddress({ family, octets, zone }: SocketAddress): string {
  if (family === 'ipv4') return octets.join('.')
  const groups = Array.from({ length: 8 }, (_, i) => octets[2 * i]! * 256 + octets[2 * i + 1]!)
  let best = { start: -1, length: 1 }
  for (let start = 0; start < 8; start++) {
    let length = 0
    while (start + length < 8 && groups[start + length] === 0) length++
    if (length > best.length) best = { start, length }
    start += length
  }
  const dotted = best.start === 0 && (best.length === 6 || (best.length === 5 && groups[5] === 0xffff))
  const words = groups.slice(0, dotted ? 6 : 8).map(group => group.toString(16))
  if (dotted) words.push(octets.slice(12).join('.'))
  const text =
    best.start < 0
      ? words.join(':')
      : `${words.slice(0, best.start).join(':')}::${words.slice(best.start + best.length).join(':')}`
  return zone === undefined ? text : `${text}%${zone}`
}

/** True if the mask, given as one or by its length in bits, leaves the address as it is. */
export function isNetworkAddress(address: SocketAddress, mask: number | SocketAddress): boolean {
  return address.octets.every((octet, i) => {
    const bits = typeof mask === 'number' ? maskOctet(mask, i) : mask.octets[i]!
    return (octet & bits) === octet
  })
}

const maskOctet = (prefix: number, i: number) => (0xff << (8 - Math.min(Math.max(prefix - 8 * i, 0), 8))) & 0xff
