import { networkInterfaces } from 'node:os'
import t from 'tap'
import { networkAddress } from '../../src/host/network-address.ts'
import { errorOf } from '../helper/definition.ts'
import { onHost } from '../helper/host-tree.ts'

const network = (inside: string) => `<network><name>n</name>${inside}</network>`
const IP = "<ip address='192.168.122.1' netmask='255.255.255.0'/>"
const RUNNING = '/run/libvirt/network/n.xml'
const DEFINED = '/etc/libvirt/qemu/networks/n.xml'

t.test('networks with an address of their own', async t => {
  for (const [what, files] of [
    ['isolated', { [DEFINED]: network(IP) }],
    ['nat, the default', { [DEFINED]: network(`<forward/>${IP}`) }],
    ['route', { [DEFINED]: network(`<forward mode='route'/>${IP}`) }],
    ['a running one', { [RUNNING]: `<networkstatus>${network(IP)}</networkstatus>`, [DEFINED]: network('') }]
  ] as const) {
    await onHost(files, () => t.equal(networkAddress('n'), '192.168.122.1', what))
  }
})

t.test('networks that borrow the address of a device', async t => {
  const [device = 'lo', addresses] = Object.entries(networkInterfaces())[0] ?? []
  for (const inside of [
    `<forward mode='bridge'/><bridge name='${device}'/>`,
    `<forward mode='bridge'><interface dev='${device}'/></forward>`
  ]) {
    await onHost({ [DEFINED]: network(inside) }, () => t.equal(networkAddress('n'), addresses?.[0]?.address, inside))
  }
})

t.test('refused', async t => {
  const ask = (name: string, files: Record<string, string>) => {
    let error = ''
    return onHost(files, async () => {
      error = await errorOf(() => networkAddress(name))
    }).then(() => error)
  }
  t.equal(await ask('m', {}), "VIR_ERR_NO_NETWORK: Network not found: no network with matching name 'm'")
  t.equal(
    await ask('../n', { [DEFINED]: network(IP), '/etc/libvirt/qemu/n.xml': network(IP) }),
    "VIR_ERR_NO_NETWORK: Network not found: no network with matching name '../n'"
  )
  t.match(await ask('n', { [DEFINED]: network('') }), "network 'n' doesn't have an IP address")
  t.match(await ask('n', { [DEFINED]: network("<forward mode='bridge'/>") }), 'has no associated interface or bridge')
  t.match(
    await ask('n', { [DEFINED]: network("<forward mode='bridge'/><bridge name='nosuch0'/>") }),
    "Error getting IP address for interface 'nosuch0'"
  )
  t.match(await ask('n', { [DEFINED]: '<network>' }), 'VIR_ERR_XML_DETAIL', 'a file that is no XML')
})
