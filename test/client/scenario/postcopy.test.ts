// Post-copy that loses its connection and is brought on by another: two libvirtd, and two aggregators, each pair on hosts of
// its own.
import { randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { MigrationWorld } from '../../helper/migration-world.ts'
import { compareLanes, furnish, type Lane, type Scenario } from '../../helper/scenario.ts'

t.setTimeout(600_000)

/** A guest whose memory takes its time, as QEMU fills it with noise. */
const heavy = `<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'><name>$G</name>
<uuid>$U35</uuid><memory unit='MiB'>64</memory><os><type arch='x86_64' machine='pc'>hvm</type></os>
<qemu:commandline><qemu:arg value='-device'/><qemu:arg value='loader,file=$D/noise,addr=0x1000000,force-raw=on'/>
</qemu:commandline></domain>`

const wanted: Scenario = {
  group: 'postcopy',
  files: { 'heavy.xml': heavy },
  // how far it has come by then
  shown: [
    [
      /^domjobinfo/,
      text =>
        text
          .replace(/\d[\d.]*/g, 'N')
          .replace(/ +/g, ' ')
          .replace(/N [KMG]?i?B/g, 'N B')
    ]
  ],
  async prepare({ dir }) {
    writeFileSync(join(dir, 'noise'), randomBytes(32 << 20))
  }
}

const lanes: Lane[] = []
for (const daemon of ['libvirtd', 'virshim'] as const) {
  const world = new MigrationWorld({ daemon })
  t.teardown(() => world.end())
  await world.start()
  const { a, b, shared: dir } = world
  const name = daemon === 'libvirtd' ? daemon : 'aggregator'
  lanes.push({ name, uri: a.uri, readOnlyUri: `${a.uri}-ro`, there: b.uri, dir, port: 5977 })
}
for (const lane of lanes) await furnish(lane, wanted)
await compareLanes(lanes, wanted)
