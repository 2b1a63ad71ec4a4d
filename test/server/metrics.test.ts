// Prometheus' metrics: by the rules of its linter, and a device by its name.
import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Registry } from 'prom-client'
import t from 'tap'
import { typed } from '../../src/conf/wire.ts'
import { addGuests } from '../../src/server/metrics.ts'
import { AggregatorRun } from '../helper/aggregator.ts'
import { bareGuest } from '../helper/shim.ts'

t.setTimeout(120_000)

/** What `promtool check metrics` finds, as far as names and types tell (prometheus/util/promlint). */
function lint(text: string): string[] {
  const problems: string[] = []
  const types = new Map<string, string>()
  const helps = new Set<string>()
  const series = new Set<string>()
  for (const line of text.split('\n').filter(line => line !== '')) {
    const [, comment, about, rest] = /^# (HELP|TYPE) (\S+) (.+)$/.exec(line) ?? []
    if (comment === 'HELP') helps.add(about!)
    else if (comment === 'TYPE') types.set(about!, rest!)
    if (comment) continue
    const [, id, name] = /^(([a-z][a-z0-9_]*)(?:\{(?:[a-z_]+="(?:[^"\\\n]|\\.)*",?)+\})?) [-+\d.eE]+$/.exec(line) ?? []
    if (id === undefined || name === undefined) {
      problems.push(`no sample: ${line}`)
      continue
    }
    if (series.has(id)) problems.push(`twice: ${id}`)
    series.add(id)
    if (!types.has(name)) problems.push(`no type before ${id}`)
    if (!helps.has(name)) problems.push(`no help before ${id}`)
  }
  for (const [name, type] of types) {
    if ((type === 'counter') !== name.endsWith('_total')) problems.push(`${name} is a ${type}`)
    if (/_(count|sum|bucket)$/.test(name)) problems.push(`${name} ends as a histogram's does`)
    if (/_(milli|micro|nano|ms|us|ns|kib|kilobytes|mib|percent|minutes|hours)/.test(name))
      problems.push(`${name} is in no base unit`)
    if (/_(gauge|counter)\b/.test(name)) problems.push(`${name} tells its type`)
  }
  if (series.size === 0) problems.push('nothing at all')
  if (spawnSync('promtool', ['--version']).status !== 0) return problems
  const { stderr } = spawnSync('promtool', ['check', 'metrics'], { input: text, encoding: 'utf8' })
  return [...problems, ...stderr.split('\n').filter(line => line !== '')]
}

t.test('the linter finds what it is for', async t => {
  t.match(lint('# HELP a_total x\n# TYPE a_total gauge\na_total 1\n')[0], 'a_total is a gauge')
  t.match(lint('# HELP a x\n# TYPE a counter\na{b="c"} 1\n')[0], 'a is a counter')
  t.match(lint('# TYPE a gauge\na 1\n')[0], 'no help before a')
})

t.test('statistics as metrics: counters, base units, devices by their names', async t => {
  const registry = new Registry()
  const guest = (name: string, disk: string) => ({
    dom: { name, uuid: `0000-${name}`, id: 1 },
    params: {
      'state.state': typed.int(1),
      'cpu.time': typed.ullong(2_500_000_000n),
      'vcpu.0.time': typed.ullong(1_000_000_000n),
      'vcpu.1.time': typed.ullong(500_000_000n),
      'block.0.name': typed.string(disk),
      'block.0.rd.bytes': typed.ullong(512n),
      'block.1.name': typed.string('sda'),
      'block.1.rd.bytes': typed.ullong(0n),
      'net.1.name': typed.string('vnet7'),
      'net.1.tx.bytes': typed.ullong(9n)
    }
  })
  addGuests(registry, [guest('a', 'vda'), guest('b', 'vdb')])
  const text = await registry.metrics()
  t.same(lint(text), [])
  const of = (guest: string, more = '') => `{domain="${guest}",uuid="0000-${guest}"${more}}`
  for (const line of [
    '# TYPE virshim_domain_cpu_seconds_total counter',
    '# TYPE virshim_domain_state gauge',
    `virshim_domain_cpu_seconds_total${of('a')} 2.5`,
    `virshim_domain_vcpu_seconds_total${of('a', ',vcpu="1"')} 0.5`,
    `virshim_domain_block_read_bytes_total${of('a', ',device="vda"')} 512`,
    `virshim_domain_block_read_bytes_total${of('b', ',device="vdb"')} 512`,
    `virshim_domain_block_read_bytes_total${of('b', ',device="sda"')} 0`,
    `virshim_domain_net_transmit_bytes_total${of('b', ',device="vnet7"')} 9`
  ])
    t.ok(text.split('\n').includes(line), line)
  t.notMatch(text, 'index=')
})

t.test('of a real guest, by its shim and by the aggregator', async t => {
  const host = new AggregatorRun()
  t.teardown(() => host.end())
  await host.start()
  const image = join(host.dir, 'disk.raw')
  writeFileSync(image, Buffer.alloc(1024 * 1024))
  const xml = bareGuest(
    't-metrics',
    `<disk type='file'><source file='${image}'/><target dev='vda' bus='virtio'/></disk>`
  )
  t.equal((await host.call('virDomainCreateXML', { xmlDesc: xml })).status, 200)
  await host.until('t-metrics', entry => entry.state === 1)
  for (const text of [
    (await host.call('/metrics')).body as string,
    spawnSync('curl', ['-s', '--unix-socket', join(host.root, 'guests/t-metrics/api.sock'), 'http://x/metrics'], {
      encoding: 'utf8'
    }).stdout
  ]) {
    t.same(lint(text), [])
    t.match(text, /^virshim_domain_block_read_requests_total\{domain="t-metrics",uuid="[^"]+",device="vda"\} \d/m)
  }
})
