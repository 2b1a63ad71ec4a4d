// What is defined comes back, in every form it is asked for.
import t from 'tap'
import { guest, scenario } from '../../helper/scenario.ts'

// up to three programs at a time on a busy machine
t.setTimeout(600_000)

const plain = `<sound model='ich6'/><input type='tablet' bus='usb'/><hub type='usb'/>`
const devices = `${plain}<tpm model='tpm-tis'><backend type='emulator' version='2.0'/></tpm><controller type='scsi' model='virtio-scsi'/>
  <redirdev bus='usb' type='tcp'><source mode='bind' host='127.0.0.1' service='$P'/></redirdev>`
const withCpu = (cpu: string) => guest({ suffix: '-cpu', number: '44' }).replace('<devices>', `${cpu}<devices>`)
const timers = `<clock offset='localtime'><timer name='rtc' tickpolicy='catchup'/><timer name='hpet' present='no'/></clock>`

await scenario({
  group: 'roundtrip',
  files: {
    'g.xml': guest({ devices: plain }),
    'model.xml': withCpu("<cpu mode='host-model'/>"),
    'custom.xml': withCpu(
      `<cpu mode='custom' match='exact'><model>Nehalem</model><feature policy='require' name='vmx'/></cpu>${timers}`
    ),
    'q35.xml': guest({
      suffix: '-q35',
      number: '55',
      devices: `${devices}<channel type='spicevmc'><target type='virtio' name='com.redhat.spice.0'/></channel>`,
      graphics: "<graphics type='spice' autoport='yes' listen='127.0.0.1'/><video><model type='qxl'/></video>"
    })
      .replace("'pc'", "'q35'")
      .replace("'hdc' bus='ide'", "'sda' bus='sata'")
  },
  shim: 'g.xml'
})
