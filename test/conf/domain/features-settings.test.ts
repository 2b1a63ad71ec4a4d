import { fragments } from '../../helper/fragments.ts'

const inside = (type: string) => ({
  in: 'domain' as const,
  type,
  around: ['<features>', '</features>'] as [string, string],
  show: ['features']
})

fragments('switches', inside('qemu'))`
  <acpi/>
    = <features><acpi/></features>
  <acpi/><apic eoi='on'/><pae/>
    = <features><acpi/><apic eoi='on'/><pae/></features>
  <apic eoi='x'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'eoi' in element 'apic': 'x'.
  <hap/>
    = <features><hap state='on'/></features>
  <hap state='off'/>
    = <features><hap state='off'/></features>
  <hap state='x'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'state' in element 'hap': 'x'.
  <viridian/>
    = <features><viridian/></features>
  <privnet/>
    = <features><privnet/></features>
  <pvspinlock state='on'/>
    = <features><pvspinlock state='on'/></features>
  <pvspinlock state='off'/>
    = <features><pvspinlock state='off'/></features>
  <pmu state='on'/>
    = <features><pmu state='on'/></features>
  <vmport state='off'/>
    = <features><vmport state='off'/></features>
  <vmport/>
    = <features><vmport state='on'/></features>
  <vmport state='x'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'state' in element 'vmport': 'x'.
  <vmcoreinfo/>
    = <features><vmcoreinfo state='on'/></features>
  <vmcoreinfo state='off'/>
    = <features><vmcoreinfo state='off'/></features>
  <smm state='off'/>
    = <features><smm state='off'/></features>
  <smm state='on'/>
    = <features><smm state='on'/></features>
  <smm><tseg unit='MiB'>48</tseg></smm>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: SMM TSEG is only supported with q35 machine type
  <htm state='on'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: The 'htm' feature is not supported for architecture 'x86_64' or machine type 'pc-i440fx-7.2'
  <nested-hv state='on'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: The 'nested-hv' feature is not supported for architecture 'x86_64' or machine type 'pc-i440fx-7.2'
  <ccf-assist state='on'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: The 'ccf-assist' feature is not supported for architecture 'x86_64' or machine type 'pc-i440fx-7.2'
  <msrs unknown='ignore'/>
    = <features><msrs unknown='ignore'/></features>
  <msrs unknown='x'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'unknown' in element 'msrs': 'x'.
  <msrs/>
    ! VIR_ERR_XML_ERROR: XML error: Missing required attribute 'unknown' in element 'msrs'
  <gic version='2'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: The 'gic' feature is not supported for architecture 'x86_64' or machine type 'pc-i440fx-7.2'
  <gic version='x'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'version' in element 'gic': 'x'.
  <hpt resizing='required'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: The 'hpt' feature is not supported for architecture 'x86_64' or machine type 'pc-i440fx-7.2'
  <hpt resizing='x'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'resizing' in element 'hpt': 'x'.
  <ioapic driver='kvm'/>
    = <features><ioapic driver='kvm'/></features>
  <ioapic driver='x'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'driver' in element 'ioapic': 'x'.
  <ioapic/>
    -
  <cfpc value='fixed'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: The 'cfpc' feature is not supported for architecture 'x86_64' or machine type 'pc-i440fx-7.2'
  <cfpc value='x'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'value' in element 'cfpc': 'x'.
  <sbbc value='workaround'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: The 'sbbc' feature is not supported for architecture 'x86_64' or machine type 'pc-i440fx-7.2'
  <ibs value='fixed-na'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: The 'ibs' feature is not supported for architecture 'x86_64' or machine type 'pc-i440fx-7.2'
  <ibs/>
    -
  <tcg><tb-cache unit='MiB'>32</tb-cache></tcg>
    = <features><tcg><tb-cache unit='KiB'>32768</tb-cache></tcg></features>
  <tcg/>
    -
  <tcg><tb-cache unit='x'>32</tb-cache></tcg>
    ! VIR_ERR_INVALID_ARG: invalid argument: unknown suffix 'x'
  <async-teardown enabled='yes'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: asynchronous teardown is not available with this QEMU binary
  <capabilities policy='deny'><mknod state='on'/></capabilities>
    = <features><capabilities policy='deny'><mknod state='on'/></capabilities></features>
  <capabilities policy='x'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'policy' in element 'capabilities': 'x'.
  <nosuch/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: unexpected feature 'nosuch'
  <xen><e820_host state='on'/></xen>
    = <features><xen><e820_host state='on'/></xen></features>
  <xen><passthrough state='on' mode='x'/></xen>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'mode' in element 'passthrough': 'x'.
  <xen><nosuch state='on'/></xen>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: unsupported Xen feature: nosuch
`

