import { fragments } from '../../helper/fragments.ts'

fragments('buses by kind')`
  <input type='mouse'/>
    = <input type='mouse' bus='ps2'/>
  <input type='keyboard'/>
    = <input type='keyboard' bus='ps2'/>
  <input type='tablet'/>
    = <input type='tablet' bus='usb'/>
  <input type='passthrough'><source evdev='/dev/input/event1'/></input>
    = <input type='passthrough' bus='virtio'><source evdev='/dev/input/event1'/></input>
  <input type='evdev'><source dev='/dev/input/event1'/></input>
    =
  <input type='mouse' bus='usb'/>
    =
  <input type='mouse' bus='usb'><address type='usb' bus='0' port='3'/></input>
    ! VIR_ERR_XML_ERROR: XML error: requested USB port 3 not present on USB bus 0
  <input type='keyboard' bus='usb'/>
    =
  <input type='tablet' bus='virtio'/>
    =
  <input type='tablet' bus='virtio' model='virtio-transitional'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: virtio (non-)transitional models are not supported for input type=tablet
  <input type='keyboard' bus='virtio' model='virtio-non-transitional'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: virtio (non-)transitional models are not supported for input type=keyboard
  <input type='mouse' bus='virtio'><driver iommu='on' ats='on' packed='on' page_per_vq='on'/></input>
    =
`

fragments('sources')`
  <input type='evdev'><source dev='/dev/a' grab='all' grabToggle='ctrl-scrolllock' repeat='off'/></input>
    =
  <input type='evdev'><source dev='/dev/a' repeat='on'/></input>
    =
  <input type='tablet'><source evdev='/dev/a'/></input>
    = <input type='tablet' bus='usb'/>
  <input type='passthrough' bus='virtio'><source evdev='/dev/a' grab='all'/></input>
    = <input type='passthrough' bus='virtio'><source evdev='/dev/a'/></input>
  <input type='evdev'/>
    =
  <input type='passthrough'/>
    = <input type='passthrough' bus='virtio'/>
  <input type='evdev'><source evdev='/dev/a'/></input>
    ! VIR_ERR_XML_ERROR: XML error: Missing evdev path for input device
  <input type='evdev'><source dev='/dev/a' grab='some'/></input>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'grab' in element 'source': 'some'.
  <input type='evdev'><source dev='/dev/a' grabToggle='x'/></input>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'grabToggle' in element 'source': 'x'.
  <input type='evdev'><source dev='/dev/a' repeat='yes'/></input>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'repeat' in element 'source': 'yes'.
`

fragments('refused')`
  <input/>
    ! VIR_ERR_INTERNAL_ERROR: internal error: missing input device type
  <input type='joystick'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: unknown input device type 'joystick'
  <input type='mouse' bus='x'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: unknown input bus type 'x'
  <input type='mouse' bus='xen'/>
    ! VIR_ERR_INTERNAL_ERROR: internal error: unsupported input bus xen
  <input type='mouse' bus='parallels'/>
    =
  <input type='tablet' bus='ps2'/>
    ! VIR_ERR_INTERNAL_ERROR: internal error: ps2 bus does not support tablet input device
  <input type='evdev' bus='virtio'><source dev='/dev/a'/></input>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: input evdev doesn't support bus element
  <input type='passthrough' bus='usb'><source evdev='/dev/a'/></input>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: only bus 'virtio' is supported for 'passthrough' input devices
  <input type='mouse' bus='usb' model='virtio'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: only bus 'virtio' is supported for input model 'virtio'
  <input type='mouse' bus='virtio' model='x'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: unknown input model 'x'
  <input type='tablet' bus='usb'><address type='pci' slot='9'/></input>
    ! VIR_ERR_XML_ERROR: XML error: Invalid address for a USB device
  <input type='mouse' bus='ps2'><address type='pci' slot='9'/></input>
    = <input type='mouse' bus='ps2'><address type='pci' domain='0x0000' bus='0x00' slot='0x09' function='0x0'/></input>
  <input type='mouse' bus='usb'><driver iommu='on'/></input>
    =
  <input type='mouse' bus='virtio'><driver iommu='maybe'/></input>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'iommu' in element 'driver': 'maybe'.
`
