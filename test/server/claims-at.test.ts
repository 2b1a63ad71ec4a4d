// The shim's side of a claim against an aggregator that answers as a row says: what comes of it, what stays listed.
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { aggregatorSocket, claimsAt } from '../../src/server/claim.ts'
import type { ClaimedResource } from '../../src/state/claim.ts'
import { Clock } from '../helper/clock.ts'
import { errorOf } from '../helper/definition.ts'

const dir = mkdtempSync(join(tmpdir(), 'virshim-claims-at-'))
const path = join(dir, 'api.sock')
t.teardown(() => rmSync(dir, { recursive: true, force: true }))

let asked: string[] = []
/** by attempt: what is sent back; undefined closes the connection without a word */
let answers: (string | undefined)[] = []
const sockets = new Set<Socket>()
const server = createServer(socket => {
  sockets.add(socket)
  socket.on('error', () => undefined)
  socket.on('data', chunk => {
    asked.push(String(chunk))
    const answer = answers[asked.length - 1]
    if (answer === undefined) socket.destroy()
    else socket.write(answer)
  })
})
await new Promise<void>(done => server.listen(path, done))
t.teardown(() => {
  server.close()
  for (const socket of sockets) socket.destroy()
})

const logged: string[] = []
const log = {
  debug() {},
  info() {},
  error() {},
  warn: (_: object, message: string) => void logged.push(message)
}
const GUEST = { name: 'vm', uuid: 'u' }
const PORTS: ClaimedResource[] = [
  { kind: 'pci', key: '1', mode: 'exclusive' },
  { kind: 'tcp-port', auto: { min: 5900, max: 5910 }, count: 2 }
]
const answer = (status: number, body: unknown) => {
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  return `HTTP/1.1 ${status} Any\r\nContent-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`
}
const granted = (chosen: unknown, warnings: unknown = []) => answer(200, { claim: 'c', chosen, warnings })
const GRANT = { claim: 'c', chosen: [[5900, 5910]], warnings: [] }
const error = (codeName: string, more: object = {}) => ({
  code: 1,
  codeName,
  domain: 10,
  domainName: 'VIR_FROM_QEMU',
  message: 'no',
  ...more
})
const conflicts = [{ kind: 'pci', key: '1', mode: 'exclusive', holder: 'other', uuid: 'o' }]

/** Answers; what the claim gives or is refused with; how often is asked; whether it stays listed; what is logged. */
type Row = [
  what: string,
  answers: (string | undefined)[],
  outcome: unknown,
  asked: number,
  isHeld: boolean,
  logged?: RegExp
]

const WITHOUT = /does not take claims, going on without/
const ROWS: Row[] = [
  ['granted', [granted([[5900, 5910]])], GRANT, 1, true],
  [
    'with a warning',
    [granted([[5900, 5910]], ['memory'])],
    { ...GRANT, warnings: ['memory'] },
    1,
    true,
    /overcommitted/
  ],
  ['granted at the second try', [undefined, granted([[5900, 5910]])], GRANT, 2, true],
  // it may have been granted all the same: our report speaks for it
  ['broken off twice', [undefined, undefined], undefined, 2, true, /does not answer, going on without/],
  [
    'taken',
    [answer(409, error('VIR_ERR_OPERATION_INVALID', { conflicts }))],
    /OPERATION_INVALID: .*PCI device 1 is in use/,
    1,
    false
  ],
  [
    'no budget',
    [answer(409, error('VIR_ERR_RESOURCE_BUSY', { message: 'resource busy: memory' }))],
    /^VIR_ERR_RESOURCE_BUSY: resource busy: memory$/,
    1,
    false
  ],
  [
    'refused with an empty list',
    [answer(409, error('VIR_ERR_RESOURCE_BUSY', { conflicts: [] }))],
    /^VIR_ERR_RESOURCE_BUSY/,
    1,
    false
  ],
  ['refused without words', [answer(409, '[]')], undefined, 1, false, WITHOUT],
  ['refused with a code nobody knows', [answer(409, error('VIR_ERR_NOSUCH'))], undefined, 1, false, WITHOUT],
  ['refused with a code of JavaScript', [answer(409, error('constructor'))], undefined, 1, false, WITHOUT],
  ['an older aggregator', [answer(404, error('VIR_ERR_RPC'))], undefined, 1, false, WITHOUT],
  ['one that is broken', [answer(500, 'oops')], undefined, 1, false, WITHOUT],
  ['a grant that is no JSON', [answer(200, 'ok')], undefined, 1, true, WITHOUT],
  ['null', [answer(200, 'null')], undefined, 1, true, WITHOUT],
  ...(
    [
      ['too few values', [[5900]]],
      ['too many values', [[5900, 5901, 5902]]],
      ['values beyond the range', [[5900, 5911]]],
      ['values that are text', [['5900', '5901']]],
      ['nothing chosen', []],
      ['no list', {}],
      ['a list of no lists', [5900, 5901]]
    ] as const
  ).map(([what, chosen]): Row => [`a grant of ${what}`, [granted(chosen)], undefined, 1, true, WITHOUT]),
  ['a grant with other warnings', [granted([[5900, 5901]], 'none')], undefined, 1, true, WITHOUT]
]

