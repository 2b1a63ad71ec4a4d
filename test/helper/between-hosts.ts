// The same virsh commands between two libvirtd and between two aggregators, each pair on hosts of its own.
import t from 'tap'
import { MigrationWorld } from './migration-world.ts'
import { compareLanes, furnish, type Lane, type Scenario } from './scenario.ts'

/** Runs a group's commands on the first host of each pair and compares what was said. @param port of its guest's VNC server */
export async function betweenHosts(port: number, wanted: Scenario): Promise<void> {
  const lanes: Lane[] = []
  for (const daemon of ['libvirtd', 'virshim'] as const) {
    const world = new MigrationWorld({ daemon })
    t.teardown(() => world.end())
    await world.start()
    const { a, b, shared: dir } = world
    const name = daemon === 'libvirtd' ? daemon : 'aggregator'
    lanes.push({ name, uri: a.uri, readOnlyUri: `${a.uri}-ro`, there: b.uri, dir, port })
  }
  for (const lane of lanes) await furnish(lane, wanted)
  await compareLanes(lanes, wanted)
}