fragments('of newer QEMUs', { ...inside('qemu'), missing: [] })`
  <async-teardown enabled='yes'/>
    = <features><async-teardown enabled='yes'/></features>
`

fragments('Hyper-V', inside('kvm'))`
  <hyperv><relaxed state='on'/><vapic state='on'/></hyperv>
    = <features><hyperv mode='custom'><relaxed state='on'/><vapic state='on'/></hyperv></features>
  <hyperv mode='custom'><spinlocks state='on' retries='4096'/><vpindex state='off'/></hyperv>
    = <features><hyperv mode='custom'><spinlocks state='on' retries='4096'/><vpindex state='off'/></hyperv></features>
  <hyperv mode='passthrough'/>
    = <features><hyperv mode='passthrough'/></features>
  <hyperv mode='passthrough'><relaxed state='on'/><nosuch/></hyperv>
    = <features><hyperv mode='passthrough'/></features>
  <hyperv mode='x'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'mode' in element 'hyperv': 'x'.
  <hyperv/>
    = <features><hyperv mode='custom'/></features>
  <hyperv><relaxed/></hyperv>
    ! VIR_ERR_XML_ERROR: XML error: Missing required attribute 'state' in element 'relaxed'
  <hyperv><relaxed state='x'/></hyperv>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'state' in element 'relaxed': 'x'.
  <hyperv><nosuch state='on'/></hyperv>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: unsupported HyperV Enlightenment feature: nosuch
  <hyperv><spinlocks state='on'/></hyperv>
    ! VIR_ERR_XML_ERROR: XML error: Missing required attribute 'retries' in element 'spinlocks'
  <hyperv><spinlocks state='on' retries='4094'/></hyperv>
    ! VIR_ERR_XML_ERROR: XML error: HyperV spinlock retry count must be at least 4095
  <hyperv><spinlocks state='on' retries='0xfff'/></hyperv>
    = <features><hyperv mode='custom'><spinlocks state='on' retries='4095'/></hyperv></features>
  <hyperv><spinlocks state='off'/></hyperv>
    = <features><hyperv mode='custom'><spinlocks state='off'/></hyperv></features>
  <hyperv><spinlocks state='on' retries='x'/></hyperv>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'retries' in element 'spinlocks': 'x'. Expected non-negative integer value
  <hyperv><vendor_id state='on' value='KVM Hv'/></hyperv>
    = <features><hyperv mode='custom'><vendor_id state='on' value='KVM Hv'/></hyperv></features>
  <hyperv><vendor_id state='on'/></hyperv>
    ! VIR_ERR_XML_ERROR: XML error: missing 'value' attribute for HyperV feature 'vendor_id'
  <hyperv><vendor_id state='on' value='1234567890123'/></hyperv>
    ! VIR_ERR_XML_ERROR: XML error: HyperV vendor_id value must not be more than 12 characters.
  <hyperv><vendor_id state='on' value='a,b'/></hyperv>
    ! VIR_ERR_XML_ERROR: XML error: HyperV vendor_id value is invalid
  <hyperv><vendor_id state='off' value='a'/></hyperv>
    = <features><hyperv mode='custom'><vendor_id state='off'/></hyperv></features>
  <hyperv><synic state='on'/></hyperv>
    = <features><hyperv mode='custom'><synic state='on'/></hyperv></features>
  <hyperv><vpindex state='on'/><synic state='on'/><stimer state='on'><direct state='on'/></stimer></hyperv>
    = <features><hyperv mode='custom'><vpindex state='on'/><synic state='on'/><stimer state='on'><direct state='on'/></stimer></hyperv></features>
  <hyperv><stimer state='on'><nosuch state='on'/></stimer></hyperv>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: unsupported Hyper-V stimer feature: nosuch
  <hyperv><stimer state='on'><direct/></stimer></hyperv>
    ! VIR_ERR_XML_ERROR: XML error: Missing required attribute 'state' in element 'direct'
  <hyperv><runtime state='on'/><frequencies state='on'/><reenlightenment state='on'/><tlbflush state='on'/><ipi state='on'/><evmcs state='off'/><avic state='on'/><reset state='on'/></hyperv>
    = <features><hyperv mode='custom'><runtime state='on'/><reset state='on'/><frequencies state='on'/><reenlightenment state='on'/><tlbflush state='on'/><ipi state='on'/><evmcs state='off'/><avic state='on'/></hyperv></features>
`

