// Long work that is watched: its progress, its end, Ctrl + C. Signals are told to this process as node tells them.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import type { ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { Connection } from '../../src/client/connection.ts'
import { ClientError } from '../../src/client/failure.ts'
import { Session } from '../../src/client/session.ts'
import { type BlockJobWait, runBlockJob, showProgress, watchJob } from '../../src/client/watch-job.ts'
import { Refused, StandInApi } from '../helper/stand-in-api.ts'

const UUID = '6dfc3c2b-7a4e-4f6e-9f0b-000000000001'

class Watched extends Session {
  said: string[] = []

  constructor() {
    super({ connect: undefined, quiet: false, readOnly: false })
  }

  override showProgress(text: string): void {
    this.said.push(text)
  }

  override warn(line: string): void {
    this.said.push(`error: ${line}`)
  }
}

const dir = mkdtempSync(join(tmpdir(), 'virshim-watch-'))
const api = new StandInApi(join(dir, 'api.sock'))
await api.listen()
t.teardown(() => {
  api.close()
  rmSync(dir, { recursive: true, force: true })
})
const shim = new Connection(api.socket).guest(UUID)

/** A call in the daemon, which the test ends. */
function pending(): { answer: Promise<object>; end(value: object): void } {
  let end: (value: object) => void = () => {}
  const answer = new Promise<object>(settle => {
    end = settle
  })
  return { answer, end: value => end(value) }
}

t.test('progress is shown with two decimals, and is whole only at the end', async t => {
  const session = new Watched()
  for (const [left, total] of [
    [58, 100],
    [2n ** 60n, 3n * 2n ** 60n],
    [1n, 2n ** 60n],
    [99, 100],
    [0, 0]
  ] as const)
    showProgress(session, 'Save', left, total)
  t.same(session.said, ['Save: [42.00 %]', 'Save: [66.66 %]', 'Save: [99.99 %]', 'Save: [ 1.00 %]', 'Save: [100.00 %]'])
})

t.test('an async job is asked for how far it is until its call is answered', async t => {
  const session = new Watched()
  const save = pending()
  const infos = [
    new Refused('not yet'),
    { type: 0, dataTotal: 0, dataRemaining: 0 },
    { type: 2, dataTotal: 100, dataRemaining: 58 }
  ]
  const answers = {
    virDomainSave: () => save.answer,
    virDomainGetJobInfo: () => {
      const [next] = infos.splice(0, 1)
      if (infos.length === 0) save.end({ saved: 1 })
      return next
    }
  }
  api.instead = undefined
  api.answers = answers
  const call = shim.post('/v1/virDomainSave')
  await watchJob({ session, shim }, { label: 'Save', verbose: true }, call)
  t.equal(session.said.at(-1), 'Save: [100.00 %]')
  t.ok(session.said.every(line => ['Save: [42.00 %]', 'Save: [100.00 %]'].includes(line)))
})

t.test('Ctrl + C has the job given up, whose call then fails', async t => {
  const listeners = process.listenerCount('SIGINT')
  for (const refused of [false, true]) {
    const session = new Watched()
    const dump = pending()
    api.answers = {
      virDomainCoreDump: () => dump.answer,
      virDomainAbortJob: () => {
        dump.end(new Refused('domain core dump job: canceled by client', 78))
        return refused ? new Refused('cannot abort memory-only dump') : {}
      }
    }
    const watched = watchJob({ session, shim }, { label: 'Dump', verbose: false }, shim.post('/v1/virDomainCoreDump'))
    process.emit('SIGINT')
    await t.rejects(watched, new ClientError('domain core dump job: canceled by client'))
    t.same(session.said, refused ? ['error: cannot abort memory-only dump'] : [])
  }
  t.equal(process.listenerCount('SIGINT'), listeners)
})

t.test('on a terminal the progress stays in its place, and Ctrl + C is heard', async t => {
  const dump = pending()
  const guest = { name: 'tiny', uuid: UUID, id: 1, state: 1, allocations: [], sockets: {}, versions: {} }
  api.answers = {
    guests: { guests: [guest] },
    virDomainCoreDump: () => dump.answer,
    virDomainGetJobInfo: { type: 2, dataTotal: 100, dataRemaining: 58 },
    virDomainAbortJob: () => {
      dump.end(new Refused('domain core dump job: canceled by client', 78))
      return {}
    }
  }
  const steps = [
    ['expect', '\rDump: [42.00 %]\rDump: [42.00 %]'],
    ['send', '\x03']
  ]
  const line = ['bin/virshim', '-c', api.socket, 'dump', 'tiny', '/cores/a', '--verbose']
  const child = spawn('python3', ['test/helper/in-terminal.py', JSON.stringify(steps), ...line])
  let said = ''
  child.stdout.on('data', chunk => {
    said += chunk
  })
  const [status] = await once(child, 'close')
  t.equal(status, 1)
  t.match(said, "error: Failed to core dump domain 'tiny' to /cores/a")
  t.match(said, 'canceled by client')
  t.ok(api.asked.includes('virDomainAbortJob {}'))
})

