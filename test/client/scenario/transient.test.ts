// Guests without a definition, and definitions put under them while they run.
import t from 'tap'
import { guest, scenario } from '../../helper/scenario.ts'

// up to three programs at a time on a busy machine
t.setTimeout(600_000)

await scenario({
  group: 'transient',
  files: {
    'g.xml': guest(),
    'changed.xml': guest({ devices: "<sound model='ich6'/>" }),
    'otheruuid.xml': guest({ number: '44' }),
    'othername.xml': guest({ suffix: '-other' }),
    'uefi.xml': guest()
      .replace('<os>', "<os firmware='efi'>")
      .replace("'pc'", "'q35'")
      .replace("'hdc' bus='ide'", "'sda' bus='sata'")
  }
})
