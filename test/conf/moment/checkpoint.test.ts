import t from 'tap'
import { alignCheckpointDisks, formatCheckpoint, parseCheckpoint } from '../../../src/conf/moment/checkpoint.ts'
import { define, errorOf } from '../../helper/definition.ts'

const DISKS = `
  <disk type='file'><source file='/srv/a'/><target dev='vda'/></disk>
  <disk type='file'><source file='/srv/b'/><target dev='vdb'/><readonly/></disk>
  <disk type='file' device='cdrom'><target dev='hdc'/></disk>`

const checkpoint = (inner: string) => `<domaincheckpoint><name>c1</name>${inner}</domaincheckpoint>`

async function aligned(inner: string, disks = DISKS): Promise<string> {
  const def = parseCheckpoint(checkpoint(inner))
  def.dom = await define(disks)
  alignCheckpointDisks(def)
  return def.disks.map(({ name, checkpoint, bitmap }) => `${name}:${checkpoint}:${bitmap ?? ''}`).join(' ')
}

t.test('disks follow the domain', async t => {
  t.equal(await aligned(''), 'vda:bitmap:c1 vdb:no: hdc:no:')
  t.equal(await aligned("<disks><disk name='vda' bitmap='mine'/></disks>"), 'vda:bitmap:mine vdb:no: hdc:no:')
  t.equal(await aligned("<disks><disk name='vdb' checkpoint='no'/></disks>"), 'vda:no: vdb:no: hdc:no:')
  const refused: [inner: string, error: RegExp][] = [
    ["<disks><disk name='vdb'/></disks>", /CONFIG_UNSUPPORTED: .*disk 'vdb' is empty or readonly/],
    ["<disks><disk name='vdx'/></disks>", /no disk named 'vdx'/],
    ["<disks><disk name='vda'/><disk name='vda'/></disks>", /disk 'vda' specified twice/]
  ]
  for (const [inner, error] of refused) t.match(await errorOf(() => aligned(inner)), error)
  t.match(await errorOf(() => aligned('', '')), /domain must have at least one disk to perform checkpoints/)
})

t.test('a redefined checkpoint comes out as it went in', async t => {
  const text = checkpoint(
    `<description>d</description><parent><name>c0</name></parent><creationTime>7</creationTime>
     <disks><disk name='vda' checkpoint='bitmap' bitmap='b'/></disks>`
  )
  const def = parseCheckpoint(text, { redefine: true })
  def.disks[0]!.sizeBytes = 1024n
  t.equal(
    formatCheckpoint(def, { size: true }),
    `<domaincheckpoint>
  <name>c1</name>
  <description>d</description>
  <parent>
    <name>c0</name>
  </parent>
  <creationTime>7</creationTime>
  <disks>
    <disk name='vda' checkpoint='bitmap' bitmap='b' size='1024'/>
  </disks>
</domaincheckpoint>
`
  )
})

t.test('is read strictly', async t => {
  for (const inner of ['<what/>', "<disks><disk name='a' checkpoint='x'/></disks>", '<disks><disk/></disks>']) {
    t.match(await errorOf(() => parseCheckpoint(checkpoint(inner))), /XML_INVALID_SCHEMA/)
  }
  t.match(
    await errorOf(() => parseCheckpoint(checkpoint(''), { redefine: true })),
    /INTERNAL_ERROR: .*missing creationTime from existing checkpoint/
  )
})
