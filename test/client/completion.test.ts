// Completion: candidates beside virsh's, and the shells' side of it in bash and zsh.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { findCommand, groups } from '../../src/client/commands/index.ts'
import { candidatesOf } from '../../src/client/completion.ts'
import type { Report } from '../../src/client/connection.ts'
import type { Session } from '../../src/client/session.ts'
import { AggregatorRun } from '../helper/aggregator.ts'
import { bareGuest } from '../helper/shim.ts'

t.setTimeout(120_000)

const dir = mkdtempSync(join(tmpdir(), 'virshim-completion-'))
t.teardown(() => rmSync(dir, { recursive: true, force: true }))

/** Guests by virDomainState. */
const STATES = { running: 1, paused: 3, shutoff: 5, crashed: 6, pmsuspended: 7 }
const SHUTOFF = 5
const uuidOf = (state: number) => `3c1f0a3e-0000-4000-8000-00000000000${state}`

const session = {
  guests: async () =>
    Object.entries(STATES).map(([name, state]) => ({
      report: { name, uuid: uuidOf(state), state, id: state === SHUTOFF ? -1 : state } as Report
    }))
} as Session

const candidates = (command: string, ...words: string[]) =>
  candidatesOf(session, command, findCommand(command)?.options ?? {}, words)

t.test('options, values and guests', async t => {
  t.same(await candidates('start', ''), ['shutoff'])
  t.same(await candidates('start', '--paused', ''), ['shutoff'], 'a flag takes no word')
  t.same(await candidates('shutdown', '--mode', ''), ['acpi', 'agent', 'initctl', 'signal', 'paravirt'])
  t.same(await candidates('shutdown', '--mode', 'acpi', ''), ['running', 'paused', 'crashed', 'pmsuspended'])
  t.same(await candidates('dumpxml', ''), Object.keys(STATES))
  t.same(await candidates('dumpxml', 'running', ''), [], 'there is a guest already')
  t.same(await candidates('dumpxml', '--domain', 'running', ''), [])
  const startOptions = [
    '--domain',
    '--console',
    '--paused',
    '--autodestroy',
    '--bypass-cache',
    '--force-boot',
    '--reset-nvram'
  ]
  t.same(await candidates('start', '--p'), startOptions)
  t.same(await candidates('nope', ''), [])
})

const noVirsh = spawnSync('virsh', ['--version']).status !== 0 && 'needs virsh'

t.test('each command takes the guests that virsh would', { skip: noVirsh }, async t => {
  const guests = Object.entries(STATES).map(
    ([name, state]) => `<domain type='test' xmlns:test='http://libvirt.org/schemas/domain/test/1.0'>
      <name>${name}</name><uuid>${uuidOf(state)}</uuid><memory>8192</memory><os><type>hvm</type></os>
      <test:runstate>${state}</test:runstate></domain>`
  )
  const node = join(dir, 'node.xml')
  writeFileSync(node, `<node>${guests.join('')}</node>`)
  const ours = groups
    .flatMap(({ commands }) => Object.entries(commands))
    .filter(([name, { options }]) => options.domain?.required && name !== 'shim-detach')
  t.ok(ours.length > 25)
  for (const [name] of ours) {
    const words = ['-r', '-c', `test://${node}`, 'complete', '--', name, '--domain', '']
    const { stdout } = spawnSync('virsh', words, { encoding: 'utf8' })
    const wanted = stdout.split('\n').filter(line => line !== '')
    t.same((await candidates(name, '--domain', '')).sort(), wanted.sort(), name)
  }
})

const SETUP = {
  bash: '',
  zsh: 'autoload -U compinit bashcompinit; compinit -u -D; bashcompinit; setopt ksharrays;'
}

/** What a shell's function leaves in COMPREPLY. */
function reply(shell: keyof typeof SETUP, ...words: string[]): string[] {
  const script = `${SETUP[shell]} source completions/virshim.bash; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
    _virshim; printf '%s\n' "\${COMPREPLY[@]}"`
  const clean = shell === 'zsh' ? '-f' : '--norc'
  const path = `${process.cwd()}/bin:${process.env.PATH}`
  const options = { encoding: 'utf8', env: { ...process.env, PATH: path, HOME: dir } } as const
  const { stdout, stderr } = spawnSync(shell, [clean, '-c', script, shell, ...words], options)
  if (stderr !== '') throw new Error(stderr)
  return stdout.split('\n').filter(line => line !== '')
}

t.test('in the shells', async t => {
  const aggregator = new AggregatorRun()
  t.teardown(() => aggregator.end())
  await aggregator.start()
  for (const name of ['t-off', 't-on']) await aggregator.call('virDomainDefineXML', { xml: bareGuest(name) })
  t.equal((await aggregator.call('domains/t-on/virDomainCreate', {})).status, 200)
  for (const shell of ['bash', 'zsh'] as const) {
    const skip = spawnSync(shell, ['--version']).status !== 0 && `needs ${shell}`
    t.test(shell, { skip }, async t => {
      const at = ['virshim', '-q', '-c', aggregator.socket]
      t.same(reply(shell, 'virshim', 'domi'), [
        ...['domif-setlink', 'domid', 'domiftune', 'domifstat', 'dominfo', 'domif-getlink', 'domifaddr', 'domiflist']
      ])
      t.same(reply(shell, ...at, 'start', ''), ['t-off'])
      t.same(reply(shell, ...at, 'destroy', 't-'), ['t-on'])
      t.same(reply(shell, ...at, 'start', '--pa'), ['--paused'])
    })
  }
})

// a file's name is looked for in zsh at a prompt only: its compgen takes the word from the line
const noZsh = spawnSync('zsh', ['--version']).status !== 0 && 'needs zsh'

t.test('zsh at its prompt', { skip: noZsh }, async t => {
  const load = 'autoload -U compinit bashcompinit; compinit -u -D; bashcompinit; source completions/virshim.bash'
  const script = `zmodload zsh/zpty; zpty shell zsh -f -i
    zpty -w shell "PATH=$PWD/bin:\\$PATH; ${load}; echo lo''aded"
    zpty -r -m shell out '*loaded*'; zpty -w -n shell $'virshim domin\\t'; zpty -r -m shell out '*dominfo*' && echo completed
    zpty -w -n shell $'\x15virshim create examples/ti\t'; zpty -r -m shell out '*tiny.xml*' && echo completed`
  const { stdout } = spawnSync('zsh', ['-f', '-c', script], { encoding: 'utf8', timeout: 60_000 })
  t.equal(stdout, 'completed\ncompleted\n', 'a command, a file')
})
