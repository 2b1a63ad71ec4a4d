// Buttons, keys and sleep of a guest that is shut off, running and paused.
import t from 'tap'
import { guest, scenario } from '../../helper/scenario.ts'

// up to three programs at a time on a busy machine
t.setTimeout(600_000)

await scenario({ group: 'power', files: { 'g.xml': guest() }, shim: 'g.xml' })
