// Events, as virsh hears them: which, in what words and in which order.
import t from 'tap'
import { guest, scenario } from '../../helper/scenario.ts'

// up to three programs at a time on a busy machine
t.setTimeout(600_000)

/** A BIOS resets the machine itself when it likes. */
const withoutResets = (text: string) =>
  text
    .split('\n')
    .filter(line => !/ RESET | 'reboot' /.test(line))
    .join('\n')

await scenario({
  group: 'events',
  files: { 'g.xml': guest({ devices: "<input type='tablet' bus='usb'/>" }) },
  shim: 'g.xml',
  shown: [[/^heard/, withoutResets]]
})
