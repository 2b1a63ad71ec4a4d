import t from 'tap'
import { define, errorOf } from '../../../../helper/definition.ts'

const channel = (place = '') => `<channel type='pty'><target type='virtio'/>${place}</channel>`
const at = (controller: number, port: number) =>
  `<address type='virtio-serial' controller='${controller}' bus='0' port='${port}'/>`
const controller = (index: number, ports: number) =>
  `<controller type='virtio-serial' index='${index}' ports='${ports}'/>`

async function portsOf(devices: string): Promise<string[]> {
  const { channels } = (await define(devices)).devices
  return channels.flatMap(({ address }) =>
    address?.type === 'virtio-serial' ? [`${address.controller}:${address.port}`] : []
  )
}

t.test('port 0 is for the console, controllers are added when all ports are taken', async t => {
  t.same(await portsOf(channel() + channel(at(0, 1)) + channel()), ['0:2', '0:1', '0:3'])
  t.same(await portsOf(controller(0, 2) + channel().repeat(2)), ['0:1', '1:1'])
  t.same(await portsOf(channel(at(1, 0)) + channel()), ['1:1', '0:1'])
  const consoles = "<console type='pty'><target type='virtio'/></console>".repeat(2)
  t.same(await portsOf(consoles + channel()), ['0:1'])
  const { devices } = await define(consoles)
  t.equal(devices.consoles[1]?.address, undefined, 'consoles get no address')
})

t.test('ports that cannot be', async t => {
  for (const [devices, error] of [
    [channel(at(0, 31)), 'virtio serial controller 0 does not have port 31'],
    [channel(at(0, 3)).repeat(2), 'virtio serial port 3 on controller 0 is already occupied'],
    [controller(0, 1) + channel(at(0, 0)), 'Unable to find a free port on virtio-serial controller 0']
  ] as const) {
    t.match(await errorOf(() => define(devices)), error)
  }
})
