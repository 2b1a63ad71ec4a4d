import t from 'tap'
import type { DomainDef } from '../../../../src/conf/domain-def.ts'
import { validatePm } from '../../../../src/drivers/qemu/command/pm.ts'
import { argvOf, errorOf, fakeQemu, type GuestOptions } from '../../../helper/definition.ts'

const lineOf = async (option: string, outside: string, options: GuestOptions = {}) =>
  (await argvOf('', { outside, ...options })).filter(line => line.startsWith(`${option} `) || line === option)
const features = (inner: string) => `<features>${inner}</features>`

t.test('options of the machine and its accelerator', async t => {
  const [machine] = await lineOf('-machine', features("<smm/><vmport state='off'/><ioapic driver='qemu'/>"), {
    machine: 'q35'
  })
  t.match(machine, /^-machine pc-q35-7.2,usb=off,vmport=off,smm=on,kernel_irqchip=split,dump-guest-core=off/)
  t.same(await lineOf('-accel', features("<tcg><tb-cache unit='MiB'>32</tb-cache></tcg>")), ['-accel tcg,tb-size=32'])
  t.same(await lineOf('-global', features('<smm><tseg>48</tseg></smm>'), { machine: 'q35' }), [
    '-global mch.extended-tseg-mbytes=48',
    '-global ICH9-LPC.noreboot=off'
  ])
  t.same(
    await lineOf('-device', features("<vmcoreinfo state='on'/>")).then(lines =>
      lines.filter(line => /vmcore/.test(line))
    ),
    ['-device {"driver":"vmcoreinfo"}']
  )
})

t.test('the clock and its timers', async t => {
  for (const [clock, rtc] of [
    ["<clock offset='timezone' timezone='UTC'/>", '-rtc base=localtime'],
    ["<clock offset='absolute' start='86400'/>", '-rtc base=1970-01-02T00:00:00'],
    ["<clock><timer name='rtc' track='wall' tickpolicy='catchup'/></clock>", '-rtc base=utc,clock=host,driftfix=slew']
  ] as const) {
    t.same(await lineOf('-rtc', clock), [rtc])
  }
  const pit = (policy: string) => lineOf('-global', `<clock><timer name='pit' ${policy}/></clock>`)
  t.same(await pit(''), ['-global kvm-pit.lost_tick_policy=delay'])
  t.same(await pit("tickpolicy='catchup'"), [])
  t.same(await lineOf('-no-hpet', "<clock><timer name='hpet' present='no'/></clock>", { missing: ['machine-hpet'] }), [
    '-no-hpet'
  ])
})

t.test('sleep states', async t => {
  const pm = "<pm><suspend-to-mem enabled='no'/><suspend-to-disk enabled='yes'/></pm>"
  t.same(await lineOf('-global', pm), ['-global PIIX4_PM.disable_s3=1', '-global PIIX4_PM.disable_s4=0'])
  t.same(await lineOf('-global', pm, { machine: 'q35' }), [
    '-global ICH9-LPC.disable_s3=1',
    '-global ICH9-LPC.disable_s4=0',
    '-global ICH9-LPC.noreboot=off'
  ])
})

t.test('what the machine, QEMU or libvirt refuse', async t => {
  for (const [outside, error, options] of [
    [
      features('<gic/>'),
      "The 'gic' feature is not supported for architecture 'x86_64' or machine type 'pc-i440fx-7.2'"
    ],
    [features("<hpt resizing='enabled'/>"), "The 'hpt' feature is not supported"],
    [features('<smm><tseg>1</tseg></smm>'), 'SMM TSEG is only supported with q35 machine type'],
    [features("<smm><tseg unit='KiB'>1</tseg></smm>"), 'SMM TSEG size must be divisible by 1 MiB', { machine: 'q35' }],
    [features('<vmport/>'), 'vmport is not available with this QEMU binary', { missing: ['machine-vmport-opt'] }],
    [features('<tcg><tb-cache>1</tb-cache></tcg>'), 'tb-cache size must be an integer multiple of MiB'],
    ["<clock><timer name='platform'/></clock>", "unsupported timer type (name) 'platform'"],
    ["<clock><timer name='rtc' track='boot'/></clock>", "unsupported rtc timer track 'boot'"],
    [
      "<clock><timer name='armvtimer'/></clock>",
      "Configuring the 'armvtimer' timer is not supported for virtType=qemu"
    ],
    ["<clock offset='absolute' start='253402300800'/>", 'is 253402300799'],
    ['<on_crash>rename-restart</on_crash>', "qemu driver doesn't support the 'rename-restart' action"],
    ['<on_reboot>coredump-restart</on_reboot>', "Lifecycle event 'reboot' doesn't support 'coredump-restart' action"],
    [
      "<launchSecurity type='sev'><policy>1</policy></launchSecurity>",
      "'sev' launch security is not supported with this QEMU binary"
    ],
    [
      '<vcpu>4</vcpu><cpu><topology sockets="1" cores="3" threads="1"/></cpu>',
      "CPU topology doesn't match maximum vcpu count"
    ],
    ['<vcpu>256</vcpu>', 'Maximum CPUs greater than specified machine type limit 255']
  ] as [string, string, GuestOptions?][]) {
    t.match(await errorOf(() => argvOf('', { outside, ...options })), error, outside)
  }
  t.match(await errorOf(() => argvOf('', { machine: 'abacus' })), /machine type 'abacus'|PCI/)
  t.match(await errorOf(() => argvOf('', { type: 'kvm' })), "does not support virt type 'kvm'")
})

t.test('sleep states are those of PCs', async t => {
  const pm = { suspendToMem: false }
  validatePm({ os: { arch: 'x86_64' }, pm } as DomainDef)
  t.match(
    await errorOf(() => validatePm({ os: { arch: 'aarch64' }, pm } as DomainDef)),
    'VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: setting ACPI S3/S4 not supported'
  )
})

t.test('a machine that cannot have ACPI is refused with it', async t => {
  const qemu = fakeQemu()
  qemu.machines.find(({ name }) => name.startsWith('pc-i440fx-'))!.acpi = false
  const { name } = qemu.machines.find(({ acpi }) => acpi === false)!
  t.match(
    await errorOf(() => argvOf('', { machine: name, outside: features('<acpi/>'), qemu })),
    `machine type '${name}' does not support ACPI`
  )
})
