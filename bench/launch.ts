// What a start, a stop and an idle guest's manager cost, beside the peers; everything measured in one run.

import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { cacheDirectory } from '../src/state/root.ts'
import { Daemons } from '../test/helper/libvirtd.ts'
import { median, mib, ms, printTable, ratio } from './figures.ts'
import { makeGuest } from './guest.ts'
import {
  memoryOf,
  type Running,
  startAggregator,
  startBare,
  startByLibvirtd,
  startVirshimd,
  startVirtQemuRun
} from './peers.ts'

const ROUNDS = Number(process.env.ROUNDS ?? 7)
const GUESTS = 8
/** Long enough for a manager to finish what it does after a start. */
const SETTLE_MS = 3000

const dir = mkdtempSync(join(tmpdir(), 'virshim-bench-'))
// libvirtd's QEMU runs as a user of its own and must reach the image.
chmodSync(dir, 0o755)
const xml = makeGuest(dir, 'bench-launch')
const capabilities = join(cacheDirectory(), 'capabilities')

const startMs = new Map<string, number[]>()
const stopMs = new Map<string, number[]>()

async function once(what: string, start: () => Promise<Running>): Promise<void> {
  const guest = await start()
  startMs.set(what, [...(startMs.get(what) ?? []), guest.startMs])
  stopMs.set(what, [...(stopMs.get(what) ?? []), await guest.stop()])
}

const BARE = 'QEMU alone, exec to QMP `running`'
const WARM = 'virshimd, capabilities cached'
const CLAIMED = 'virshimd, capabilities cached, with virshim-aggregatord'
const COLD = 'virshimd, empty cache'
const LIBVIRTD = '`virsh create` on a running libvirtd'
const RUN_COLD = 'virt-qemu-run, empty root'
const RUN_WARM = 'virt-qemu-run, root used before'

async function launches(): Promise<void> {
  const used = join(dir, 'used-root')
  for (let round = 0; round < ROUNDS; round++) {
    await once(BARE, () => startBare(dir, xml))
    rmSync(capabilities, { recursive: true, force: true })
    await once(COLD, () => startVirshimd(dir, xml, 'bench-launch'))
    await once(WARM, () => startVirshimd(dir, xml, 'bench-launch'))
    await once(CLAIMED, () => startVirshimd(dir, xml, 'bench-claimed', aggregator.socket))
    await once(LIBVIRTD, () => startByLibvirtd(xml, 'bench-launch'))
    await once(RUN_COLD, () => startVirtQemuRun(join(dir, `root-${round}`), xml))
    await once(RUN_WARM, () => startVirtQemuRun(used, xml))
    process.stderr.write(`round ${round + 1} of ${ROUNDS}\n`)
  }
  // The first use of that root was a cold one.
  startMs.get(RUN_WARM)?.shift()
  const of = (what: string) => median(startMs.get(what)!)
  const stop = (what: string) => median(stopMs.get(what)!)
  const rows = [BARE, WARM, CLAIMED, COLD, LIBVIRTD, RUN_COLD, RUN_WARM]
  printTable(
    ['what', 'start', 'beside libvirtd', 'beside QEMU alone', 'destroy', 'beside libvirtd'],
    rows.map(what => [
      what,
      ms(of(what)),
      ratio(of(what), of(LIBVIRTD)),
      ratio(of(what), of(BARE)),
      ms(stop(what)),
      ratio(stop(what), stop(LIBVIRTD))
    ])
  )
  console.log(
    `virshimd with an empty cache beside virt-qemu-run with an empty root: ${ratio(of(COLD), of(RUN_COLD))}\n`
  )
}

async function idleMemory(what: string, start: (name: string, xml: string) => Promise<Running>): Promise<string[]> {
  const guests: Running[] = []
  try {
    for (let i = 0; i < GUESTS; i++) guests.push(await start(`bench-${i}`, makeGuest(dir, `bench-${i}`)))
    await sleep(SETTLE_MS)
    const used = guests.map(({ pid }) => memoryOf(pid!))
    return [what, mib(median(used.map(({ pss }) => pss))), mib(median(used.map(({ rss }) => rss)))]
  } finally {
    await Promise.all(guests.map(guest => guest.stop()))
  }
}

const daemons = new Daemons(dir)
await daemons.ensure()
const aggregator = await startAggregator(dir)
try {
  console.log(`${ROUNDS} rounds, medians; ${cpus().length} CPUs, Node.js ${process.version}\n`)
  await launches()
  printTable(
    [`one of ${GUESTS}, idle`, 'PSS', 'RSS'],
    [
      await idleMemory('virshimd', (name, xml) => startVirshimd(dir, xml, name)),
      await idleMemory('virt-qemu-run', (name, xml) => startVirtQemuRun(join(dir, `${name}-run`), xml))
    ]
  )
} finally {
  await aggregator.stop()
  daemons.end()
  rmSync(dir, { recursive: true, force: true })
}
