// vCPUs, IOThreads and memory of a guest that is shut off and one that runs: set, added, removed, refused.
import t from 'tap'
import { guest, scenario } from '../../helper/scenario.ts'

// up to three programs at a time on a busy machine
t.setTimeout(600_000)

const numbers = (text: string) => text.replace(/\d[\d.]*/g, 'N')
const CPUS = "<vcpu current='1'>2</vcpu>"
const disk = `<disk type='file' device='disk'><driver name='qemu' type='qcow2' iothread='1'/>
  <source file='$D/disk.qcow2'/><target dev='vda' bus='virtio'/></disk>`
const withCpus = (xml: string, cpus: string) => xml.replace(CPUS, cpus)
const bare = { disk: '', graphics: '', consoles: '' }
const pins = `<cputune><vcpupin vcpu='0' cpuset='0'/><vcpupin vcpu='3' cpuset='0'/><emulatorpin cpuset='0'/>
  <iothreadpin iothread='2' cpuset='0'/></cputune>`
const vcpus = (...states: string[]) =>
  `<vcpus>${states.map((state, id) => `<vcpu id='${id}' ${state}/>`).join('')}</vcpus>`
const on = "enabled='yes' hotpluggable='yes'"

await scenario({
  group: 'resize',
  files: {
    'g.xml': withCpus(guest({ disk }), `<vcpu current='2'>4</vcpu><iothreads>2</iothreads>${pins}`),
    'numa.xml': withCpus(
      guest({ ...bare, suffix: '-numa', number: '44' }),
      `<vcpu>4</vcpu><cpu><numa><cell id='0' cpus='0-1' memory='32' unit='MiB'/>
        <cell id='1' cpus='2-3' memory='32' unit='MiB'/></numa></cpu>`
    ),
    'listed.xml': withCpus(
      guest({ ...bare, suffix: '-listed', number: '55' }),
      `<vcpu current='3'>4</vcpu>${vcpus("enabled='yes' hotpluggable='no' order='1'", "enabled='no'", `${on} order='3'`, `${on} order='2'`)}`
    ),
    'order.xml': withCpus(
      guest({ ...bare, suffix: '-order', number: '66' }),
      `<vcpu current='3'>4</vcpu>${vcpus("enabled='yes' hotpluggable='no' order='1'", `${on} order='2'`, `${on} order='2'`, "enabled='no'")}`
    ),
    'noballoon.xml': guest({ ...bare, suffix: '-bare', number: '77' }).replace(
      "<memballoon model='virtio'/>",
      "<memballoon model='none'/>"
    )
  },
  shim: 'g.xml',
  shown: [[/^(domstats|dommemstat \$G-bare$)/, numbers]]
})
