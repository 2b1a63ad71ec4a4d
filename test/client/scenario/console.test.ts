// Consoles, displays and screenshots; what takes an agent, of a guest without one.
import t from 'tap'
import { guest, scenario } from '../../helper/scenario.ts'

// up to three programs at a time on a busy machine
t.setTimeout(600_000)

const devices = `<channel type='pty'><target type='virtio' name='org.example.0'/></channel>
  <serial type='file'><source path='$D/serial1.log'/></serial><parallel type='null'/>`
const spice = `<graphics type='vnc' port='$P' listen='127.0.0.1'/><graphics type='spice' autoport='no' listen='127.0.0.1'/>
  <video><model type='vga'/></video><video><model type='virtio'/></video>`
const tcp = "<serial type='tcp'><source mode='bind' host='127.0.0.1' service='0'/></serial>"

await scenario({
  group: 'console',
  files: {
    'g.xml': guest({ devices }),
    'none.xml': guest({
      suffix: '-none',
      number: '44',
      disk: '',
      consoles: '',
      graphics: "<video><model type='none'/></video>"
    }),
    'two.xml': guest({ suffix: '-two', number: '55', disk: '', graphics: spice }),
    'sock.xml': guest({
      suffix: '-sock',
      number: '66',
      disk: '',
      consoles: tcp,
      graphics: "<graphics type='vnc'><listen type='socket'/></graphics><video><model type='vga'/></video>"
    })
  },
  shim: 'g.xml'
})
