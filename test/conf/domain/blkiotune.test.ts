import { fragments } from '../../helper/fragments.ts'

fragments('blkiotune', { in: 'domain', around: ['<blkiotune>', '</blkiotune>'], show: ['blkiotune'] })`
  <weight>800</weight>
    = <blkiotune><weight>800</weight></blkiotune>
  <weight>0</weight>
    -
  <weight>x</weight>
    -
  <weight>1001</weight>
    = <blkiotune><weight>1001</weight></blkiotune>
  <device><path>/dev/a</path><weight>500</weight></device>
    = <blkiotune><device><path>/dev/a</path><weight>500</weight></device></blkiotune>
  <device><path>/dev/a</path><weight>500</weight><read_bytes_sec>1</read_bytes_sec><write_bytes_sec>2</write_bytes_sec><read_iops_sec>3</read_iops_sec><write_iops_sec>4</write_iops_sec></device>
    = <blkiotune><device><path>/dev/a</path><weight>500</weight><read_iops_sec>3</read_iops_sec><write_iops_sec>4</write_iops_sec><read_bytes_sec>1</read_bytes_sec><write_bytes_sec>2</write_bytes_sec></device></blkiotune>
  <weight>200</weight><device><path>/dev/a</path><weight>500</weight></device><device><path>/dev/b</path><read_iops_sec>7</read_iops_sec></device>
    = <blkiotune><weight>200</weight><device><path>/dev/a</path><weight>500</weight></device><device><path>/dev/b</path><read_iops_sec>7</read_iops_sec></device></blkiotune>
  <device><path>/dev/a</path><weight>0</weight></device>
    -
  <device><path>/dev/a</path></device>
    -
  <device><weight>500</weight></device>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: missing per-device path
  <device><path/><weight>500</weight></device>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: missing per-device path
  <device><path>/dev/a</path><weight>x</weight></device>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: could not parse weight x
  <device><path>/dev/a</path><read_bytes_sec>x</read_bytes_sec></device>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: could not parse read bytes sec x
  <device><path>/dev/a</path><write_bytes_sec>-1</write_bytes_sec></device>
    = <blkiotune><device><path>/dev/a</path><write_bytes_sec>18446744073709551615</write_bytes_sec></device></blkiotune>
  <device><path>/dev/a</path><read_iops_sec>4294967296</read_iops_sec></device>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: could not parse read iops sec 4294967296
  <device><path>/dev/a</path><write_iops_sec/></device>
    -
  <device><path>/dev/a</path><weight>5</weight></device><device><path>/dev/a</path><weight>6</weight></device>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: duplicate blkio device path '/dev/a'
`
