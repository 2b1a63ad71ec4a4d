// The load program of the aggregator's benchmark: serves N simulated report sockets below a directory until it is ended.
// usage: simulated-shims.mjs DIR N; prints `ready`.
import { join } from 'node:path'
import { SimulatedShim, simulatedReport } from '../test/helper/simulated-shims.ts'

const [dir, count] = process.argv.slice(2)
for (let number = 1; number <= Number(count); number++) {
  const report = simulatedReport(number)
  await new SimulatedShim(join(dir!, report.name), report).listen()
}
console.log('ready')
