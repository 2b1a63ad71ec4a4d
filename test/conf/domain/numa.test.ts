import t from 'tap'
import { cpuFields } from '../../../src/conf/domain/cpu.ts'
import { fillNumaCpus } from '../../../src/conf/domain/numa.ts'
import { parseDomain } from '../../../src/conf/domain-xml.ts'
import { errorOf, throughTable } from '../../helper/definition.ts'

const through = (numa: string) =>
  throughTable({ cpu: cpuFields.cpu }, `<domain><vcpu>4</vcpu><cpu><numa>${numa}</numa></cpu></domain>`).slice(
    '<domain>'.length,
    -'</domain>'.length
  )
const cell = (id: number, inner = '', more = '') => `<cell id='${id}' memory='1024' unit='KiB'${more}>${inner}</cell>`

t.test('cells in order of their ids, distances both ways', async t => {
  t.equal(
    through(cell(1) + cell(0, "<distances><sibling id='1' value='30'/></distances>", " cpus='0-1,3'")),
    "<cpu><numa><cell id='0' cpus='0-1,3' memory='1024' unit='KiB'><distances>" +
      "<sibling id='0' value='10'/><sibling id='1' value='30'/></distances></cell>" +
      "<cell id='1' memory='1024' unit='KiB'><distances><sibling id='0' value='30'/><sibling id='1' value='10'/>" +
      '</distances></cell></numa></cpu>'
  )
})

t.test('caches and interconnects', async t => {
  const cache =
    "<cache level='1' associativity='none' policy='writeback'><size value='9' unit='KiB'/><line value='8' unit='B'/></cache>"
  const links =
    "<interconnects><latency initiator='0' target='0' cache='1' type='read' value='5'/><bandwidth initiator='0' target='0' type='write' value='2' unit='MiB'/></interconnects>"
  const out = through(cell(0, cache) + links)
  t.match(out, "<cache level='1' associativity='none' policy='writeback'>")
  t.match(out, "<latency initiator='0' target='0' cache='1' type='read' value='5'/>")
  t.match(out, "<bandwidth initiator='0' target='0' type='write' value='2048' unit='KiB'/>")
})

t.test('what is refused', async t => {
  for (const [numa, error] of [
    ['', 'NUMA topology defined without NUMA cells'],
    [cell(1), "Exactly one 'cell' element per guest NUMA cell allowed"],
    [cell(0) + cell(0), "Duplicate NUMA cell info for cell id '0'"],
    [cell(0, '', " cpus='0-1'") + cell(1, '', " cpus='1'"), 'NUMA cells 1 and 0 have overlapping vCPU ids'],
    ["<cell cpus='0'/>", "missing element or attribute './@memory'"],
    [cell(0, '<distances/>'), 'NUMA distances defined without siblings'],
    [cell(0, "<distances><sibling id='0' value='20'/></distances>"), "'value 20' is invalid for 'sibling id 0'"],
    [
      cell(0, "<cache level='0' associativity='none' policy='none'/>"),
      "Invalid value for attribute 'level' in element 'cache': Zero is not permitted"
    ]
  ] as const) {
    t.match(await errorOf(() => through(numa)), error)
  }
})

t.test('a count of vCPUs no machine has is left to the machine to refuse', t => {
  const domain = parseDomain(
    `<domain type='qemu'><name>g</name><os><type>hvm</type></os><vcpu>-1</vcpu><cpu><numa>${cell(0)}</numa></cpu></domain>`
  )
  fillNumaCpus(domain)
  t.equal(domain.vcpu.max, 4_294_967_295)
  t.equal(domain.cpu?.numa?.cells[0]?.cpus, undefined)
  t.end()
})

t.test('a guest of no vCPUs is refused as one whose cells name too many, with cells or without', async t => {
  const without = "<domain type='qemu'><name>g</name><os><type>hvm</type></os><vcpu>0</vcpu></domain>"
  t.match(await errorOf(() => parseDomain(without)), 'CPU IDs in <numa> exceed the <vcpu> count')
})
