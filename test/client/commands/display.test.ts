// Where a guest's screens and its console are.
import { displays } from '../../../src/client/commands/display.ts'
import { BOOM, checkRows } from '../../helper/command-rows.ts'

const asked = (flags = 0) => [`virDomainGetXMLDesc {"flags":${flags}}`]
const having = (...devices: string[]) => ({
  virDomainGetXMLDesc: { xml: `<domain><devices>${devices.join('')}</devices></domain>` }
})
const VNC =
  "<graphics type='vnc' port='5903' listen='127.0.0.1'><listen type='address' address='127.0.0.1'/></graphics>"
const EVERYWHERE =
  "<graphics type='vnc' port='5900' passwd='geheim'><listen type='address' address='0.0.0.0'/></graphics>"
const SPICE = "<graphics type='spice' port='5901' tlsPort='5902' listen='::1' passwd='geheim'/>"
const SOCKET = "<graphics type='vnc' socket='/s'><listen type='socket' socket='/s'/></graphics>"
const DBUS = "<graphics type='dbus' address='unix:path=/b'/>"

await checkRows(displays, [
  ['domdisplay tiny', having(SPICE, VNC), asked(), 'vnc://127.0.0.1:3'],
  ['domdisplay tiny --type spice', having(SPICE, VNC), asked(), 'spice://[::1]:5901?tls-port=5902&password=geheim'],
  [
    'domdisplay tiny --all --include-password',
    having(DBUS, SPICE, EVERYWHERE),
    asked(1),
    'vnc://:geheim@localhost:0\nspice://[::1]:5901?tls-port=5902&password=geheim\ndbus+unix:///b\n'
  ],
  ['domdisplay tiny', having(SOCKET), asked(), 'vnc+unix:///s'],
  ['domdisplay tiny', having("<graphics type='sdl'/>"), asked(), '', ['No graphical display found']],
  ['domdisplay tiny rdp', having(VNC), asked(), '', ["No graphical display with type 'rdp' found"]],
  ['domdisplay tiny rdp --all', {}, [], '', ['Options --all and --type are mutually exclusive']],
  ['domdisplay off', {}, [], '', ['Domain is not running']],
  ['vncdisplay tiny', having(VNC), asked(), '127.0.0.1:3\n'],
  ['vncdisplay tiny', having(EVERYWHERE), asked(), ':0\n'],
  ['vncdisplay tiny', having(SPICE), asked(), '', ['Failed to get VNC port. Is this domain using VNC?']],
  ['vncdisplay off', {}, [], '', ['Domain is not running']],
  ['ttyconsole tiny', having("<console type='pty' tty='/dev/pts/7'/>"), asked(), '/dev/pts/7\n'],
  ['ttyconsole tiny', having("<console type='pty'/>"), asked(), '', []],
  ['ttyconsole tiny', { virDomainGetXMLDesc: BOOM }, asked(), '', ['it went wrong']]
])
