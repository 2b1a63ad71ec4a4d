import t from 'tap'
import { pathsOfDefinition } from '../../../../src/drivers/qemu/process/access-paths.ts'
import { define } from '../../../helper/definition.ts'

/** `+` for what is the guest's alone, `w` for what it writes to. */
async function paths(devices: string, outside = '') {
  const all = pathsOfDefinition(await define(devices, { outside }))
  return all.map(({ path, own, write }) => `${own ? '+' : '-'}${write ? 'w' : 'r'} ${path}`)
}

const disk = (source: string, more = '', format = 'qcow2') =>
  `<disk type='file' device='disk'><driver name='qemu' type='${format}'/>${source}<target dev='vda' bus='virtio'/>${more}</disk>`
const below = (file: string) =>
  `<backingStore type='file'><format type='qcow2'/><source file='${file}'/><backingStore/></backingStore>`

t.test('images', async t => {
  const source = "<source file='/i/top'/>"
  t.same(await paths(disk(source, below('/i/base'))), ['+w /i/top', '-r /i/base'])
  t.same(await paths(disk(source, '<readonly/>')), ['-r /i/top'])
  t.same(await paths(disk(source, '<shareable/>', 'raw')), ['-w /i/top'])
  t.same(await paths("<disk type='file' device='cdrom'><source file='/i/cd'/><target dev='sda' bus='sata'/></disk>"), [
    '-r /i/cd'
  ])
  t.same(
    await paths("<disk type='dir'><driver type='fat'/><source dir='/i'/><readonly/><target dev='vda'/></disk>"),
    []
  )
  t.same(
    await paths(
      "<disk type='network'><source protocol='nbd' name='x'><host name='h'/></source><target dev='vda'/></disk>"
    ),
    [],
    'what servers have is theirs'
  )
})

t.test('character devices', async t => {
  const of = (type: string, source: string) => paths(`<serial type='${type}'>${source}<target port='0'/></serial>`)
  t.same(await of('file', "<source path='/c/file'/>"), ['+w /c/file'])
  t.same(await of('dev', "<source path='/dev/ttyS7'/>"), ['+w /dev/ttyS7'])
  t.same(await of('pipe', "<source path='/c/pipe'/>"), ['+w /c/pipe', '+w /c/pipe.in', '+w /c/pipe.out'])
  t.same(await of('unix', "<source mode='connect' path='/c/socket'/>"), ['-w /c/socket'], 'somebody else listens')
  t.same(await of('unix', "<source mode='bind' path='/c/socket'/>"), [], 'QEMU makes it')
  t.same(await of('pty', "<log file='/c/log'/>"), ['+w /c/log'])
})

t.test('kernels, files for the firmware, memory, input', async t => {
  const memory = `<memory model='nvdimm'><source><path>/m/nvdimm</path></source>
    <target><size unit='MiB'>256</size><node>0</node><label><size unit='KiB'>256</size></label></target></memory>`
  const numa = `<maxMemory slots='2' unit='GiB'>4</maxMemory>
    <cpu><numa><cell id='0' cpus='0' memory='524288' unit='KiB'/></numa></cpu>`
  t.same(await paths(memory, numa), ['+w /m/nvdimm'])
  t.same(await paths("<input type='passthrough' bus='virtio'><source evdev='/dev/input/event9'/></input>"), [
    '+w /dev/input/event9'
  ])
  t.same(await paths('', "<sysinfo type='fwcfg'><entry name='opt/x/y' file='/f/w'/></sysinfo>"), ['-r /f/w'])
})

t.test('a file that is there twice is given once', async t => {
  const cd = (dev: string) =>
    `<disk type='file' device='cdrom'><source file='/i/cd'/><target dev='${dev}' bus='sata'/></disk>`
  t.same(await paths(cd('sda') + cd('sdb')), ['-r /i/cd'])
})
