import { fragments } from '../../helper/fragments.ts'

const place = {
  outside:
    '<throttlegroups><throttlegroup><total_bytes_sec>1000</total_bytes_sec><group_name>a</group_name></throttlegroup><throttlegroup><group_name>b</group_name></throttlegroup></throttlegroups>',
  around: ["<disk type='file' device='disk'>", "<source file='/a'/><target dev='vda' bus='virtio'/></disk>"] as [
    string,
    string
  ],
  show: ['disk']
}

fragments('filters of a disk', place)`
  <throttlefilters><throttlefilter group='b'/><throttlefilter group='a'/></throttlefilters>
    = <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/a'/><target dev='vda' bus='virtio'/><throttlefilters><throttlefilter group='b'/><throttlefilter group='a'/></throttlefilters></disk>
  <throttlefilters/>
    = <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/a'/><target dev='vda' bus='virtio'/></disk>
  <throttlefilters><throttlefilter group='a'/><throttlefilter group='a'/></throttlefilters>
    ! VIR_ERR_XML_ERROR: XML error: duplicate filter name 'a' found
  <throttlefilters><throttlefilter group='c'/></throttlefilters>
    ! VIR_ERR_XML_ERROR: XML error: throttle group 'c' not found
  <iotune><group_name>x</group_name></iotune><throttlefilters><throttlefilter group='a'/></throttlefilters>
    ! VIR_ERR_OPERATION_UNSUPPORTED: Operation not supported: block 'throttlefilters' can't be used together with 'iotune' for disk 'vda'
`

fragments('filters of a drive', { outside: place.outside })`
  <disk type='file' device='cdrom'><source file='/a'/><target dev='hda' bus='ide'/><throttlefilters><throttlefilter group='a'/></throttlefilters></disk>
    ! VIR_ERR_OPERATION_UNSUPPORTED: Operation not supported: cdrom device with throttle filters isn't supported
`
