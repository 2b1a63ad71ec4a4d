// Interfaces of a running guest, as clients ask for them.
import t from 'tap'
import { StandInGuest } from '../../../helper/stand-in-guest.ts'

t.test('announcements', async t => {
  const guest = await StandInGuest.running(t, {
    devices: "<interface type='user'><mac address='52:54:00:00:00:01'/><model type='virtio'/></interface>"
  })
  const announce = async (args: object) => {
    guest.forget()
    await guest.call('virDomainAnnounceInterface', args)
    return guest.qemu.peer.orders[0]?.args
  }
  const usual = { initial: 50, max: 550, rounds: 5, step: 100 }
  t.same(await announce({}), usual)
  t.same(await announce({ params: { initial: 0, rounds: 0, step: 7 } }), { ...usual, step: 7 }, '0 is the default')
  t.same(await announce({ device: '52:54:00:00:00:01' }), { ...usual, interfaces: ['net0'] })
})
