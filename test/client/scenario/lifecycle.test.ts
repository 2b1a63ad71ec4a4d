// A guest's life: shut off, running, paused and ended; what is asked of it and changed in it meanwhile.
import t from 'tap'
import { guest, scenario } from '../../helper/scenario.ts'

// up to three programs at a time on a busy machine
t.setTimeout(600_000)

const numbers = (text: string) => text.replace(/\d[\d.]*/g, 'N')
const disk = "<disk type='file' device='disk'><source file='$D/nosuch'/><target dev='vda' bus='virtio'/></disk>"

await scenario({
  group: 'lifecycle',
  files: { 'g.xml': guest(), 'nodisk.xml': guest({ suffix: '-nodisk', number: '44', disk }) },
  shim: 'g.xml',
  shown: [
    [/^cpu-stats/, numbers],
    // libvirtd may still be asking QEMU something of its own
    [/^domcontrol/, text => text.replace(/^occupied \(.*\)/, 'ok')]
  ]
})
