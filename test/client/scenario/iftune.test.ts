// Bandwidth of interfaces, before a guest runs and while it does, and files passed to QEMU with a command.
import t from 'tap'
import { guest, scenario } from '../../helper/scenario.ts'

// up to three programs at a time on a busy machine
t.setTimeout(600_000)

const INTERFACES = `<interface type='ethernet'><mac address='52:54:00:7a:12:01'/><model type='virtio'/></interface>
  <interface type='user'><mac address='52:54:00:7a:12:02'/><model type='virtio'/></interface>`

/** Each of a host's taps has another name. */
const withoutNames = (text: string) => text.replace(/vnet\d+/g, 'vnetN')

await scenario({
  group: 'iftune',
  files: { 'n.xml': guest({ devices: INTERFACES }) },
  shim: 'n.xml',
  shown: [
    [/^dumpxml/, withoutNames],
    // the number a descriptor has in QEMU
    [/query-fdsets/, text => text.replace(/"fd":\d+/g, '"fd":N')]
  ]
})
