// Lists of a guest's snapshots or checkpoints: as tables, names and trees, as virsh prints them.
import { longlong } from '../../conf/scalar.ts'
import { firstChild, parseXml, textOf, type XmlElement } from '../../conf/xml.ts'

/** A moment of a list; the one it came after is known in trees only. */
export interface Listed {
  name: string
  parent?: string | undefined
}

/** By name, whatever case its letters are. */
export const byName = (a: Listed, b: Listed): number => {
  const [one, two] = [a.name.toLowerCase(), b.name.toLowerCase()]
  return one < two ? -1 : Number(one > two)
}

/** The lines of one node and all below it (vshTreePrint). @param isLast of its parent's children */
function branch(list: readonly Listed[], { name }: Listed, indent: string, isRoot: boolean, isLast: boolean): string[] {
  const children = list.filter(({ parent }) => parent === name)
  const inner = isRoot ? indent : `${indent}${isLast ? ' ' : '|'} `
  const below = children.flatMap((child, at) => branch(list, child, `${inner}  `, false, at === children.length - 1))
  const gap = children.length > 0 ? [`${inner}  |`] : isLast ? [inner] : []
  return [`${indent}${isRoot ? '' : '+- '}${name}`, ...gap, ...below]
}

/** All trees of a list; those whose parent is not known are roots. */
export function formatTrees(list: readonly Listed[]): string {
  const roots = list.filter(({ parent }) => parent === undefined)
  return roots.flatMap(root => branch(list, root, '', true, true).map(line => `${line}\n`)).join('')
}

const two = (value: number) => String(Math.abs(value)).padStart(2, '0')

/** Seconds since 1970 in local time: `2024-01-31 12:00:00 +0100`. */
export function localTime(seconds: bigint): string {
  const time = new Date(Number(seconds) * 1000)
  const day = [time.getFullYear(), two(time.getMonth() + 1), two(time.getDate())].join('-')
  const clock = [time.getHours(), time.getMinutes(), time.getSeconds()].map(two).join(':')
  const offset = -time.getTimezoneOffset()
  return `${day} ${clock} ${offset < 0 ? '-' : '+'}${two(Math.trunc(offset / 60))}${two(offset % 60)}`
}

const childText = (node: XmlElement, ...path: string[]): string | undefined => {
  const found = path.reduce<XmlElement | undefined>((at, name) => at && firstChild(at, name), node)
  return found && textOf(found)
}

/** The parts of a moment's XML that lists show. */
export function shownParts(xml: string): { created: string | undefined; parent: string; state: string } {
  const root = parseXml(xml)
  const seconds = longlong.parse(childText(root, 'creationTime') ?? '')
  return {
    created: seconds === undefined ? undefined : localTime(seconds),
    parent: childText(root, 'parent', 'name') ?? '',
    state: childText(root, 'state') ?? ''
  }
}
