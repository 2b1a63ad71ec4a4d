// The guest every peer starts: an ordinary small one, without kernel, so that the launch itself is what is timed.
import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** Writes disk image and domain XML of one guest into `dir`; gives the XML's path. */
export function makeGuest(dir: string, name: string): string {
  const image = join(dir, `${name}.qcow2`)
  const made = spawnSync('qemu-img', ['create', '-q', '-f', 'qcow2', image, '64M'])
  if (made.status !== 0) throw new Error(`qemu-img: ${made.stderr}`)
  const xml = join(dir, `${name}.xml`)
  writeFileSync(
    xml,
    `<domain type='qemu'>
  <name>${name}</name>
  <memory unit='MiB'>128</memory>
  <vcpu>1</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type><boot dev='hd'/></os>
  <features><acpi/></features>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2'/><source file='${image}'/><target dev='vda' bus='virtio'/>
    </disk>
    <interface type='user'><model type='virtio'/></interface>
    <serial type='pty'/>
    <video><model type='vga'/></video>
    <rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
  </devices>
</domain>
`
  )
  return xml
}
