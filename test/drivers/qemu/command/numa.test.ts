import t from 'tap'
import { argvOf, errorOf } from '../../../helper/definition.ts'

const numaOf = async (numa: string) =>
  (await argvOf('', { outside: `<vcpu>2</vcpu><cpu><numa>${numa}</numa></cpu>` }))
    .filter(line => line.startsWith('-numa'))
    .map(line => line.slice('-numa '.length))

t.test('all distances as soon as one is unusual', async t => {
  const cells = (value: number) =>
    `<cell cpus='0' memory='1024'><distances><sibling id='1' value='${value}'/></distances></cell><cell cpus='1' memory='1024'/>`
  t.equal((await numaOf(cells(20))).length, 2)
  t.same((await numaOf(cells(21))).slice(2), [
    'dist,src=0,dst=0,val=10',
    'dist,src=0,dst=1,val=21',
    'dist,src=1,dst=0,val=21',
    'dist,src=1,dst=1,val=10'
  ])
})

t.test('latencies, bandwidths and caches', async t => {
  const lines = await numaOf(
    `<cell cpus='0-1' memory='1024'/>
     <cell memory='1024'><cache level='2' associativity='full' policy='writethrough'><size value='9'/><line value='64'/></cache></cell>
     <interconnects><latency initiator='0' target='1' cache='2' type='access' value='7'/>
     <bandwidth initiator='0' target='0' type='write' value='4'/></interconnects>`
  )
  t.same(lines, [
    'node,nodeid=0,cpus=0-1,initiator=0,memdev=ram-node0',
    'node,nodeid=1,initiator=0,memdev=ram-node1',
    'hmat-lb,initiator=0,target=1,hierarchy=second-level,data-type=access-latency,latency=7',
    'hmat-lb,initiator=0,target=0,hierarchy=memory,data-type=write-bandwidth,bandwidth=4K',
    'hmat-cache,node-id=1,size=9K,level=2,associativity=complex,policy=write-through,line=64'
  ])
})

t.test('vCPUs no cell names go to cell 0', async t => {
  t.match(await numaOf("<cell memory='1024'/><cell cpus='1' memory='1024'/>"), ['node,nodeid=0,cpus=0,mem=1', /cpus=1/])
})

t.test('HMAT must be known to QEMU', async t => {
  const outside =
    "<cpu><numa><cell cpus='0' memory='1024'/><interconnects><latency initiator='0' target='0' type='read' value='1'/></interconnects></numa></cpu>"
  t.match(await errorOf(() => argvOf('', { outside, missing: ['numa.hmat'] })), 'HMAT is not supported with this QEMU')
})

t.test('of host nodes that are not there those of all memory are told first', async t => {
  const outside = `<vcpu>2</vcpu><cpu><numa><cell cpus='0-1' memory='1024'/></numa></cpu>
    <numatune><memory nodeset='901'/><memnode cellid='0' nodeset='900'/></numatune>`
  t.match(await errorOf(() => argvOf('', { outside })), 'NUMA node 901 is unavailable')
})
