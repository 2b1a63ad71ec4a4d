// Limits of migrations, of a guest that is shut off, running, paused and transient, without a migration under way.
import t from 'tap'
import { guest, scenario } from '../../helper/scenario.ts'

// up to three programs at a time on a busy machine
t.setTimeout(600_000)

await scenario({ group: 'migrate-settings', files: { 'g.xml': guest() }, shim: 'g.xml' })
