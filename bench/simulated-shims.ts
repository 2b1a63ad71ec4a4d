// The load program of the aggregator's benchmark: serves simulated report sockets below a directory until it is ended.
// usage: simulated-shims.mjs DIR FIRST LAST; prints `ready`.
import { join } from 'node:path'
import { SimulatedShim, simulatedReport } from '../test/helper/simulated-shims.ts'

const [dir, first, last] = process.argv.slice(2)
for (let number = Number(first); number <= Number(last); number++) {
  const report = simulatedReport(number)
  await new SimulatedShim(join(dir!, report.name), report).listen()
}
console.log('ready')
