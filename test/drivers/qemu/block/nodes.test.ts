import { createDecipheriv } from 'node:crypto'
import t from 'tap'
import type { StorageSource } from '../../../../src/conf/storage/source.ts'
import { storageIds } from '../../../../src/drivers/qemu/block/node-names.ts'
import { addStorage, addStorageChain } from '../../../../src/drivers/qemu/block/nodes.ts'
import { protocolProps } from '../../../../src/drivers/qemu/block/protocol.ts'
import type { Capability } from '../../../../src/drivers/qemu/capabilities/signs.ts'
import { Command } from '../../../../src/drivers/qemu/command/command.ts'
import { define, errorOf, testContext } from '../../../helper/definition.ts'

const command = async () =>
  new Command(await define(''), testContext({ secrets: { value: () => Buffer.from('open') } }))
const network = (given: object): StorageSource =>
  ({ type: 'network', hosts: [{ name: 'h', port: 1, transport: 'tcp' }], index: 1, ...given }) as StorageSource
const storageProps = (to: Command, source: StorageSource) =>
  protocolProps(to, source, { readOnly: false }, storageIds(source))

t.test('each protocol tells QEMU in its own way', async t => {
  const v6 = { name: '2001:db8::1', port: 3260, transport: 'tcp' }
  const unix = { transport: 'unix', socket: '/s' }
  for (const [source, props] of [
    [
      { protocol: 'nbd', name: 'e', hosts: [unix] },
      { driver: 'nbd', server: { type: 'unix', path: '/s' }, export: 'e' }
    ],
    [
      { protocol: 'rbd', name: 'p/a/b', snapshot: 's' },
      { driver: 'rbd', pool: 'p', image: 'a/b', snapshot: 's', server: [{ host: 'h', port: '1' }] }
    ],
    [
      { protocol: 'gluster', name: 'v/i' },
      { driver: 'gluster', volume: 'v', path: 'i', server: [{ type: 'inet', host: 'h', port: '1' }], debug: 4 }
    ],
    [
      { protocol: 'iscsi', name: 'iqn/2', hosts: [v6] },
      { driver: 'iscsi', portal: '[2001:db8::1]:3260', target: 'iqn', lun: 2, transport: 'tcp' }
    ],
    [
      { protocol: 'https', name: 'a b?#', hosts: [v6], query: 'q=ä', sslVerify: false },
      { driver: 'https', url: 'https://[2001:db8::1]:3260/a%20b%3F%23?q=ä', sslverify: false }
    ],
    [
      { protocol: 'ssh', name: '/i' },
      { driver: 'ssh', path: '/i', server: { host: 'h', port: '1' } }
    ],
    [
      { protocol: 'nfs', name: '/i', identity: { user: '+7', group: '+8' } },
      { driver: 'nfs', server: { host: 'h', type: 'inet' }, path: '/i', user: 7, group: 8 }
    ]
  ] as const)
    t.match(storageProps(await command(), network(source)), props)
})

t.test('too many hosts, no host, a LUN that is none', async t => {
  for (const [source, error] of [
    [{ protocol: 'nbd', hosts: [] }, 'VIR_ERR_INTERNAL_ERROR: internal error: nbd protocol accepts only one host'],
    [
      { protocol: 'http', name: '/', hosts: [] },
      "VIR_ERR_INTERNAL_ERROR: internal error: protocol 'http' accepts only one host"
    ],
    [{ protocol: 'iscsi', name: 'a/x' }, "VIR_ERR_INTERNAL_ERROR: internal error: cannot parse target for lunStr 'a'"],
    [{ protocol: 'ssh' }, "VIR_ERR_INTERNAL_ERROR: internal error: argument key 'path' must not have null value"]
  ] as const) {
    const work = await command()
    t.equal(await errorOf(() => storageProps(work, network(source))), error)
  }
})

t.test('secrets are encrypted with the master key', async t => {
  const work = await command()
  const source: StorageSource = {
    type: 'file',
    path: '/luks',
    format: 'raw',
    index: 4,
    encryption: { format: 'luks', engine: 'qemu', secrets: [{ type: 'passphrase', lookup: { usage: 'x' } }] }
  }
  addStorage(work, source, { readOnly: false })
  const [, object, , , , format] = work.argv
  const { id, data, iv, keyid } = JSON.parse(object!) as Record<'id' | 'data' | 'iv' | 'keyid', string>
  t.equal(keyid, 'masterKey0')
  const decipher = createDecipheriv('aes-256-cbc', work.masterKey, Buffer.from(iv, 'base64'))
  const plain = Buffer.concat([decipher.update(Buffer.from(data, 'base64')), decipher.final()])
  t.equal(plain.toString(), 'open')
  t.match(JSON.parse(format!), { driver: 'luks', 'key-secret': id })
})

t.test('a slice of qcow2 has a node of its own', async t => {
  const work = await command()
  addStorage(
    work,
    { type: 'file', path: '/a', format: 'qcow2', index: 2, slice: { offset: 1n, size: 2n } },
    { readOnly: true }
  )
  const nodes = work.argv.filter(word => word.startsWith('{')).map(word => JSON.parse(word) as Record<string, unknown>)
  t.same(
    nodes.map(node => [node['node-name'], node.file]),
    [
      ['libvirt-2-storage', undefined],
      ['libvirt-2-slice-sto', 'libvirt-2-storage'],
      ['libvirt-2-format', 'libvirt-2-slice-sto']
    ]
  )
})

t.test('a raw image stands on none, where it has a node of its format', async t => {
  const backingStore: StorageSource = { type: 'file', path: '/b', format: 'raw', index: 2 }
  const top: StorageSource = { type: 'file', path: '/a', format: 'raw', index: 1, backingStore }
  const chain = async (missing: Capability[]) => {
    const work = new Command(await define(''), testContext({ missing }))
    addStorageChain(work, top, { readOnly: false })
    return work.argv.filter(word => word.startsWith('{')).map(word => JSON.parse(word)['node-name'])
  }
  t.same(await chain([]), ['libvirt-2-storage', 'libvirt-1-storage'])
  t.match(
    await errorOf(() => chain(['blockjob.backing-mask-protocol'])),
    "unsupported configuration: storage format 'raw' does not support backing store"
  )
})

t.test('nodes have names QEMU can hold', async t => {
  const work = await command()
  const ids = storageIds({ type: 'file' }, 'a'.repeat(25))
  t.equal(
    await errorOf(() => addStorage(work, { type: 'file', path: '/a', format: 'raw' }, { readOnly: false }, ids)),
    `VIR_ERR_INTERNAL_ERROR: internal error: node-name '${'a'.repeat(25)}-storage' too long for qemu`
  )
})
