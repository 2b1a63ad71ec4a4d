// Guests whose QEMUs run as users of their own, with files that belong to somebody else.
import { execFileSync } from 'node:child_process'
import { chmodSync, chownSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import { attributesOf, ownerOf } from './owners.ts'
import { processesNaming } from './processes.ts'
import { Shim } from './shim.ts'

export const onlyRoot = process.getuid?.() !== 0 && 'only root can start QEMU as somebody else'

export const FIRST = 232_000
export const LAST = 232_999
export const RANGE = ['--uid-range', `${FIRST}-${LAST}`]
export const RUNNING = 1
export const LIMIT_MS = 60_000

interface Form {
  os?: string
  /** of the disk's <source> */
  label?: string
  /** below <domain> */
  outside?: string
  devices?: string
}

/** A shim with an image for each role, all of somebody else and closed to all others. */
export function guestWithFiles(t: Test, name: string, { os = '', label = '', outside = '', devices = '' }: Form = {}) {
  const shim = new Shim('')
  t.teardown(() => shim.end())
  chmodSync(shim.dir, 0o711)
  const at = (file: string) => join(shim.dir, file)
  const image = (...args: string[]) => execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', ...args])
  image(at('base'), '8M')
  image('-b', at('base'), '-F', 'qcow2', at('top'))
  for (const file of ['iso', 'second']) writeFileSync(at(file), Buffer.alloc(1024 * 1024))
  const files = ['base', 'top', 'iso', 'second'].map(at)
  for (const file of files) {
    chmodSync(file, 0o600)
    chownSync(file, 1234, 1235)
  }
  writeFileSync(
    shim.xmlFile,
    `<domain type='qemu'><name>${name}-${process.pid}</name><memory unit='MiB'>64</memory><vcpu>1</vcpu>
      <os><type arch='x86_64' machine='q35'>hvm</type>${os}</os><features><acpi/></features>${outside}
      <devices><controller type='pci' index='0' model='pcie-root'/><controller type='pci' model='pcie-root-port'/><controller type='pci' model='pcie-root-port'/>
        <controller type='pci' model='pcie-root-port'/><controller type='usb' model='qemu-xhci'/>
        <disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='${at('top')}'>${label}</source>
          <target dev='vda' bus='virtio'/></disk>
        <disk type='file' device='cdrom'><driver name='qemu' type='raw'/><source file='${at('iso')}'/>
          <target dev='sda' bus='sata'/></disk>
        <serial type='file'><source path='${at('serial')}'/></serial>${devices}</devices></domain>`
  )
  return { shim, at, files }
}

export const pidOf = (shim: Shim) => processesNaming(`path=${shim.root}/`)[0]!

/** Fields of /proc/PID/status of the guest's QEMU. */
export function statusOf(shim: Shim): Record<string, string> {
  const lines = readFileSync(`/proc/${pidOf(shim)}/status`, 'utf8').split('\n')
  return Object.fromEntries(lines.map(line => line.split(/:\s*/) as [string, string]))
}

export const uidOf = (shim: Shim) => Number(statusOf(shim).Uid?.split('\t')[0])

export async function running(shim: Shim, ...options: string[]): Promise<Promise<number | string>[]> {
  const exited = shim.start(...RANGE, ...options)
  await shim.untilState(RUNNING, LIMIT_MS)
  return [exited]
}

export async function destroy(t: Test, shim: Shim): Promise<void> {
  t.equal((await shim.call('virDomainDestroy', {})).status, 200)
}

/** All as before the guest was started. */
export function checkGivenBack(t: Test, files: string[]): void {
  for (const file of files) {
    t.equal(ownerOf(file), '1234:1235 600', file)
    t.same(attributesOf(file), {}, `${file} remembers nothing`)
  }
}
