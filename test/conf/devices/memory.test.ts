import t from 'tap'
import { memory } from '../../../src/conf/devices/memory.ts'
import { errorOf, throughTable } from '../../helper/definition.ts'

const through = (model: string, inner: string, format = {}) =>
  throughTable(memory.fields, `<memory model='${model}'>${inner}</memory>`, { format })
const SIZE = "<size unit='MiB'>2</size>"

t.test('each model keeps its own of source and target', async t => {
  const source =
    "<source><nodemask>1,0</nodemask><pagesize>4</pagesize><path>/f</path><alignsize unit='MiB'>2</alignsize><pmem/></source>"
  const target = `<target>${SIZE}<node>1</node><label><size>128</size></label><readonly/><block>1</block><requested>2</requested></target>`
  const kept = (model: string) => through(model, source + target)
  const size = "<size unit='KiB'>2048</size><node>1</node>"
  t.equal(
    kept('dimm'),
    `<memory model='dimm'><source><nodemask>0-1</nodemask><pagesize unit='KiB'>4</pagesize></source><target>${size}</target></memory>`
  )
  t.equal(
    kept('nvdimm'),
    `<memory model='nvdimm'><source><path>/f</path><alignsize unit='KiB'>2048</alignsize><pmem/></source><target>${size}<label><size unit='KiB'>128</size></label><readonly/></target></memory>`
  )
  t.equal(
    kept('virtio-pmem'),
    `<memory model='virtio-pmem'><source><path>/f</path></source><target>${size}</target></memory>`
  )
  t.match(kept('virtio-mem'), `<target>${size}<block unit='KiB'>1</block><requested unit='KiB'>2</requested></target>`)
  t.match(
    through('virtio-mem', `<target>${SIZE}<block>1</block></target>`, { inactive: false }),
    "<requested unit='KiB'>0</requested><current unit='KiB'>0</current>"
  )
})

t.test('what cannot be read', async t => {
  for (const [model, inner, error] of [
    ['ram', '', "Invalid value for attribute 'model' in element 'memory': 'ram'"],
    ['dimm', '', 'missing <target> element for <memory> device'],
    ['dimm', '<target/>', "missing element or attribute './size'"],
    ['dimm', `<target>${SIZE}<node>-1</node></target>`, 'invalid value of memory device node'],
    ['nvdimm', `<target>${SIZE}<label><size>127</size></label></target>`, 'nvdimm label must be at least 128KiB'],
    ['nvdimm', `<target>${SIZE}<label><size>2048</size></label></target>`, 'label size must be smaller than NVDIMM']
  ] as const) {
    t.match(await errorOf(() => through(model, inner)), error)
  }
})
