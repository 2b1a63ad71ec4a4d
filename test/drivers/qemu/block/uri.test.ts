import t from 'tap'
import { storageUri } from '../../../../src/drivers/qemu/block/uri.ts'
import { argvOf, errorOf } from '../../../helper/definition.ts'

type Source = Parameters<typeof storageUri>[0]
const uri = (protocol: string, name: string | undefined, hosts: object[], more: object = {}) =>
  storageUri({ type: 'network', protocol, hosts, ...(name !== undefined && { name }), ...more } as unknown as Source)
const tcp = (name: string, port?: number) => ({ transport: 'tcp', name, ...(port !== undefined && { port }) })

t.test('URIs', async t => {
  for (const [expected, given] of [
    ['https://h/a/b.img', uri('https', '/a/b.img', [tcp('h')])],
    ['https://h:8443/a', uri('https', 'a', [tcp('h', 8443)])],
    ['http://h/a?x=1&y=%20', uri('http', 'a', [tcp('h')], { query: 'x=1&y=%20' })],
    ['ftp://[2001:db8::1]:21/a', uri('ftp', 'a', [tcp('2001:db8::1', 21)])],
    ['http://h/a%20b%23c%3Fd%25e', uri('http', 'a b#c?d%e', [tcp('h')])],
    ["http://h/-_.!~*'();@&=+$,", uri('http', "-_.!~*'();@&=+$,", [tcp('h')])],
    ['http://h/%C3%A9', uri('http', 'é', [tcp('h')])],
    ['http://h', uri('http', undefined, [tcp('h')])],
    ['gluster://h:24007/vol/dir/a', uri('gluster', 'vol/dir/a', [tcp('h', 24007)])],
    ['gluster+rdma://h/vol/a', uri('gluster', 'vol/a', [{ transport: 'rdma', name: 'h', port: 7 }])]
  ] as const) {
    t.equal(given, expected)
  }
  for (const hosts of [[], [tcp('a'), tcp('b')]]) {
    t.equal(
      await errorOf(() => uri('http', 'a', hosts)),
      "VIR_ERR_INTERNAL_ERROR: internal error: protocol 'http' accepts only one host"
    )
  }
})

/** The node QEMU gets for the bytes of an image. */
async function node(source: string): Promise<unknown> {
  const lines = await argvOf(
    `<disk type='network' device='disk'><driver name='qemu' type='raw'/>${source}<target dev='vda' bus='virtio'/></disk>`,
    { missing: ['blockjob.backing-mask-protocol'] }
  )
  const props = JSON.parse(lines.find(line => line.startsWith('-blockdev '))!.slice('-blockdev '.length))
  for (const key of ['node-name', 'auto-read-only', 'discard', 'cache']) delete props[key]
  return props
}

t.test('protocols as block nodes', async t => {
  const host = { host: 'h', port: '7' }
  for (const [source, props] of [
    [
      "<source protocol='nbd' name='e'><host name='h' port='7'/></source>",
      { driver: 'nbd', server: { type: 'inet', ...host }, export: 'e' }
    ],
    [
      "<source protocol='nbd'><host transport='unix' socket='/s'/></source>",
      { driver: 'nbd', server: { type: 'unix', path: '/s' } }
    ],
    [
      "<source protocol='rbd' name='p/i'><host name='h' port='7'/><snapshot name='s'/><config file='/c'/></source>",
      { driver: 'rbd', pool: 'p', image: 'i', snapshot: 's', conf: '/c', server: [host] }
    ],
    ["<source protocol='rbd' name='p/i'/>", { driver: 'rbd', pool: 'p', image: 'i' }],
    [
      "<source protocol='iscsi' name='iqn.2013-07.a:b/3'><host name='h' port='7'/><initiator><iqn name='iqn.c'/></initiator></source>",
      {
        driver: 'iscsi',
        portal: 'h:7',
        target: 'iqn.2013-07.a:b',
        lun: 3,
        transport: 'tcp',
        'initiator-name': 'iqn.c'
      }
    ],
    [
      "<source protocol='iscsi' name='iqn.2013-07.a:b'><host name='::1' port='7'/></source>",
      { driver: 'iscsi', portal: '[::1]:7', target: 'iqn.2013-07.a:b', lun: 0, transport: 'tcp' }
    ],
    [
      "<source protocol='https' name='a'><host name='h' port='7'/><ssl verify='no'/><readahead size='9'/><timeout seconds='8'/></source>",
      { driver: 'https', url: 'https://h:7/a', sslverify: false, timeout: 8, readahead: 9 }
    ],
    [
      "<source protocol='ssh' name='/a'><host name='h' port='7'/></source>",
      { driver: 'ssh', server: host, path: '/a' }
    ],
    [
      "<source protocol='gluster' name='v/a/b'><host name='h' port='7'/><host transport='unix' socket='/s'/></source>",
      {
        driver: 'gluster',
        volume: 'v',
        path: 'a/b',
        server: [
          { type: 'inet', ...host },
          { type: 'unix', path: '/s' }
        ],
        debug: 4
      }
    ],
    [
      "<source protocol='nfs' name='/a'><host name='h'/><identity user='+5' group='+6'/></source>",
      { driver: 'nfs', server: { type: 'inet', host: 'h' }, path: '/a', user: 5, group: 6 }
    ]
  ] as const) {
    t.same(await node(source), props, source)
  }
})
