// A guest with two disks on a stand-in QEMU whose block layer is modelled.
import { execFileSync } from 'node:child_process'
import { copyFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import type { Storage } from './each-step.ts'
import { type GuestParts, StandInGuest } from './stand-in-guest.ts'
import { StandInStorage } from './stand-in-storage.ts'

const DISKS = ['vda', 'vdb']

const disk = (target: string) => `<disk type='file' device='disk'><driver name='qemu' type='qcow2'/>
  <source file='@/${target}.qcow2'/><target dev='${target}' bus='virtio'/></disk>`

/** A guest that runs, and is kept unless `parts` say otherwise. */
export async function storageGuest(t: Test, parts: GuestParts = {}, disks = DISKS): Promise<Storage> {
  const model = new StandInStorage()
  const guest = await StandInGuest.make(t, {
    devices: disks.map(disk).join(''),
    persistent: true,
    ...parts,
    answers: { ...model.answers, ...parts.answers },
    onLaunch(qemu) {
      model.boot(qemu.argv)
      return qemu.openSockets()
    }
  })
  const [first, ...others] = disks.map(target => join(guest.dir, `${target}.qcow2`))
  execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', first!, '1M'])
  for (const file of others) copyFileSync(first!, file)
  await guest.start()
  guest.forget()
  return { guest, model }
}
