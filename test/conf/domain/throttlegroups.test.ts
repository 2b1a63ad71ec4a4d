import { fragments } from '../../helper/fragments.ts'

fragments('groups', { in: 'domain' })`
  <throttlegroups><throttlegroup><group_name>a</group_name><read_iops_sec_max_length>3</read_iops_sec_max_length><read_iops_sec>10</read_iops_sec></throttlegroup></throttlegroups>
    = <throttlegroups><throttlegroup><read_iops_sec>10</read_iops_sec><read_iops_sec_max_length>3</read_iops_sec_max_length><group_name>a</group_name></throttlegroup></throttlegroups>
  <throttlegroups/>
    -
  <throttlegroups><throttlegroup><total_bytes_sec>1</total_bytes_sec></throttlegroup></throttlegroups>
    ! VIR_ERR_XML_ERROR: XML error: missing group name
  <throttlegroups><throttlegroup><total_bytes_sec>x</total_bytes_sec></throttlegroup></throttlegroups>
    ! VIR_ERR_XML_ERROR: XML error: throttle group field 'total_bytes_sec' must be an integer
  <throttlegroups><throttlegroup><group_name>a</group_name></throttlegroup><throttlegroup><group_name>a</group_name></throttlegroup></throttlegroups>
    ! VIR_ERR_XML_ERROR: XML error: duplicate group name 'a' found
  <throttlegroups><throttlegroup><total_iops_sec>1</total_iops_sec><read_iops_sec>1</read_iops_sec><group_name>a</group_name></throttlegroup></throttlegroups>
    ! VIR_ERR_XML_ERROR: XML error: total and read/write iops_sec cannot be set at the same time
`
