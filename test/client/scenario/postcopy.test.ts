// Post-copy that loses its connection and is brought on by another: two libvirtd, and two aggregators, each pair on hosts of
// its own.
import { randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { betweenHosts } from '../../helper/between-hosts.ts'
import type { Scenario } from '../../helper/scenario.ts'

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

await betweenHosts(5977, wanted)
