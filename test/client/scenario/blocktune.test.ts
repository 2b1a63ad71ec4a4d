// Limits, sizes and thresholds of disks and interfaces, before a guest runs and while it does.
import t from 'tap'
import { guest, scenario } from '../../helper/scenario.ts'

// up to three programs at a time on a busy machine
t.setTimeout(600_000)

const FILTERS = "<throttlefilters><throttlefilter group='used'/></throttlefilters>"

const disk = (target: string) =>
  `<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='$D/${target}.qcow2'/>
    <target dev='${target}' bus='virtio'/>${target === 'vdf' ? FILTERS : ''}</disk>`

const GROUPS = `<throttlegroups>
  <throttlegroup><group_name>used</group_name><write_iops_sec>80</write_iops_sec></throttlegroup></throttlegroups>`

/** libvirt tells the name of a group twice where virsh gives it as a parameter, too; our parameters have one of a name. */
const withoutGroups = (text: string) => text.replace(/^\s*blkdeviotune\.group_name: (used|more)\n/gm, '')

/** What a guest has read by now, and blocks of the host's file system. */
const withoutCounts = (text: string) => text.replace(/(\.(?:reqs|bytes|times|physical)=)\d+/g, '$1N')

await scenario({
  group: 'blocktune',
  files: {
    'g.xml': guest({ devices: ['vdb', 'vdc', 'vdf'].map(disk).join('') }).replace('<memory ', `${GROUPS}<memory `)
  },
  shim: 'g.xml',
  images: ['vdb', 'vdf'],
  overlays: [['vdc.qcow2', 'other.qcow2']],
  shown: [
    [/^heard/, withoutGroups],
    [/^domstats/, withoutCounts]
  ]
})
