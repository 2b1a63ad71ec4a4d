import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { removeLibvirtPidFile, writeLibvirtPidFile } from '../../src/host/libvirt-pid-file.ts'
import { setHostRoot } from '../../src/host/root.ts'

const GONE = 2 ** 22 + 1
const OTHER = process.ppid

t.test("the number of a guest's process where libvirt has it", async t => {
  const root = t.testdir({})
  const directory = join(root, process.getuid?.() === 0 ? 'run/libvirt/qemu' : 'libvirt/qemu/run')
  const file = join(directory, 'guest.pid')
  const { XDG_RUNTIME_DIR: before } = process.env
  setHostRoot(root)
  process.env.XDG_RUNTIME_DIR = root
  t.teardown(() => {
    setHostRoot('')
    if (before === undefined) delete process.env.XDG_RUNTIME_DIR
    else process.env.XDG_RUNTIME_DIR = before
  })

  writeLibvirtPidFile('guest', process.pid)
  t.notOk(existsSync(directory), 'nothing where libvirt is not')
  removeLibvirtPidFile('guest', process.pid)

  mkdirSync(directory, { recursive: true })
  writeLibvirtPidFile('guest', process.pid)
  t.equal(readFileSync(file, 'utf8'), `${process.pid}\n`)
  removeLibvirtPidFile('guest', OTHER)
  t.ok(existsSync(file), 'it stays where it is not ours')
  writeLibvirtPidFile('guest', OTHER)
  t.equal(readFileSync(file, 'utf8'), `${process.pid}\n`, 'somebody else keeps his')
  removeLibvirtPidFile('guest', process.pid)
  t.notOk(existsSync(file))

  for (const left of [`${GONE}\n`, 'nothing', '']) {
    writeFileSync(file, left)
    writeLibvirtPidFile('guest', OTHER)
    t.equal(readFileSync(file, 'utf8'), `${OTHER}\n`, `what was left, ${JSON.stringify(left)}, is replaced`)
  }

  const elsewhere = join(root, 'elsewhere')
  writeFileSync(elsewhere, 'as before')
  rmSync(file)
  symlinkSync(elsewhere, file)
  writeLibvirtPidFile('guest', OTHER)
  t.equal(readFileSync(elsewhere, 'utf8'), 'as before', 'no link is followed')
  t.equal(readFileSync(file, 'utf8'), `${OTHER}\n`)
})
