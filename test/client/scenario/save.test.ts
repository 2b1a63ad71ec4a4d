// Guests whose memory goes into files and comes back: formats, flags, other XML, images that are broken, managed save.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { guest, scenario } from '../../helper/scenario.ts'

// up to three programs at a time on a busy machine
t.setTimeout(600_000)

const xml = guest({ graphics: '' })
/** A definition that the saved memory does not fit, or does. */
const other = (from: string | RegExp, to: string) => xml.replace(from, () => to)
/** Statistics without their numbers; QEMU has no bandwidth to tell of a save that was too quick. */
const counted = (text: string) =>
  text
    .replace(/^Memory bandwidth.*\n/m, '')
    .replace(/\d[\d.]*/g, 'N')
    .replace(/ +/g, ' ')

await scenario({
  group: 'save',
  files: {
    'g.xml': xml,
    'disk2.xml': other('$D/disk.qcow2', '$D/other.qcow2'),
    'name.xml': other('<name>$G<', '<name>$G-x<'),
    'uuid.xml': other('$U33', '$U34'),
    'memory.xml': other("<memory unit='MiB'>64", "<memory unit='MiB'>96"),
    'cpus.xml': other("<vcpu current='1'>2", "<vcpu current='1'>3"),
    'online.xml': other("<vcpu current='1'>2", '<vcpu>2'),
    'machine.xml': other("machine='pc'", "machine='q35'"),
    'acpi.xml': other('<acpi/>', ''),
    'target.xml': other("dev='vda'", "dev='vdb'"),
    'bus.xml': other("dev='vda' bus='virtio'", "dev='sda' bus='scsi'"),
    'mac.xml': other('52:54:00:7a:11:33', '52:54:00:7a:11:34'),
    'card.xml': other("<model type='virtio'/></interface>", "<model type='e1000'/></interface>"),
    'rng.xml': other(/<rng.*<\/rng>/s, ''),
    'watchdog.xml': other("model='i6300esb'", "model='ib700'"),
    'balloon.xml': other("<memballoon model='virtio'/>", "<memballoon model='virtio' autodeflate='on'/>"),
    'type.xml': other("type='qemu'><name>", "type='kvm'><name>"),
    'words.xml': other('Some words', 'Other words'),
    'bad.xml': '<domain',
    'empty.save': '',
    'short.save': 'LibvirtQemudSave',
    'partial.save': `LibvirtQemudPart${'\0'.repeat(200)}`,
    'alien.save': `Lorem ipsum dolor sit amet${'\0'.repeat(200)}`,
    'newer.save': `LibvirtQemudSave\x09\0\0\x09${'\0'.repeat(200)}`,
    'format.save': `LibvirtQemudSave\x02\0\0\0\x10\0\0\0\x01\0\0\0\x63${'\0'.repeat(200)}`,
    'nothing.save': `LibvirtQemudSave\x02${'\0'.repeat(200)}`,
    // what a newer QEMU has saved, with room for 8192 bytes of XML
    'mapped.save': `LibvirtQemudSave\x02\0\0\0\0\x20\0\0\x01\0\0\0\x06\0\0\0${'\0'.repeat(60)}${xml}${'\0'.repeat(8192)}`
  },
  async prepare({ dir }) {
    writeFileSync(join(dir, 'there.save'), 'something')
  },
  shim: 'g.xml',
  shown: [[/^domjobinfo/, counted]]
})
