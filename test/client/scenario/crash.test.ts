// Guests that panic, and one whose watchdog is not fed: kept, dumped, ended or started again. Their machines are told so by
// the ports of the devices.
import { existsSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { guest, NAME, scenario } from '../../helper/scenario.ts'

// up to three programs at a time on a busy machine
t.setTimeout(600_000)

/** libvirtd's dumps; ours lie in the guests' own directories. */
const DUMPS = '/var/lib/libvirt/qemu/dump'
t.teardown(() => {
  const names = existsSync(DUMPS) ? readdirSync(DUMPS) : []
  for (const name of names.filter(name => name.includes(NAME))) rmSync(join(DUMPS, name))
})

const devices = "<panic model='isa'><address type='isa' iobase='0x505'/></panic>"
const xml = guest({ devices })
  .replace("<memory unit='MiB'>64<", "<memory unit='MiB'>16<")
  .replace(/<watchdog [^>]*>/, "<watchdog model='ib700' action='dump'/>")

await scenario({ group: 'crash', files: { 'g.xml': xml }, shim: 'g.xml' })
