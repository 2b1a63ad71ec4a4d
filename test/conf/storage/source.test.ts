import t from 'tap'
import { diskFields } from '../../../src/conf/devices/disk.ts'
import { backingStore, storageChain } from '../../../src/conf/storage/chain.ts'
import { isStorageEmpty, type StorageSource, typedSource } from '../../../src/conf/storage/source.ts'
import { parseXml } from '../../../src/conf/xml.ts'
import { errorOf, throughTable } from '../../helper/definition.ts'

const fields = { source: typedSource() }
const same = (t: { equal(found: string, wanted: string): boolean }, xml: string) =>
  t.equal(throughTable(fields, xml), xml)
const live = { parse: { inactive: false }, format: { inactive: false } }

t.test('each kind of storage is written as it was read', async t => {
  for (const xml of [
    "<x type='file'><source file='/a' fdgroup='g'/></x>",
    "<x type='block'><source dev='/dev/a'/></x>",
    "<x type='dir'><source dir='/d'/></x>",
    "<x type='volume'><source pool='p' volume='v' mode='direct'/></x>",
    "<x type='nvme'><source type='pci' managed='no' namespace='3'><address domain='0x0000' bus='0x01' slot='0x02' function='0x3'/></source></x>",
    "<x type='vhostuser'><source type='unix' path='/s'><reconnect enabled='yes' timeout='5'/></source></x>",
    "<x type='network'><source protocol='rbd' name='pool/i'><host name='h'/><snapshot name='s'/><config file='/c'/></source></x>",
    "<x type='network'><source protocol='nfs' name='/i'><host name='h'/><identity user='u' group='+3'/></source></x>",
    "<x type='network'><source protocol='https' name='/i' query='a=1'><host name='h' port='443'/><ssl verify='no'/><cookies><cookie name='a'>b</cookie></cookies><readahead size='512'/><timeout seconds='2'/></source></x>",
    "<x type='file'><source file='/a'><slices><slice type='storage' offset='1' size='2'/></slices><encryption format='luks' engine='qemu'><secret type='passphrase' usage='u'/></encryption><reservations managed='no'><source type='unix' path='/p' mode='client'/></reservations></source></x>"
  ])
    same(t, xml)
})

t.test('what a protocol does not have is passed over, ports have defaults', async t => {
  t.equal(
    throughTable(
      fields,
      "<x type='network'><source protocol='nbd' query='q'><host name='h'/><identity user='u'/><ssl verify='no'/><timeout seconds='2'/></source></x>"
    ),
    "<x type='network'><source protocol='nbd'><host name='h' port='10809'/></source></x>"
  )
})

t.test('cookies are secret', async t => {
  const xml =
    "<x type='network'><source protocol='http' name='/i'><host name='h' port='80'/><cookies><cookie name='a'>b</cookie></cookies></source></x>"
  t.notMatch(throughTable(fields, xml, { format: { secure: false } }), 'cookie')
})

t.test('wrong sources are refused in libvirt’s words', async t => {
  for (const [xml, error] of [
    [
      "<x type='tape'><source/></x>",
      "VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'type' in element 'x': 'tape'."
    ],
    [
      "<x type='network'><source/></x>",
      "VIR_ERR_XML_ERROR: XML error: Missing required attribute 'protocol' in element 'source'"
    ],
    ["<x type='network'><source protocol='iscsi'/></x>", 'VIR_ERR_XML_ERROR: XML error: missing name for disk source'],
    [
      "<x type='network'><source protocol='rbd' name='i'/></x>",
      "VIR_ERR_XML_ERROR: XML error: can't split path 'i' into pool name and image name"
    ],
    [
      "<x type='network'><source protocol='nbd'><host name='h' port='65536'/></source></x>",
      "VIR_ERR_INVALID_ARG: invalid argument: port '65536' out of range"
    ],
    [
      "<x type='network'><source protocol='nbd'><host transport='unix'/></source></x>",
      'VIR_ERR_XML_ERROR: XML error: missing socket for unix transport'
    ],
    [
      "<x type='nvme'><source type='pci' namespace='1'/></x>",
      'VIR_ERR_XML_ERROR: XML error: NVMe disk source is missing address'
    ],
    [
      "<x type='volume'><source pool='p'/></x>",
      "VIR_ERR_XML_ERROR: XML error: 'pool' and 'volume' must be specified together for 'pool' type source"
    ],
    [
      "<x type='file'><source file='/a'><slices><slice type='storage' offset='1'/></slices></source></x>",
      'VIR_ERR_XML_ERROR: XML error: missing offset or size attribute of slice'
    ],
    [
      "<x type='file'><source file='/a'><encryption format='luks'><secret type='passphrase'/></encryption></source></x>",
      'VIR_ERR_XML_ERROR: XML error: missing secret uuid or usage attribute'
    ],
    [
      "<x type='file'><source file='/a'><reservations managed='no'/></source></x>",
      'VIR_ERR_XML_ERROR: XML error: missing connection type for <reservations/>'
    ]
  ] as const)
    t.equal(await errorOf(() => throughTable(fields, xml)), error, xml)
})

t.test('a chain of backing images', async t => {
  const chain =
    "<disk><backingStore type='file' index='2'><format type='qcow2'><metadata_cache><max_size unit='bytes'>4096</max_size></metadata_cache></format><source file='/b'/><backingStore type='network'><format type='raw'/><source protocol='nbd' name='e'><host name='h' port='10809'/></source><backingStore/></backingStore></backingStore></disk>"
  t.equal(throughTable({ backingStore }, chain, live), chain)
  t.notMatch(throughTable({ backingStore }, chain), 'index', 'numbers are a running guest’s')
  const below = backingStore.parse(parseXml(chain), { inactive: false })!
  t.same(
    storageChain(below).map(({ type, format }) => `${type} ${format}`),
    ['file qcow2', 'network raw']
  )
  t.equal(
    await errorOf(() =>
      throughTable({ backingStore }, "<disk><backingStore type='file'><source file='/b'/></backingStore></disk>")
    ),
    'VIR_ERR_XML_ERROR: XML error: missing disk backing store format'
  )
})

t.test('a drive is empty without a path', async t => {
  for (const [source, empty] of [
    [{ type: 'file' }, true],
    [{ type: 'none' }, true],
    [{ type: 'block', path: '/dev/a' }, false],
    [{ type: 'volume' }, false]
  ] as [StorageSource, boolean][])
    t.equal(isStorageEmpty(source), empty)
})

t.test('a mirror belongs to a running guest', async t => {
  const xml =
    "<disk type='file' device='disk'><source file='/a' index='1'/><mirror type='file' file='/m' format='raw' job='copy' ready='yes'><format type='raw'/><source file='/m' index='3'/></mirror><target dev='vda'/></disk>"
  t.equal(throughTable(diskFields, xml, live), xml)
  t.notMatch(throughTable(diskFields, xml), 'mirror')
})
