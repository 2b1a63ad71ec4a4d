import t from 'tap'
import { generateLabels } from '../../../../src/drivers/qemu/process/seclabel.ts'
import { define, errorOf } from '../../../helper/definition.ts'

async function labels(outside: string, privileged = true, devices = '') {
  const def = await define(devices, { outside })
  generateLabels(def, { user: '+100', group: '+101' }, privileged)
  return def.seclabels.map(({ model, type, label = '', imagelabel = '' }) => `${model} ${type} ${label} ${imagelabel}`)
}

t.test('a started guest has the label of its process', async t => {
  t.same(await labels(''), ['dac dynamic +100:+101 +100:+101'])
  t.same(await labels("<seclabel type='dynamic' model='dac'/>"), ['dac dynamic +100:+101 +100:+101'])
  t.same(await labels("<seclabel type='none' model='dac'/>"), ['dac none  '])
  t.same(await labels("<seclabel type='static' model='dac' relabel='yes'><label>+1:+2</label></seclabel>"), [
    'dac static +1:+2 +1:+2'
  ])
  t.same(await labels("<seclabel type='none'/>", false), ['none none  '])
  t.same(await labels('', false), [])
})

t.test('no other drivers are there', async t => {
  t.match(
    await errorOf(() => labels("<seclabel type='none' model='selinux'/>")),
    /CONFIG_UNSUPPORTED: .*Security driver model 'selinux' is not available/
  )
  const disk = `<disk type='file'><source file='/srv/a'><seclabel model='apparmor' relabel='no'/></source>
    <target dev='vda'/></disk>`
  t.match(await errorOf(() => labels('', true, disk)), /model 'apparmor' is not available/)
})
