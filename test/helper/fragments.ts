// Tables of XML fragments and what becomes of them: written anew by all passes, or refused. What they expect is what
// libvirtd 11.3 with QEMU 7.2 answers to virDomainDefineXML and to virDomainGetXMLDesc of the same guest.
import t from 'tap'
import { formatDomain } from '../../src/conf/domain-xml.ts'
import { childElements, firstChild, formatXml, parseXml, type XmlElement } from '../../src/conf/xml.ts'
import type { Capability } from '../../src/drivers/qemu/capabilities/signs.ts'
import { loadDomain } from '../../src/drivers/qemu/definition/passes.ts'
import { errorOf, fakeQemu, type GuestOptions, guestXml, testContext } from './definition.ts'

/** What QEMU 7.2 for x86 as Debian 12 has it cannot do. */
const MISSING: Capability[] = [
  'aarch64-off',
  'aes-key-wrap',
  'arm-max-cpu',
  'cpu.kvm-no-adjvtime',
  'dea-key-wrap',
  'gic-version',

  'loadparm',
  'machine-hpet',
  'machine.pseries.cap-ccf-assist',
  'machine.pseries.cap-cfpc',
  'machine.pseries.cap-hpt-max-page-size',
  'machine.pseries.cap-htm',
  'machine.pseries.cap-ibs',
  'machine.pseries.cap-nested-hv',
  'machine.pseries.cap-sbbc',
  'machine.virt.iommu',
  'nvram',
  'pl011',
  'query-cpu-model-baseline',
  'query-cpu-model-comparison',
  'run-with.async-teardown',
  's390-pv-guest',
  's390-sclp',
  'sclplmconsole',
  'shim',
  'spapr-pci-host-bridge',
  'spapr-pci-host-bridge.numa_node',
  'spapr-tpm-proxy',
  'spapr-vty',
  'tpm-spapr',
  'vfio-ap',
  'vfio-ccw',
  'virtio-ccw',
  'virtio-gpu-ccw',
  'virtio-gpu.virgl',
  'virtio-keyboard-ccw',
  'virtio-mouse-ccw',
  'virtio-tablet-ccw',
  'vt82c686b-usb-uhci',
  'vxhs',
  'zpci'
]

/** Where the fragments of a table stand, and what stands around them. */
export interface Place extends GuestOptions {
  /** the element they are in */
  in?: 'domain' | 'devices' | 'os'
  /** text before and after each */
  around?: [before: string, after: string]
  /** devices beside them */
  devices?: string
  /** names of the elements looked at; absent: those of the fragment */
  show?: string[]
}

/** One row: a fragment, and on the next line `= ELEMENTS`, `=` alone where nothing changes, `-` where nothing is left, or `! CODE: MESSAGE`. */
export interface Row {
  fragment: string
  answer: string
}

export function rowsOf(table: string): Row[] {
  const lines = table
    .split('\n')
    .map(line => line.trim())
    .filter(line => line !== '')
  const rows: Row[] = []
  for (let i = 0; i < lines.length; i += 2) rows.push({ fragment: lines[i]!, answer: lines[i + 1] ?? '' })
  return rows
}

/** The domain XML of a guest with a fragment. */
export function guestWith(fragment: string, place: Place): string {
  const { in: where = 'devices', around: [before, after] = ['', ''], devices = '', outside = '', os = '' } = place
  const text = before + fragment + after
  if (where === 'devices') return guestXml(devices + text, place)
  return guestXml(devices, { ...place, ...(where === 'os' ? { os: os + text } : { outside: outside + text }) })
}

const rootsOf = (fragment: string) => childElements(parseXml(`<all>${fragment}</all>`)).map(({ name }) => name)

/** Drawn or assigned, and so looked at only where the fragment has one itself. */
const ASSIGNED = ['address', 'mac']

function withoutAssigned(node: XmlElement, fragment: string): XmlElement {
  const children = node.children.filter(child => {
    if (typeof child === 'string') return child.trim() !== ''
    return !ASSIGNED.includes(child.name) || fragment.includes(`<${child.name} `)
  })
  return {
    ...node,
    children: children.map(child => (typeof child === 'string' ? child : withoutAssigned(child, fragment)))
  }
}

/** Drawn where none is given. */
const UUID = /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/g

const onOneLine = (node: XmlElement) => formatXml(node).replace(/\n\s*/g, '')

/** The elements of a document that a table looks at, each on one line. */
function shownIn(xml: string, names: string[], fragment: string, where: Place['in']): string[] {
  const domain = parseXml(xml)
  const node = where === 'domain' ? domain : firstChild(domain, where ?? 'devices')
  if (!node) return []
  return childElements(node)
    .filter(({ name }) => names.includes(name))
    .map(element => onOneLine(withoutAssigned(element, fragment)))
}

/** The answer of a row, from a guest's written XML and that of the guest without the fragment. */
export function answerOf(fragment: string, place: Place, xml: string, bare: string): string {
  const names = place.show ?? rootsOf(fragment)
  const left = shownIn(bare, names, fragment, place.in)
  const shown = shownIn(xml, names, fragment, place.in).filter(line => {
    const at = left.indexOf(line)
    if (at >= 0) left.splice(at, 1)
    return at < 0
  })
  const given = [fragment, ...(place.around ?? [])].join('').toLowerCase()
  const text = shown.join('').replace(UUID, uuid => (given.includes(uuid) ? uuid : 'UUID'))
  return text === '' ? '-' : text === fragment ? '=' : `= ${text}`
}

const CPU_MODELS = ['qemu64', 'max'].map(name => ({
  name,
  type: `${name}-x86_64-cpu`,
  deprecated: false,
  blockers: ''
}))

async function written(xml: string, place: Place): Promise<string> {
  const qemu = { ...fakeQemu(place.missing ?? MISSING), kvm: true, cpuModels: CPU_MODELS }
  const { def } = await loadDomain(xml, async () => testContext({ qemu, ...place }))
  return formatDomain(def, { inactive: true, secure: true })
}

/** A test of the rows in the template behind it: fragments('name', place)`…`. */
export function fragments(name: string, place: Place = {}): (table: TemplateStringsArray) => void {
  return ({ raw: [table = ''] }) => {
    t.test(name, async t => {
      const bare = await written(guestWith('', { ...place, around: ['', ''] }), place)
      for (const { fragment, answer } of rowsOf(table)) {
        let got = ''
        const error = await errorOf(async () => {
          got = answerOf(fragment, place, await written(guestWith(fragment, place), place), bare)
        })
        t.equal(error === 'accepted' ? got : `! ${error}`, answer, fragment)
      }
    })
  }
}