const streams: ServerResponse[] = []

/** Answers about block jobs: events to who listens, the given progress to who asks. */
function onBlockJob(progress: [cur: number, end: number][], abort: unknown = {}): void {
  api.asked = []
  streams.length = 0
  api.answers = {
    virDomainBlockJobAbort: abort,
    virDomainGetBlockJobInfo: () => {
      const [next] = progress.length > 1 ? progress.splice(0, 1) : progress
      if (!next) return new Refused('gone')
      return { found: 1, type: 2, bandwidth: 0, cur: next[0], end: next[1] }
    }
  }
  const answer = api.answers
  api.instead = (request, reply) => {
    if (request.url === '/v1/events') {
      streams.push(reply)
      reply.writeHead(200, { 'content-type': 'text/event-stream' })
      reply.write(': open\n\n')
      return
    }
    const name = request.url!.split('/').at(-1)!
    let text = ''
    request.on('data', chunk => {
      text += chunk
    })
    request.on('end', () => {
      api.asked.push(`${name} ${text}`)
      const known = answer[name]
      const value = typeof known === 'function' ? known({}) : known
      reply.writeHead(value instanceof Refused ? 400 : 200, { 'content-type': 'application/json' })
      reply.end(JSON.stringify(value))
    })
  }
}

/** Tells of a block job. */
function tell(id: string, data: object, uuid = UUID): void {
  const event = { dom: { name: 'tiny', uuid, id: 1 }, ...data }
  for (const stream of streams) stream.write(`event: VIR_DOMAIN_EVENT_ID_${id}\ndata: ${JSON.stringify(event)}\n\n`)
}

const COPY: BlockJobWait = { disk: 'vda', label: 'Block Copy', verbose: true }
const run = (session: Session, wait: Partial<BlockJobWait>, begin: () => Promise<unknown>) =>
  runBlockJob({ session, shim, uuid: UUID }, { ...COPY, ...wait }, begin)

t.test('a block job ends with the event of its own disk, though that comes before the call is answered', async t => {
  for (const [status, end] of ['completed', 'failed', 'canceled', 'ready'].entries()) {
    const session = new Watched()
    onBlockJob([[42, 100]])
    const ended = await run(session, {}, async () => {
      tell('BLOCK_JOB_2', { dst: 'vdb', type: 2, status: 1 })
      tell('BLOCK_JOB_2', { dst: 'vda', type: 2, status: 1 }, '6dfc3c2b-7a4e-4f6e-9f0b-000000000002')
      tell('BLOCK_JOB_2', { dst: 'vda', type: 2, status })
    })
    t.equal(ended, end)
    const over = status === 0 || status === 3
    t.same(session.said, ['Block Copy: [42.00 %]', ...(over ? ['Block Copy: [100.00 %]'] : [])])
  }
})

t.test('a disk may be called by its source; what does not change is shown once', async t => {
  const session = new Watched()
  onBlockJob([
    [10, 100],
    [10, 100],
    [20, 100]
  ])
  const wait = { disk: '/images/a.qcow2' }
  const running = run(session, wait, async () => {})
  while (!session.said.includes('Block Copy: [20.00 %]')) await new Promise(done => setTimeout(done, 20))
  tell('BLOCK_JOB', { path: '/images/a.qcow2', type: 2, status: 3 })
  t.equal(await running, 'ready')
  t.same(session.said, ['Block Copy: [10.00 %]', 'Block Copy: [20.00 %]', 'Block Copy: [100.00 %]'])
})

t.test('a job is given up on Ctrl + C, and when its time is over', async t => {
  const listeners = process.listenerCount('SIGINT')
  for (const how of ['interrupt', 'timeout'] as const) {
    const session = new Watched()
    onBlockJob([[1, 100]])
    const wait = { verbose: false, asyncAbort: how === 'timeout', ...(how === 'timeout' && { timeoutS: 0.001 }) }
    const running = run(session, wait, async () => {
      if (how === 'interrupt') process.emit('SIGINT')
    })
    t.equal(await running, 'canceled')
    t.equal(api.asked.at(-1), `virDomainBlockJobAbort {"disk":"vda","flags":${how === 'timeout' ? 1 : 0}}`)
  }
  t.equal(process.listenerCount('SIGINT'), listeners)
})

t.test('what fails is said in virsh’s words', async t => {
  const session = new Watched()
  onBlockJob([])
  await t.rejects(
    run(session, {}, async () => {}),
    new ClientError('failed to query job for disk vda', 'gone')
  )
  onBlockJob([[1, 2]], new Refused('no such job'))
  await t.rejects(
    run(session, { timeoutS: 0.001 }, async () => {}),
    new ClientError("failed to abort job for disk 'vda'", 'no such job')
  )
  await t.rejects(
    run(session, {}, async () => {
      throw new ClientError('not begun')
    }),
    new ClientError('not begun')
  )
})
