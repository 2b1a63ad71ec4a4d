// Devices of paused guests attached, detached and updated, by libvirtd and by a shim: the live definition after each
// step, or the error, have to agree.
import { spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { virDomainState } from '../../src/conf/enums.ts'
import { canonicalXml, difference } from './equivalence.ts'
import { Daemons } from './libvirtd.ts'
import { Shim } from './shim.ts'

/** `+` attaches, `-` detaches, `~` updates, each with XML; `-alias` detaches by alias. */
export type LiveStep = [verb: '+' | '-' | '~' | '-alias', text: string, flags?: number]

/** A guest's name in the test, its definition but for name and uuid, and what is done to it, one after the other. */
export interface LiveCase {
  name: string
  guest: string
  steps: LiveStep[]
}

export const LIVE = 1
export const CONFIG = 2
const VIR_DOMAIN_XML_SECURE = 1

type Refusal = [code: number, domain: number, message: string]
type Answer = string | Refusal

/** libvirt's API by verb, with the name of its first argument, and the method of libvirt-python. */
const APIS: Record<LiveStep[0], [api: string, argument: string, method: string]> = {
  '+': ['virDomainAttachDeviceFlags', 'xml', 'attachDeviceFlags'],
  '-': ['virDomainDetachDeviceFlags', 'xml', 'detachDeviceFlags'],
  '~': ['virDomainUpdateDeviceFlags', 'xml', 'updateDeviceFlags'],
  '-alias': ['virDomainDetachDeviceAlias', 'alias', 'detachDeviceAlias']
}

let guests = 0

/** The definition of one more guest. */
function xmlOf({ guest }: LiveCase): { name: string; xml: string } {
  const number = String(guests++)
  const name = `t-live-${process.pid}-${number}`
  const uuid = `6dfc3c2b-7a4e-4f6e-9f0c-${process.pid.toString(16).padStart(9, '0')}${number.padStart(3, '0')}`
  return { name, xml: guest.replace(/>/, `><name>${name}</name><uuid>${uuid}</uuid>`) }
}

/** libvirtd's answers to the steps of each case; one that ends meanwhile, as others' tests have it do, is asked again. */
async function askLibvirtd(cases: readonly LiveCase[], daemons: Daemons): Promise<Answer[][]> {
  const answers: Answer[][] = []
  for (let left = ATTEMPTS; answers.length < cases.length; left--) {
    if (left === 0) throw new Error('libvirtd does not answer')
    await daemons.ensure(5000)
    answers.push(...(await answersOf(cases.slice(answers.length))))
  }
  return answers
}

const ATTEMPTS = 5
const GOING_LIMIT_MS = 60_000

/** Ends what a libvirtd that ended has left. */
function forgetGuests(): void {
  const virsh = (...words: string[]) =>
    spawnSync('virsh', ['-q', '-c', 'qemu:///system', ...words], { encoding: 'utf8' })
  const names = virsh('list', '--all', '--name').stdout.split('\n')
  for (const name of names.filter(name => name.startsWith(`t-live-${process.pid}-`))) {
    virsh('destroy', name)
    virsh('undefine', name)
  }
}

async function answersOf(cases: readonly LiveCase[]): Promise<Answer[][]> {
  const child = spawn('/usr/bin/python3', ['test/helper/libvirt-devices.py'], { stdio: ['pipe', 'pipe', 'inherit'] })
  for (const one of cases) {
    const calls = one.steps.map(([verb, text, flags = LIVE]) => [APIS[verb][2], text, flags])
    child.stdin.write(`${JSON.stringify({ ...xmlOf(one), running: true, live: true, calls })}\n`)
  }
  child.stdin.end()
  const answers: Answer[][] = []
  for await (const line of createInterface({ input: child.stdout })) {
    const { name, ...rest } = JSON.parse(line)
    if (!rest.answers) throw new Error(`${name}: ${rest.defineError}`)
    answers.push(rest.answers)
  }
  return answers
}

/** @param wanted libvirtd's answers */
async function askShim(shim: Shim, { steps }: LiveCase, wanted: readonly Answer[]): Promise<Answer[]> {
  const exited = shim.start('--paused', '--define')
  await Promise.race([
    shim.untilState(virDomainState.VIR_DOMAIN_PAUSED, 120_000),
    exited.then(code => Promise.reject(new Error(`the shim ended with ${code}: ${shim.stderr}`)))
  ])
  const answers: Answer[] = []
  const shown = async (): Promise<string> =>
    (await shim.call('virDomainGetXMLDesc', { flags: VIR_DOMAIN_XML_SECURE })).body.xml
  for (const [at, [verb, text, flags = LIVE]] of steps.entries()) {
    const [api, argument] = APIS[verb]
    const { status, body } = await shim.call(api, { [argument]: text, flags })
    if (status === 200) {
      const has = (xml: Answer) => xml.includes(`<alias name='${text}'/>`)
      // a device that is asked for by its alias goes when it does
      const deadline = Date.now() + (verb === '-alias' && !has(wanted[at]!) ? GOING_LIMIT_MS : 0)
      let xml = await shown()
      for (; has(xml) && Date.now() < deadline; xml = await shown()) await sleep(20)
      answers.push(xml)
    } else answers.push([body.code, body.domain, body.message])
  }
  return answers
}

/** What each daemon calls by names of its own: files, ports of the host, the guest's number. */
const OWN: [RegExp, string][] = [
  [/ id='\d+'/, " id='ID'"],
  [/t-live-\d+-\d+/g, 'NAME'],
  [/(?:\/run\/libvirt\/qemu\/channel\/\d+-[^/']+|\/tmp\/virshim-[^/']+\/root\/channel)\//g, 'CHANNELS/'],
  [/(?:\/run\/libvirt\/qemu\/[^/']+|\/tmp\/virshim-[^/']+\/root(?:\/qemu)?)\//g, 'SOCKETS/'],
  [/\/dev\/pts\/\d+/g, '/dev/pts/N'],
  [/\b(vnet|macvtap)\d+/g, '$1N'],
  [/ port='59\d\d'/g, " port='59NN'"],
  [/<seclabel[^>]*>(?:.*?<\/seclabel>)?/gs, '']
]

const plain = (text: string) => OWN.reduce((shown, [what, name]) => shown.replace(what, name), text)

/**
 * Takes the steps of all cases on libvirtd, then on shims, and compares.
 * @param prepare makes what they need of libvirtd
 */
export async function compareLive(t: Test, cases: readonly LiveCase[], prepare?: () => void): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'virshim-live-'))
  const daemons = new Daemons(dir)
  t.teardown(() => {
    forgetGuests()
    daemons.end()
    rmSync(dir, { recursive: true, force: true })
  })
  await daemons.ensure(5000)
  prepare?.()
  const expected = await askLibvirtd(cases, daemons)
  for (const [number, one] of cases.entries()) {
    await t.test(one.name, async t => {
      const { xml } = xmlOf(one)
      const source = one.guest + one.steps.map(([, text]) => text).join('')
      const shim = new Shim(xml)
      t.teardown(() => shim.end())
      const got = await askShim(shim, one, expected[number]!)
      for (const [at, [verb, text, flags]] of one.steps.entries()) {
        const step = `${at + 1}: ${verb} ${text} ${flags ?? ''}`
        const wanted = expected[number]![at]!
        const given = got[at]!
        if (typeof wanted === 'string' && typeof given === 'string') {
          const [theirs, ours] = [wanted, given].map(xml => canonicalXml(plain(xml), source))
          t.same(difference(theirs!, ours!), [], step)
        } else t.same(refusalOf(given), refusalOf(wanted), step)
      }
    })
  }
}

/** An error without what each daemon draws or chooses for itself; that it is none of an answer that is one. */
function refusalOf(answer: Answer): unknown {
  if (typeof answer === 'string') return 'done'
  const [code, domain, message] = answer
  const words = plain(message)
    .replace(/to 52:54:00(?::[0-9a-f]{2}){3}/, 'to MAC')
    // of a program of the host's
    .replace(/Child process \((.*)\) unexpected exit status \d+: (.*)\n/s, "'$1' failed: $2")
  return [code, domain, words]
}
