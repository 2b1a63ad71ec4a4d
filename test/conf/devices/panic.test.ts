import { fragments } from '../../helper/fragments.ts'

fragments('panic')`
  <panic/>
    = <panic model='isa'/>
  <panic model='default'/>
    = <panic model='isa'/>
  <panic model='isa'/>
    =
  <panic model='isa'><address type='isa' iobase='0x505'/></panic>
    =
  <panic model='hyperv'/>
    =
  <panic model='isa'/><panic model='hyperv'/>
    =
  <panic model='isa'/><panic model='isa'/>
    ! VIR_ERR_XML_ERROR: XML error: Multiple panic devices with model 'isa'
  <panic/><panic model='isa'/>
    ! VIR_ERR_XML_ERROR: XML error: Multiple panic devices with model 'isa'
  <panic model='x'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: unknown panic model 'x'
  <panic model='pseries'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: only pSeries guests support panic device of model 'pseries'
  <panic model='s390'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: only S390 guests support panic device of model 's390'
  <panic model='hyperv'><address type='isa' iobase='0x505'/></panic>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: setting the panic device address is not supported for model 'hyperv'
  <panic model='isa'><address type='pci' slot='9'/></panic>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: panic is supported only with ISA address type
`
