import t from 'tap'
import { featuresFields } from '../../../src/conf/domain/features.ts'
import { errorOf, throughTable } from '../../helper/definition.ts'

const through = (inner: string) => throughTable(featuresFields, `<domain><features>${inner}</features></domain>`)
const written = (inner: string) => (inner === '' ? '<domain/>' : `<domain><features>${inner}</features></domain>`)

t.test('written in libvirt order, with what is left out', async t => {
  for (const [given, expected = given] of [
    ['<pae/><acpi/>', '<acpi/><pae/>'],
    ['<pmu/><hap state="off"/>', "<hap state='off'/><pmu state='on'/>"],
    ["<apic eoi='off'/>"],
    ['<ioapic/><hpt/><cfpc/><capabilities policy="default"/><tcg/>', ''],
    ["<smm><tseg unit='KiB'>2048</tseg></smm>", "<smm state='on'><tseg unit='MiB'>2</tseg></smm>"],
    ["<smm state='off'><tseg>8</tseg></smm>", "<smm state='off'/>"],
    ['<smm><tseg>0</tseg></smm>', "<smm state='on'><tseg unit='B'>0</tseg></smm>"],
    ['<hpt><maxpagesize unit="b">1500</maxpagesize></hpt>', "<hpt><maxpagesize unit='KiB'>2</maxpagesize></hpt>"],
    ['<hyperv/>', "<hyperv mode='custom'/>"],
    [
      '<hyperv><avic state="on"/><stimer state="on"><direct state="off"/></stimer><relaxed state="off"/></hyperv>',
      "<hyperv mode='custom'><relaxed state='off'/><stimer state='on'/><avic state='on'/></hyperv>"
    ],
    [
      "<hyperv><spinlocks state='off' retries='9'/></hyperv>",
      "<hyperv mode='custom'><spinlocks state='off'/></hyperv>"
    ],
    ['<kvm/>'],
    ["<kvm><dirty-ring state='off' size='9'/></kvm>", "<kvm><dirty-ring state='off'/></kvm>"],
    ['<capabilities><chown/></capabilities>', "<capabilities policy='default'><chown state='on'/></capabilities>"],
    ["<xen><passthrough state='off' mode='sync_pt'/></xen>", "<xen><passthrough state='off'/></xen>"],
    ['<tcg><tb-cache unit="MiB">1</tb-cache></tcg>', "<tcg><tb-cache unit='KiB'>1024</tb-cache></tcg>"]
  ] as [string, string?][]) {
    t.equal(through(given), written(expected), given)
  }
})

t.test('refused', async t => {
  for (const [inner, error] of [
    ['<warp/>', "VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: unexpected feature 'warp'"],
    ['<hyperv><relaxed/></hyperv>', "Missing required attribute 'state' in element 'relaxed'"],
    ['<hyperv><x state="on"/></hyperv>', 'unsupported HyperV Enlightenment feature: x'],
    ['<hyperv><stimer state="on"><x/></stimer></hyperv>', 'unsupported Hyper-V stimer feature: x'],
    ['<hyperv><spinlocks state="on" retries="4094"/></hyperv>', 'retry count must be at least 4095'],
    ['<hyperv><vendor_id state="on" value="thirteen char"/></hyperv>', 'must not be more than 12 characters.'],
    ['<hyperv><vendor_id state="on" value="a,b"/></hyperv>', 'HyperV vendor_id value is invalid'],
    ['<kvm><x state="on"/></kvm>', 'unsupported KVM feature: x'],
    ['<kvm><dirty-ring state="on" size="3000"/></kvm>', 'dirty ring must be power of 2 and ranges [1024, 65536]'],
    ['<xen><x state="on"/></xen>', 'unsupported Xen feature: x'],
    ['<capabilities><x/></capabilities>', "unexpected capability feature 'x'"],
    ['<hpt><maxpagesize>x</maxpagesize></hpt>', 'Unable to parse HPT maxpagesize setting'],
    ['<gic version="none"/>', "Invalid value for attribute 'version' in element 'gic': 'none'."],
    ['<htm/>', "Missing required attribute 'state' in element 'htm'"]
  ] as const) {
    t.match(await errorOf(() => through(inner)), error, inner)
  }
})