fragments('KVM', inside('kvm'))`
  <kvm><hidden state='on'/></kvm>
    = <features><kvm><hidden state='on'/></kvm></features>
  <kvm><hidden state='off'/><hint-dedicated state='on'/><poll-control state='on'/></kvm>
    = <features><kvm><hidden state='off'/><hint-dedicated state='on'/><poll-control state='on'/></kvm></features>
  <kvm/>
    = <features><kvm/></features>
  <kvm><hidden/></kvm>
    ! VIR_ERR_XML_ERROR: XML error: Missing required attribute 'state' in element 'hidden'
  <kvm><nosuch state='on'/></kvm>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: unsupported KVM feature: nosuch
  <kvm><pv-ipi state='off'/></kvm>
    = <features><kvm><pv-ipi state='off'/></kvm></features>
  <kvm><dirty-ring state='on' size='4096'/></kvm>
    = <features><kvm><dirty-ring state='on' size='4096'/></kvm></features>
  <kvm><dirty-ring state='on'/></kvm>
    ! VIR_ERR_XML_ERROR: XML error: Missing required attribute 'size' in element 'dirty-ring'
  <kvm><dirty-ring state='on' size='1000'/></kvm>
    ! VIR_ERR_XML_ERROR: XML error: dirty ring must be power of 2 and ranges [1024, 65536]
  <kvm><dirty-ring state='on' size='512'/></kvm>
    ! VIR_ERR_XML_ERROR: XML error: dirty ring must be power of 2 and ranges [1024, 65536]
  <kvm><dirty-ring state='on' size='131072'/></kvm>
    ! VIR_ERR_XML_ERROR: XML error: dirty ring must be power of 2 and ranges [1024, 65536]
  <kvm><dirty-ring state='off' size='4096'/></kvm>
    = <features><kvm><dirty-ring state='off'/></kvm></features>
  <kvm><dirty-ring state='on' size='x'/></kvm>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'size' in element 'dirty-ring': 'x'. Expected non-negative integer value
`

fragments('smm with its memory', {
  in: 'domain',
  machine: 'q35',
  around: ['<features>', '</features>'],
  show: ['features']
})`
  <smm state='on'><tseg unit='MiB'>48</tseg></smm>
    = <features><smm state='on'><tseg unit='MiB'>48</tseg></smm></features>
  <smm state='on'><tseg>16</tseg></smm>
    = <features><smm state='on'><tseg unit='MiB'>16</tseg></smm></features>
  <smm state='on'><tseg unit='KiB'>100</tseg></smm>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: SMM TSEG size must be divisible by 1 MiB
  <smm state='on'><tseg unit='x'>1</tseg></smm>
    ! VIR_ERR_INVALID_ARG: invalid argument: unknown suffix 'x'
  <smm state='on'><tseg>x</tseg></smm>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value 'x' for element or attribute 'string(./features/smm/tseg)'
  <smm state='off'><tseg unit='MiB'>48</tseg></smm>
    = <features><smm state='off'/></features>
`
