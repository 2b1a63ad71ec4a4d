import { fragments } from '../../helper/fragments.ts'

fragments('backends')`
  <tpm><backend type='passthrough'/></tpm>
    = <tpm model='tpm-tis'><backend type='passthrough'><device path='/dev/tpm0'/></backend></tpm>
  <tpm model='tpm-tis'><backend type='passthrough'><device path='/dev/tpm1'/></backend></tpm>
    =
  <tpm model='tpm-crb'><backend type='passthrough'><device/></backend></tpm>
    = <tpm model='tpm-crb'><backend type='passthrough'><device path='/dev/tpm0'/></backend></tpm>
  <tpm><backend type='emulator'/></tpm>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: TPM version '1.2' is not supported
  <tpm model='tpm-tis'><backend type='emulator' version='1.2'/></tpm>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: TPM version '1.2' is not supported
  <tpm model='tpm-crb'><backend type='emulator' version='2.0' persistent_state='yes'/></tpm>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: TPM version '2.0' is not supported
  <tpm model='tpm-crb'><backend type='emulator' persistent_state='no'/></tpm>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: TPM version '2.0' is not supported
  <tpm model='tpm-crb'><backend type='emulator' version='2.0'><encryption secret='6dd3e4a5-1d76-44ce-961f-f119f5aad935'/></backend></tpm>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: TPM version '2.0' is not supported
  <tpm model='tpm-crb'><backend type='emulator' version='2.0'><active_pcr_banks><sha512/><sha1/><sha1/></active_pcr_banks></backend></tpm>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: TPM version '2.0' is not supported
  <tpm model='tpm-crb'><backend type='emulator' version='2.0'><active_pcr_banks/></backend></tpm>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: TPM version '2.0' is not supported
  <tpm><backend type='external'><source type='unix' mode='connect' path='/tpm'/></backend></tpm>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: The QEMU executable /usr/bin/qemu-system-x86_64 does not support TPM backend type external
  <tpm><backend type='external'><source type='unix' path='/tpm'/></backend></tpm>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: The QEMU executable /usr/bin/qemu-system-x86_64 does not support TPM backend type external
  <tpm model='tpm-crb'><backend type='emulator'/><alias name='ua-t'/></tpm>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: TPM version '2.0' is not supported
`

fragments('refused')`
  <tpm/>
    ! VIR_ERR_XML_ERROR: XML error: missing TPM device backend
  <tpm model='x'><backend type='passthrough'/></tpm>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'model' in element 'tpm': 'x'.
  <tpm><backend/></tpm>
    ! VIR_ERR_XML_ERROR: XML error: Missing required attribute 'type' in element 'backend'
  <tpm><backend type='x'/></tpm>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'type' in element 'backend': 'x'.
  <tpm><backend type='passthrough'/><backend type='passthrough'/></tpm>
    ! VIR_ERR_XML_ERROR: XML error: only one TPM backend is supported
  <tpm><backend type='emulator' version='3'/></tpm>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'version' in element 'backend': '3'.
  <tpm model='tpm-crb'><backend type='emulator' version='1.2'/></tpm>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: TPM version '1.2' is not supported
  <tpm><backend type='emulator' persistent_state='x'/></tpm>
    ! VIR_ERR_INTERNAL_ERROR: internal error: Invalid persistent_state value, either 'yes' or 'no'
  <tpm><backend type='emulator'><encryption secret='x'/></backend></tpm>
    ! VIR_ERR_INTERNAL_ERROR: internal error: Unable to parse secret uuid 'x'
  <tpm><backend type='emulator' version='2.0'><active_pcr_banks><md5/></active_pcr_banks></backend></tpm>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: Unsupported PCR banks 'md5'
  <tpm model='tpm-tis'><backend type='emulator' version='1.2'><active_pcr_banks><sha1/></active_pcr_banks></backend></tpm>
    ! VIR_ERR_XML_ERROR: XML error: <active_pcr_banks/> requires TPM version '2.0'
  <tpm><backend type='external'/></tpm>
    ! VIR_ERR_XML_ERROR: XML error: missing external TPM backend source type
  <tpm><backend type='external'><source type='x'/></backend></tpm>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: unknown backend source type 'x' for external TPM
  <tpm><backend type='external'><source type='unix'/></backend></tpm>
    ! VIR_ERR_XML_ERROR: XML error: missing socket path for external TPM device
  <tpm><backend type='external'><source type='unix' mode='bind' path='/a'/></backend></tpm>
    ! VIR_ERR_XML_ERROR: XML error: only 'connect' mode is supported for external TPM device
  <tpm><backend type='external'><source type='tcp' mode='connect' host='a' service='1'/></backend></tpm>
    ! VIR_ERR_XML_ERROR: XML error: only source type 'unix' is supported for external TPM device
  <tpm model='tpm-spapr'><backend type='emulator'/></tpm>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: TPM version '2.0' is not supported
  <tpm model='spapr-tpm-proxy'><backend type='passthrough'/></tpm>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: The QEMU executable /usr/bin/qemu-system-x86_64 does not support TPM model spapr-tpm-proxy
  <tpm><backend type='emulator'/></tpm><tpm><backend type='emulator'/></tpm>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: only a single TPM non-proxy device is supported
  <tpm><backend type='emulator'/></tpm><tpm><backend type='emulator'/></tpm><tpm><backend type='emulator'/></tpm>
    ! VIR_ERR_XML_ERROR: XML error: a maximum of two TPM devices is supported, one of them being a TPM Proxy device
`
