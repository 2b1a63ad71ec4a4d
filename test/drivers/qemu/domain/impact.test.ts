// The definitions that flags mean, and the state a call needs.
import t from 'tap'
import { checkNeeds, resolveImpact } from '../../../../src/drivers/qemu/domain/impact.ts'
import { bareDomain, failureOf } from '../../../helper/bare-domain.ts'

const [CURRENT, LIVE, CONFIG] = [0, 1, 2]
const BOTH = LIVE | CONFIG

const EXCLUSIVE = {
  domain: 'VIR_FROM_DOMAIN',
  code: 'VIR_ERR_INVALID_ARG',
  message: "Flags 'VIR_DOMAIN_AFFECT_LIVE' and 'VIR_DOMAIN_AFFECT_CONFIG' are mutually exclusive"
}
const SHUT_OFF = {
  domain: 'VIR_FROM_DOMAIN',
  code: 'VIR_ERR_OPERATION_INVALID',
  message: 'Requested operation is not valid: domain is not running'
}
const TRANSIENT = {
  domain: 'VIR_FROM_DOMAIN',
  code: 'VIR_ERR_OPERATION_INVALID',
  message: 'Requested operation is not valid: transient domains do not have any persistent config'
}

type Outcome = 'live' | 'config' | 'both' | object

/** [flags, running and kept, running and transient, shut off] */
const CASES: Record<'one' | 'both', [flags: number, kept: Outcome, transient: Outcome, off: Outcome][]> = {
  one: [
    [CURRENT, 'live', 'live', 'config'],
    [LIVE, 'live', 'live', SHUT_OFF],
    [CONFIG, 'config', TRANSIENT, 'config'],
    [BOTH, EXCLUSIVE, EXCLUSIVE, EXCLUSIVE]
  ],
  both: [
    [CURRENT, 'live', 'live', 'config'],
    [LIVE, 'live', 'live', SHUT_OFF],
    [CONFIG, 'config', TRANSIENT, 'config'],
    [BOTH, 'both', TRANSIENT, SHUT_OFF]
  ]
}

t.test('flags and state give definitions or an error', async t => {
  const guests = await Promise.all([
    bareDomain(t.testdir({ kept: {} }), { active: true, persistent: true }),
    bareDomain(t.testdir({ transient: {} }), { active: true, persistent: false }),
    bareDomain(t.testdir({ off: {} }), { active: false, persistent: true })
  ])
  for (const impact of ['one', 'both'] as const) {
    for (const [flags, ...outcomes] of CASES[impact]) {
      for (const [at, { domain }] of guests.entries()) {
        const outcome = outcomes[at]!
        // other bits mean other things
        for (const bits of [flags, flags | 0x7ffffffc]) {
          const name = `${impact}, flags ${bits}, ${['kept', 'transient', 'shut off'][at]}`
          if (typeof outcome === 'object') {
            t.match(await failureOf(async () => resolveImpact(domain, impact, bits)), outcome, name)
            continue
          }
          const { def, live, config } = resolveImpact(domain, impact, bits)
          t.equal(live, outcome === 'config' ? undefined : domain.def, name)
          t.equal(config, outcome === 'live' ? undefined : domain.newDef, name)
          t.equal(def, outcome === 'config' ? domain.newDef : domain.def, name)
        }
      }
    }
  }
})

t.test('the state a call needs', async t => {
  const { domain: active } = await bareDomain(t.testdir({ on: {} }))
  const { domain: inactive } = await bareDomain(t.testdir({ off: {} }), { active: false })
  const refused = (message: string, domain = 'VIR_FROM_QEMU') => ({
    domain,
    code: 'VIR_ERR_OPERATION_INVALID',
    message: `Requested operation is not valid: ${message}`
  })
  const cases = [
    ['active', inactive, active, refused('domain is not running', 'VIR_FROM_DOMAIN')],
    [{ active: 'not while off' }, inactive, active, refused('not while off')],
    ['inactive', active, inactive, refused('domain is already running')],
    [{ inactive: 'not while on' }, active, inactive, refused('not while on')]
  ] as const
  for (const [needs, bad, good, error] of cases) {
    t.match(await failureOf(async () => checkNeeds(bad, needs)), error, JSON.stringify(needs))
    checkNeeds(good, needs)
  }
})
