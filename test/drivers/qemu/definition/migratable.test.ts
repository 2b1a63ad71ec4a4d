import t from 'tap'
import { formatMigratable } from '../../../../src/drivers/qemu/definition/migratable.ts'
import { define, type GuestOptions, testContext } from '../../../helper/definition.ts'

const migratable = async (devices: string, options: GuestOptions = {}) =>
  formatMigratable(await define(devices, options), testContext(options))

t.test('leaves out what older versions add themselves', async t => {
  // of this guest, of libvirt 9.7 and later, and of the ones before
  for (const directory of [
    testContext().paths.channelTargetDir,
    '/run/libvirt/qemu/channel/1-guest',
    '/var/lib/libvirt/qemu/channel/target/domain-1-guest'
  ]) {
    const bare = await migratable(`<channel type='unix'>
      <source path='${directory}/org.qemu.guest_agent.0'/>
      <target type='virtio' name='org.qemu.guest_agent.0'/></channel>`)
    t.notMatch(bare, /type='usb'|pci-root|<audio|<source|keyboard/)
    t.match(bare, /<input type='mouse' bus='ps2'\/>/)
  }
})

t.test('keeps what is the user his own', async t => {
  const kept = await migratable(
    `<controller type='usb' index='0' model='piix3-uhci'><alias name='ua-usb'/></controller>
     <controller type='pci' index='0' model='pci-root'><pcihole64 unit='KiB'>1024</pcihole64></controller>
     <channel type='unix'><source path='/srv/agent'/><target type='virtio' name='a'/></channel>`
  )
  t.match(kept, /ua-usb/)
  t.match(kept, /pcihole64/)
  t.match(kept, /\/srv\/agent/)
  t.match(await migratable('', { machine: 'q35' }), /pcie-root/)
})

t.test('the CPU is the one that was asked for, with the cells the guest has', async t => {
  const numa = "<numa><cell id='0' cpus='0' memory='65536' unit='KiB'/></numa>"
  const outside = `<vcpu>1</vcpu><cpu mode='custom' match='exact' check='full'><model>Nehalem</model>${numa}</cpu>`
  const xml = formatMigratable(await define('', { outside }), testContext(), "<cpu mode='host-model'/>")
  t.match(xml, /<cpu mode='host-model'>\s*<numa>\s*<cell id='0'/)
  const plain = formatMigratable(await define(''), testContext(), "<cpu mode='host-model'/>")
  t.match(plain, "<cpu mode='host-model'/>")
})
