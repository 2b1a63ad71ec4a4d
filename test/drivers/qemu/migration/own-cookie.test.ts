import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import type { QemuDomain } from '../../../../src/drivers/qemu/domain/domain.ts'
import {
  type CookieFeature,
  formatCookie,
  type MigrationCookie
} from '../../../../src/drivers/qemu/migration/cookie.ts'
import { ownCookie } from '../../../../src/drivers/qemu/migration/own-cookie.ts'
import { define, TEST_CONFIG, testContext } from '../../../helper/definition.ts'
import { failureOf } from '../../../helper/stand-in-guest.ts'

const UUID = 'dcf47dbd-46d1-4d5b-b442-262a806a333a'
const HOST = { hostname: 'one', hostUuid: '8b3f4dc4-6a8e-5f9b-94a5-4c35babd8d95' }

const DISKS = `<disk type='file'><driver type='qcow2'/><source file='/a' index='1'/><target dev='vda'/></disk>
  <disk type='file' device='cdrom'><target dev='hdc'/></disk>
  <disk type='file'><driver type='qcow2'/><source file='/b' index='2'/><target dev='vdb'/></disk>`

async function guest(devices: string, { outside = '', spiceTls = false, certDir = '/none' } = {}) {
  const def = await define(devices, { outside })
  def.devices.disks.forEach(({ source }, i) => {
    source.index = i + 1
  })
  const answers: Record<string, unknown> = {
    'query-named-block-nodes': [
      { 'node-name': 'libvirt-1-format', image: { 'virtual-size': 2n ** 60n } },
      { 'node-name': 'libvirt-1-storage', image: { 'virtual-size': 7 } }
    ],
    'query-migrate-capabilities': [{ capability: 'xbzrle', state: false }]
  }
  const config = { ...TEST_CONFIG, spiceTls, spiceTlsX509CertDir: certDir }
  const context = testContext({ config })
  const qmp = { execute: async (command: string) => answers[command] }
  const domain = { name: 'guest', uuid: UUID, def, context, qmp } as unknown as QemuDomain
  return (features: CookieFeature[], given: Partial<MigrationCookie> = {}) =>
    ownCookie(domain, 'source', features, { ...HOST, ...given })
}

t.test('nothing but who it is', async t => {
  const cookie = await guest(DISKS)
  t.same(await cookie([]), { name: 'guest', uuid: UUID, ...HOST, mandatory: [] })
  t.match(await cookie([], { name: 'once' }), { name: 'once', uuid: UUID })
})

t.test('all that it can tell', async t => {
  const devices = `${DISKS}<interface type='user'/>
    <interface type='direct'><source dev='eth0' mode='vepa'/><virtualport type='802.1Qbh'>
      <parameters profileid='p'/></virtualport></interface>
    <graphics type='vnc'/><graphics type='spice' port='5900' tlsPort='-1' autoport='no'>
      <listen type='address' address='10.0.0.1'/></graphics>`
  const outside = "<cpu mode='custom' match='exact'><model>qemu64</model></cpu>"
  const cookie = await guest(devices, { outside })
  const all: CookieFeature[] = ['graphics', 'lockstate', 'network', 'nbd', 'cpu', 'capabilities', 'memory-hotplug']
  const told = await cookie(all, { nbd: { port: 5, disks: [] } })
  t.match(told, {
    mandatory: ['memory-hotplug'],
    graphics: { type: 'spice', port: 5900, tlsPort: -1, listen: '10.0.0.1' },
    lockState: { driver: 'nop' },
    network: [{ index: 1, portType: '802.1Qbh' }],
    nbd: { port: 5, disks: [{ target: 'vda', capacity: 2n ** 60n }] },
    cpu: { model: { name: 'qemu64' } },
    capabilities: [{ name: 'xbzrle', auto: false }]
  })
  t.match(formatCookie(told), /<feature name='lockstate'\/>\n {2}<feature name='memory-hotplug'\/>\n {2}<graphics/)
})

t.test('what there is nothing of', async t => {
  const graphics = "<graphics type='spice'><listen type='socket' socket='/s'/></graphics>"
  const cookie = await guest(graphics, { outside: "<cpu><topology sockets='1' cores='1' threads='1'/></cpu>" })
  const {
    name: _n,
    uuid: _u,
    hostname: _h,
    hostUuid: _i,
    ...told
  } = await cookie(['graphics', 'network', 'nbd', 'cpu'])
  t.same(told, { mandatory: [], nbd: { disks: [] } })
})

t.test('the certificate of a SPICE server', async t => {
  const certDir = mkdtempSync(join(tmpdir(), 'certificate-'))
  t.teardown(() => rmSync(certDir, { recursive: true }))
  const graphics = "<graphics type='spice' port='5900' autoport='no'/>"
  const cookie = await guest(graphics, { spiceTls: true, certDir })
  const path = join(certDir, 'server-cert.pem')
  const failure = () => failureOf(() => cookie(['graphics']))
  t.match(await failure(), `unable to read server cert ${path}`)
  writeFileSync(path, 'no certificate')
  t.match(await failure(), `cannot load cert data from ${path}`)
})
