// Devices attached, detached and updated in definitions, by libvirtd and by us: the definition after each step, or the
// error, have to agree.
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import t from 'tap'
import { formatDomain } from '../../../../src/conf/domain-xml.ts'
import { toVirError } from '../../../../src/conf/error.ts'
import type { Connect } from '../../../../src/drivers/connection.ts'
import { libvirtContext } from '../../../../src/drivers/qemu/definition/native.ts'
import { loadDomain } from '../../../../src/drivers/qemu/definition/passes.ts'
import { QemuDomain } from '../../../../src/drivers/qemu/domain/domain.ts'
import { findMethod } from '../../../../src/drivers/qemu/index.ts'
import { dispatch } from '../../../../src/server/dispatch.ts'
import { cacheDirectory, guestRoot } from '../../../../src/state/root.ts'
import { type Case, cases, guests, type Step } from '../../../helper/config-device-cases.ts'
import { canonicalXml, difference } from '../../../helper/equivalence.ts'
import { Daemons } from '../../../helper/libvirtd.ts'

t.setTimeout(240_000)

const VIR_DOMAIN_AFFECT_CONFIG = 2
/** Text that is not well formed: the words are another parser's. */
const VIR_ERR_XML_DETAIL = 35

type Refusal = [code: number, domain: number, message: string]
type Answer = string | Refusal

/** libvirt's API by step, with the name of its first argument, and the method of libvirt-python. */
const APIS: Record<Step[0], [api: string, argument: string, method: string]> = {
  '+': ['virDomainAttachDeviceFlags', 'xml', 'attachDeviceFlags'],
  '-': ['virDomainDetachDeviceFlags', 'xml', 'detachDeviceFlags'],
  '~': ['virDomainUpdateDeviceFlags', 'xml', 'updateDeviceFlags'],
  '-alias': ['virDomainDetachDeviceAlias', 'alias', 'detachDeviceAlias']
}

const dir = mkdtempSync(join(tmpdir(), 'virshim-config-devices-'))
const daemons = new Daemons(dir)
t.teardown(() => {
  daemons.end()
  rmSync(dir, { recursive: true, force: true })
})

const UUID = '6dfc3c2b-7a4e-4f6e-9f0b-0d6f2b6c8a12'
const nameOf = (number: number) => `t-config-${process.pid}-${number}`
const xmlOf = ({ guest }: Case, number: number) =>
  `<domain type='qemu'><name>${nameOf(number)}</name><uuid>${UUID.slice(0, -4)}${String(number).padStart(4, '0')}</uuid>${guests[guest]}</domain>`

/** libvirtd's answers to the steps of each case. */
async function askLibvirtd(): Promise<Map<string, Answer[]>> {
  await daemons.ensure(2000)
  const child = spawn('/usr/bin/python3', ['test/helper/libvirt-devices.py'], { stdio: ['pipe', 'pipe', 'inherit'] })
  for (const [number, one] of cases.entries()) {
    const calls = one.steps.map(([verb, text]) => [APIS[verb][2], text, VIR_DOMAIN_AFFECT_CONFIG])
    child.stdin.write(
      `${JSON.stringify({ name: nameOf(number), xml: xmlOf(one, number), running: one.running ?? false, calls })}\n`
    )
  }
  child.stdin.end()
  const answers = new Map<string, Answer[]>()
  for await (const line of createInterface({ input: child.stdout })) {
    const { name, ...rest } = JSON.parse(line)
    if (!rest.answers) throw new Error(`${name}: ${rest.defineError}`)
    answers.set(name, rest.answers)
  }
  return answers
}

async function askVirshim(one: Case, number: number): Promise<Answer[]> {
  const contextFor = (def: Parameters<typeof libvirtContext>[0]) => libvirtContext(def, cacheDirectory())
  const { def, context } = await loadDomain(xmlOf(one, number), contextFor)
  const log = { debug() {}, info() {}, warn() {}, error() {} }
  const domain = new QemuDomain({ root: guestRoot(join(dir, String(number))), def, context, contextFor, log })
  domain.setPersistent(def)
  if (one.running) {
    domain.definitions.separate()
    domain.id = 1
  }
  const answers: Answer[] = []
  for (const [verb, text] of one.steps) {
    const [api, argument] = APIS[verb]
    const values = { [argument]: text, flags: VIR_DOMAIN_AFFECT_CONFIG }
    try {
      await dispatch({ domain, connect: {} as Connect }, { row: findMethod(api)!, values, readOnly: false })
      answers.push(formatDomain(domain.newDef!, { secure: true }))
    } catch (thrown) {
      const error = toVirError(thrown)
      if (error.code === 'VIR_ERR_INTERNAL_ERROR' && error.cause) console.error(error.cause)
      const { code, domain: from, message } = error.toJSON()
      answers.push([code, from, message])
    }
  }
  return answers
}

const expected = await askLibvirtd()

for (const [number, one] of cases.entries()) {
  const { guest, steps } = one
  t.test(`${guest}: ${steps.map(([verb, text]) => verb + (/^<(\w+)/.exec(text)?.[1] ?? text)).join(' ')}`, async t => {
    const got = await askVirshim(one, number)
    const source = xmlOf(one, number) + steps.map(([, text]) => text).join('')
    for (const [at, [verb, text]] of steps.entries()) {
      const wanted = expected.get(nameOf(number))![at]!
      const given = got[at]!
      if (typeof wanted === 'string' && typeof given === 'string') {
        t.same(difference(canonicalXml(wanted, source), canonicalXml(given, source)), [], `${verb} ${text}`)
      } else if (wanted[0] === VIR_ERR_XML_DETAIL) t.equal(given[0], VIR_ERR_XML_DETAIL, `${verb} ${text}`)
      else t.same(given, wanted, `${verb} ${text}`)
    }
  })
}
