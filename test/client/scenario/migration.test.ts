// Guests that move between two hosts: two libvirtd, and two aggregators, each pair on hosts of its own.
import { randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { betweenHosts } from '../../helper/between-hosts.ts'
import { guest, type Scenario } from '../../helper/scenario.ts'

// some sixty moves, each of which starts a guest
t.setTimeout(900_000)

const VNC_PORT = 5977

const xml = guest()
const other = (from: string | RegExp, to: string) => xml.replace(from, () => to)
/** A guest whose memory takes its time, as QEMU fills it with noise. */
const heavy = `<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'><name>$G-heavy</name>
<uuid>$U35</uuid><memory unit='MiB'>64</memory><os><type arch='x86_64' machine='pc'>hvm</type></os>
<qemu:commandline><qemu:arg value='-device'/><qemu:arg value='loader,file=$D/noise,addr=0x1000000,force-raw=on'/>
</qemu:commandline></domain>`
/** Statistics without their numbers; of what is too quick some are not told. */
const counted = (text: string) =>
  text
    .replace(/^(?:Memory bandwidth|.* w\/o network).*\n/gm, '')
    .replace(/\d[\d.]*/g, 'N')
    .replace(/ +/g, ' ')
    .replace(/N [KMG]?i?B/g, 'N B')

const wanted: Scenario = {
  group: 'migration',
  files: {
    'g.xml': xml,
    'title.xml': other('A title', 'Another title'),
    'uuid.xml': other('$U33', '$U34'),
    'named.xml': other('<name>$G<', '<name>$G-other<').replace('$U33', '$U34'),
    'memory.xml': other("<memory unit='MiB'>64", "<memory unit='MiB'>96"),
    'target.xml': other("dev='vda'", "dev='vdb'"),
    'there.xml': other('disk.qcow2', 'other.qcow2'),
    'bad.xml': '<domain',
    'heavy.xml': heavy
  },
  async prepare({ dir }) {
    writeFileSync(join(dir, 'noise'), randomBytes(32 << 20))
  },
  shown: [
    [/^domjobinfo/, counted],
    // QEMU's user
    [/^dominfo/, text => text.replace(/^Messages:.*\n/gm, '')]
  ]
}

await betweenHosts(VNC_PORT, wanted)