for (const [what, told, outcome, times, isHeld, warned] of ROWS) {
  t.test(what, async t => {
    asked = []
    answers = told
    logged.length = 0
    const claims = claimsAt(path, '/guest/api.sock', log)
    let given: unknown
    const failure = await errorOf(async () => {
      given = await claims.claim(GUEST, PORTS)
    })
    if (outcome instanceof RegExp) t.match(failure, outcome)
    else t.same([failure, given], ['accepted', outcome])
    t.equal(asked.length, times)
    t.equal(claims.held.length, isHeld ? 1 : 0)
    t.match(logged.join(), warned ?? /^$/)
    const bodies = asked.map(text => JSON.parse(text.split('\r\n\r\n')[1]!))
    t.match(bodies[0], {
      ...GUEST,
      socket: '/guest/api.sock',
      pid: process.pid,
      resources: PORTS,
      claim: /^[0-9a-f]{16}$/
    })
    if (bodies.length > 1) t.same(bodies[1], bodies[0], 'the same claim again')
    if (isHeld) t.equal(claims.held[0], bodies[0].claim)
  })
}

t.test('nobody there: no claim, no word', async t => {
  logged.length = 0
  for (const socket of [join(dir, 'none'), join(dir, 'none/api.sock'), join(path, 'below')]) {
    const claims = claimsAt(socket, '/guest/api.sock', log)
    t.equal(await claims.claim(GUEST, PORTS), undefined)
    t.same([claims.held, logged], [[], []], socket)
  }
})

t.test('giving back: one, or all; whoever does not answer is not waited for', async t => {
  const claims = claimsAt(path, '/guest/api.sock', log)
  asked = []
  answers = Array(3).fill(answer(200, { claim: 'c', chosen: [], warnings: [] }))
  for (let i = 0; i < 3; i++) await claims.claim(GUEST, [])
  const [first, ...rest] = [...claims.held]
  asked = []
  answers = [answer(200, '{}'), undefined]
  await claims.release(first)
  t.same([asked[0]!.split(' HTTP')[0], claims.held], [`DELETE /v1/claims/${first}`, rest])
  await claims.release()
  t.same(
    asked
      .slice(1)
      .map(text => text.split(' HTTP')[0])
      .sort(),
    rest.map(id => `DELETE /v1/claims/${id}`).sort()
  )
  t.same(claims.held, [])
})

t.test('which aggregator', async t => {
  t.equal(aggregatorSocket('none'), undefined)
  t.equal(aggregatorSocket('/x/api.sock'), '/x/api.sock')
})

t.test('a claim that the report has long told of is listed no more', async t => {
  const clock = new Clock(t)
  const claims = claimsAt(path, '/guest/api.sock', log)
  const claim = async () => {
    asked = []
    answers = [granted([[5900, 5910]])]
    await claims.claim(GUEST, PORTS)
    return claims.held.at(-1)
  }
  const first = await claim()
  clock.pass(60_000)
  const second = await claim()
  t.same(claims.held, [first, second])
  clock.pass(61_000)
  const third = await claim()
  t.same(claims.held, [second, third])
})
