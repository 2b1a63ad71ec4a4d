// completions/virshim.bash in a real bash: what follows the words of a command line.
import { execFile } from 'node:child_process'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import t from 'tap'
import { api, dir, GUESTS } from '../helper/command-rows.ts'

const program = resolve('bin/virshim')
const files = join(dir, 'files')
mkdirSync(files)
for (const name of ['guest.xml', 'guest two.xml', 'other']) writeFileSync(join(files, name), '')
t.teardown(() => rmSync(files, { recursive: true, force: true }))

/** Completes the last of some words; bash's own words, as readline splits them. */
function complete(...words: string[]): Promise<string[]> {
  const script = `
    source ${resolve('completions/virshim.bash')}
    complete -p virshim >&2
    COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
    _virshim
    ((\${#COMPREPLY[@]})) && printf '%s\\n' "\${COMPREPLY[@]}"
    true`
  return new Promise((done, failed) => {
    const env = { ...process.env, VIRSHIM_CONNECT: join(dir, 'nowhere') }
    execFile('bash', ['--norc', '-c', script, 'bash', ...words], { cwd: files, env }, (error, out, err) => {
      if (error || err !== 'complete -F _virshim virshim\n') failed(error ?? new Error(err))
      else done(out.split('\n').filter(word => word !== ''))
    })
  })
}

t.test('commands, options, guests, files', async t => {
  api.answers = { guests: { guests: GUESTS } }
  const at = ['-c', api.socket]
  const cases: [words: string[], candidates: string[]][] = [
    [['domn'], ['domname']],
    [['cpu-'], ['cpu-stats', 'cpu-models', 'cpu-compare', 'cpu-baseline']],
    [['domname', '--'], ['--domain']],
    [['vcpuinfo', '--domain', 'x', '--'], ['--pretty']],
    [['list', '--state-r'], ['--state-running']],
    [['-q', '-r', 'nodesus'], ['nodesuspend']],
    [['--quiet', 'nodesus'], ['nodesuspend']],
    [[...at, 'suspend', 't'], ['tiny']],
    [
      [...at, 'domstate', ''],
      ['tiny', 'off', '3', 'Zed', 'alpha']
    ],
    // of guests only those that the command is for
    [[...at, 'suspend', ''], ['tiny']],
    [[...at, 'resume', ''], ['3']],
    [
      [...at, 'start', ''],
      ['off', 'Zed']
    ],
    [['-q', ...at, 'domstate', 'Z'], ['Zed']],
    [['--connect', api.socket, 'domstate', 'Z'], ['Zed']],
    [[...at, 'domstate', '--domain', 'o'], ['off']],
    // as readline parts them
    [['--connect', '=', api.socket, 'domstate', 'Z'], ['Zed']],
    [['-c', 'unix', ':', `//${api.socket}`, 'domstate', 'Z'], ['Zed']],
    [['--connect', '=', 'o'], ['other']],
    [
      ['--connect', '='],
      ['guest two.xml', 'guest.xml', 'other']
    ],
    // nobody to ask: files, as for everything that is not ours to know
    [['suspend', 't'], []],
    [
      ['create', 'g'],
      ['guest two.xml', 'guest.xml']
    ],
    [
      ['create', ''],
      ['guest two.xml', 'guest.xml', 'other']
    ],
    [['nosuchcommand', 'o'], ['other']],
    [['-c', 'o'], ['other']],
    [
      ['-c', ''],
      ['guest two.xml', 'guest.xml', 'other']
    ],
    [['nosuch'], []]
  ]
  for (const [words, candidates] of cases) {
    t.same((await complete(program, ...words)).sort(), [...candidates].sort(), words.join(' '))
  }
})

t.test('a program that is not there completes files', async t => {
  t.same(await complete(join(dir, 'nosuch'), 'o'), ['other'])
})
