// virshim-aggregatord: one view of every guest of the host.
import { main } from '../server/aggregator/main.ts'

void main(process.argv.slice(2)).then(status => process.exit(status))
