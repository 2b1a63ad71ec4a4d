// Whole lives of guests that boot: started, asked through their agent, shut down. Boards without ACPI, and what
// virt-install and libvirt make of a new guest on each board, with UEFI, TPM and virtiofs.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { BootedGuest, DIRECT_BOOT, DIRECT_BOOT_OPTION, makeGuestFiles } from '../../../helper/booted-guest.ts'
import { Daemons } from '../../../helper/libvirtd.ts'
import { leftovers } from '../../../helper/refusal.ts'

t.setTimeout(290_000)

const dir = mkdtempSync(join(tmpdir(), 'virshim-boot-'))
const daemons = new Daemons(dir)
t.teardown(() => {
  daemons.end()
  rmSync(dir, { recursive: true, force: true })
})
makeGuestFiles()

async function boot(t: Test, xml: string): Promise<BootedGuest> {
  const guest = await BootedGuest.boot(xml)
  t.teardown(() => guest.end())
  return guest
}

/** Asks by the power button; the guest's end ends its shim. */
async function shutDown(t: Test, guest: BootedGuest, name: string): Promise<void> {
  t.equal(
    (await guest.shim.call('virDomainShutdownFlags', { flags: ['VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN'] })).status,
    200
  )
  t.equal(await guest.ended, 0)
  t.same(left(guest, name), [], 'nothing is left')
}

/** A TPM keeps its state beyond a run. */
const left = ({ shim }: BootedGuest, name: string) => leftovers(shim.root, name).filter(file => file !== 'tpm')

for (const machine of ['pc', 'q35']) {
  await t.test(`a ${machine} without ACPI`, async t => {
    const name = `t-boot-${process.pid}-no-acpi-${machine}`
    const guest = await boot(
      t,
      `<domain type='qemu'><name>${name}</name><memory unit='MiB'>256</memory><on_reboot>destroy</on_reboot>
      <os><type arch='x86_64' machine='${machine}'>hvm</type>${DIRECT_BOOT}</os><devices><serial type='pty'/>
      <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel></devices></domain>`
    )
    const asked = { execute: 'qom-get', arguments: { path: '/machine', property: 'acpi' } }
    const { body } = await guest.shim.call('virDomainQemuMonitorCommand', { cmd: JSON.stringify(asked) })
    t.equal(JSON.parse(body.result).return, 'off')
    // without ACPI no Linux can switch its machine off
    await guest.agent('guest-shutdown', { mode: 'reboot' })
    t.equal(await guest.ended, 0)
    t.same(left(guest, name), [], 'nothing is left')
  })
}

interface NewGuest {
  options: string
  /** what is run in the guest, and what it prints */
  asked: [command: string, printed: string][]
  /** files of the host; without any of each, the guest is left out */
  needs?: string[][]
}

/** New guests by the options of virt-install beside those that all have. */
const NEW_GUESTS: Record<string, NewGuest> = {
  i440fx: {
    options: '--machine pc --graphics vnc --boot @kernel',
    asked: [['cat /sys/class/dmi/id/product_name', 'Standard PC (i440FX + PIIX, 1996)']]
  },
  q35: {
    options: '--machine q35 --graphics vnc --boot @kernel',
    asked: [
      ['cat /sys/class/dmi/id/product_name', 'Standard PC (Q35 + ICH9, 2009)'],
      ['ls /sys/class/net | grep -c e', '1']
    ]
  },
  UEFI: {
    options: '--machine q35 --graphics none --boot uefi,@kernel',
    asked: [['ls /sys/firmware/efi/systab', '/sys/firmware/efi/systab']],
    needs: [['/usr/share/OVMF/OVMF_CODE_4M.ms.fd']]
  },
  TPM: {
    options: '--machine q35 --graphics none --boot @kernel --tpm emulator',
    asked: [['cat /sys/class/tpm/tpm0/tpm_version_major', '2']],
    needs: [['/usr/bin/swtpm']]
  },
  virtiofs: {
    options:
      '--machine q35 --graphics none --boot @kernel --memorybacking source.type=memfd,access.mode=shared ' +
      '--filesystem source=@dir,target=shared,driver.type=virtiofs',
    asked: [
      ['mkdir -p /mnt; mount -t virtiofs shared /mnt; cat /mnt/said', 'by the host'],
      ['echo "by the guest" >/mnt/answered; cat /mnt/answered', 'by the guest']
    ],
    needs: [['/usr/libexec/virtiofsd', '/usr/lib/qemu/virtiofsd']]
  }
}

/** What libvirt keeps of a guest that virt-install has made. */
function libvirtXml(name: string, options: string): string {
  const run = (program: string, ...args: string[]) => {
    const { status, stdout, stderr } = spawnSync(program, args, { encoding: 'utf8' })
    if (status !== 0) throw new Error(`${program} ${args.join(' ')}: ${stderr}`)
    return stdout
  }
  const common = `--name ${name} --memory 256 --vcpus 2 --virt-type qemu --osinfo linux2020 --disk none --import --network user`
  const own = options.split(' ').map(word => word.replace('@kernel', DIRECT_BOOT_OPTION).replace('@dir', dir))
  const file = join(dir, 'new.xml')
  const connection = ['--connect', 'qemu:///system']
  writeFileSync(file, run('virt-install', ...connection, ...common.split(' '), ...own, '--print-xml'))
  run('virsh', ...connection, 'define', file)
  try {
    return run('virsh', ...connection, 'dumpxml', '--inactive', name)
  } finally {
    run('virsh', ...connection, 'undefine', '--nvram', name)
  }
}

const noLibvirt = process.getuid?.() !== 0 || !existsSync('/usr/bin/virt-install')
for (const [what, { options, asked, needs = [] }] of Object.entries(NEW_GUESTS)) {
  const missing = needs.find(files => !files.some(file => existsSync(file)))
  const skip = noLibvirt ? 'needs root and virt-install' : missing && `needs ${missing.join(' or ')}`
  await t.test(`virt-install's guest: ${what}`, { skip }, async t => {
    const name = `t-boot-${process.pid}-${what}`
    await daemons.ensure(2000)
    const xml = libvirtXml(name, options)
    const variables = /<nvram[^>]*>(.*)<\/nvram>/.exec(xml)?.[1]
    if (variables) t.teardown(() => rmSync(variables, { force: true }))
    writeFileSync(join(dir, 'said'), 'by the host\n')
    const guest = await boot(t, xml)
    for (const [command, printed] of asked) t.equal(await guest.run(command), printed, command)
    await shutDown(t, guest, name)
  })
}
