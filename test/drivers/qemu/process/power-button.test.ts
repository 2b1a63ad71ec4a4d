// Who is asked to shut a guest down or to reboot it, by flags, agent and state; and what is asked when that fails.
import t, { type Test } from 'tap'
import { virDomainPausedReason } from '../../../../src/conf/enums.ts'
import { bareDomain, failureOf } from '../../../helper/bare-domain.ts'
import { promised } from '../../../helper/promised.ts'

const ANY = 0
const ACPI = 1
const AGENT = 2
const EITHER = ACPI | AGENT

type AgentKind = 'answers' | 'fails' | 'silent' | 'none' | 'ends the guest'

/** A guest that tells whom it heard from. */
async function guest(t: Test, kind: AgentKind, state: 'running' | 'paused' | 'off') {
  const heard: string[] = []
  const { domain, call } = await bareDomain(t.testdir({}), {
    active: state !== 'off',
    answers: { system_powerdown: () => heard.push('acpi') }
  })
  if (state === 'paused') domain.setPaused(virDomainPausedReason.VIR_DOMAIN_PAUSED_USER)
  if (state !== 'off' && kind !== 'none') {
    const execute = async (_: string, { mode }: { mode: string }) => {
      heard.push(mode)
      if (kind === 'ends the guest') domain.id = -1
      if (kind !== 'answers') throw new Error('the agent failed')
    }
    domain.running.agent = { connected: kind !== 'silent', execute } as never
  }
  return { domain, call, heard }
}

const NOT_RUNNING = /domain is not running/
const cases: [
  api: string,
  flags: number,
  AgentKind,
  state: 'running' | 'paused' | 'off',
  outcome: string[] | RegExp
][] = [
  ['virDomainShutdownFlags', ANY, 'none', 'running', ['acpi']],
  ['virDomainShutdownFlags', ANY, 'answers', 'running', ['powerdown']],
  ['virDomainShutdownFlags', ANY, 'fails', 'running', ['powerdown', 'acpi']],
  ['virDomainShutdownFlags', ANY, 'silent', 'running', ['acpi']],
  ['virDomainShutdownFlags', ACPI, 'answers', 'running', ['acpi']],
  ['virDomainShutdownFlags', AGENT, 'fails', 'running', /the agent failed/],
  ['virDomainShutdownFlags', AGENT, 'none', 'running', /QEMU guest agent is not configured/],
  ['virDomainShutdownFlags', AGENT, 'silent', 'running', /QEMU guest agent is not connected/],
  ['virDomainShutdownFlags', EITHER, 'fails', 'running', ['powerdown', 'acpi']],
  ['virDomainShutdownFlags', EITHER, 'none', 'running', ['acpi']],
  ['virDomainShutdownFlags', EITHER, 'ends the guest', 'running', ['powerdown']],
  ['virDomainShutdownFlags', EITHER, 'none', 'off', []],
  ['virDomainShutdownFlags', ANY, 'none', 'off', NOT_RUNNING],
  ['virDomainShutdownFlags', AGENT, 'none', 'off', NOT_RUNNING],
  ['virDomainShutdownFlags', ANY, 'answers', 'paused', NOT_RUNNING],
  ['virDomainReboot', ANY, 'none', 'running', ['acpi']],
  ['virDomainReboot', ANY, 'answers', 'running', ['reboot']],
  ['virDomainReboot', ACPI, 'answers', 'paused', ['acpi']],
  ['virDomainReboot', AGENT, 'answers', 'paused', NOT_RUNNING],
  ['virDomainReboot', EITHER, 'fails', 'running', ['reboot', 'acpi']],
  ['virDomainReboot', EITHER, 'none', 'off', NOT_RUNNING],
  ['virDomainReboot', ANY, 'none', 'off', NOT_RUNNING]
]

t.test('who is asked', async t => {
  for (const [api, flags, kind, state, outcome] of cases) {
    const { domain, call, heard } = await guest(t, kind, state)
    const name = `${api} ${flags}, agent ${kind}, guest ${state}`
    const work = () => call(api, { flags })
    if (Array.isArray(outcome)) {
      t.same(await work(), {}, name)
      t.same(heard, outcome, name)
      const reboots = api === 'virDomainReboot' && heard.at(-1) === 'acpi'
      if (domain.run) t.equal(domain.run.fakeReboot, reboots, `${name}: what the power button is for`)
    } else t.match(await failureOf(work), { message: outcome }, name)
    t.equal(domain.jobs.holder, undefined, name)
  }
})

t.test('what the definition says of its end is heeded', async t => {
  const asked = async (api: string, change: object) => {
    const { domain, call, heard } = await guest(t, 'answers', 'running')
    Object.assign(domain.def, change)
    await call(api)
    return heard
  }
  t.same(await asked('virDomainShutdown', { onPoweroff: 'restart' }), ['reboot'])
  t.same(await asked('virDomainShutdown', { onPoweroff: 'destroy' }), ['powerdown'])
  t.same(await asked('virDomainReboot', { onReboot: 'destroy' }), ['powerdown'])
})

t.test('an agent that does not answer holds no job but its own', async t => {
  const { domain, call } = await guest(t, 'answers', 'running')
  const reply = promised<unknown>()
  domain.running.agent = { connected: true, execute: () => reply.promise } as never
  const asked = call('virDomainShutdown')
  await domain.jobs.run('modify', { api: 'other' }, () => t.pass('another call is carried out'))
  reply.resolve({})
  await asked
})
