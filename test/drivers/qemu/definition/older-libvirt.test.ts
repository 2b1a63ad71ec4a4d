// XML of a guest that uses nothing newer can be read by libvirt 9.0: nothing it would refuse is written by itself.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { formatDomain } from '../../../../src/conf/domain-xml.ts'
import { childElements, parseXml, type XmlElement } from '../../../../src/conf/xml.ts'
import { formatMigratable } from '../../../../src/drivers/qemu/definition/migratable.ts'
import { loadDomain } from '../../../../src/drivers/qemu/definition/passes.ts'
import { testContext } from '../../../helper/definition.ts'

const EXAMPLES = 'test/data/domain'

/** Elements in their parent, attributes and values of attributes that libvirt 9.0 has not, up to 12.8. */
const NEWER = new Set(
  `
  domain/throttlegroups disk/throttlefilters source/dataStore source/knownHosts reconnect@delay
  blockio@discard_granularity driver@discard_no_unref driver/iothreads disk@type=vhostvdpa encryption@format=luks-any
  os/shim loader@format nvram@format nvram@templateFormat table@type=raw table@type=rawset table@type=msdm
  features/ps2 features/ras features/async-teardown features/aia
  hyperv/emsr_bitmap hyperv/xmm_input tlbflush/direct tlbflush/extended
  cpu@deprecated_features topology@clusters maxphysaddr@limit iothread/poll
  target@memReserve target@dynamicMemslots
  devices/pstore devices/crypto panic@model=pvpanic watchdog@model=itco
  sound@model=virtio sound@multichannel sound/driver audio@type=pipewire
  driver@type=mtp filesystem/idmap binary/openfiles
  mac@currentAddress backend@type=default driver@model graphics@username graphics@passwd model@blob
  backend@debug backend/profile source@type=dir
  driver@dma_translation driver@xtsup driver@granule iommu@model=amd
  launchSecurity@type=sev-snp launchSecurity@type=tdx
  `
    .trim()
    .split(/\s+/)
)

/** Written all the same, as libvirt 11.3 does; 9.0 passes over attributes it does not know. */
const PASSED_OVER = ['topology@clusters', 'loader@format', 'nvram@format', 'nvram@templateFormat']
/** The watchdog of every q35 machine; migratable XML leaves out one that is as any guest's. */
const ITCO = 'watchdog@model=itco'

/** What of the element, and of what is in it, is newer. */
function newerIn(node: XmlElement, out = new Set<string>()): Set<string> {
  const attributes = Object.entries(node.attributes).flatMap(([name, value]) => [
    `${node.name}@${name}`,
    `${node.name}@${name}=${value}`
  ])
  for (const name of [...attributes, ...childElements(node).map(kid => `${node.name}/${kid.name}`)]) {
    if (NEWER.has(name)) out.add(name)
  }
  for (const kid of childElements(node)) newerIn(kid, out)
  return out
}

t.test('nothing newer than libvirt 9.0 is written that was not given', async t => {
  let accepted = 0
  for (const name of readdirSync(EXAMPLES).filter(name => name.endsWith('.xml'))) {
    const text = readFileSync(join(EXAMPLES, name), 'utf8')
    const context = testContext()
    const def = await loadDomain(text, async () => context).then(
      loaded => loaded.def,
      () => undefined
    )
    if (!def) continue
    accepted++
    const given = parseXml(text)
    const known = new Set([...newerIn(given), ...PASSED_OVER])
    const written = [...newerIn(parseXml(formatDomain(def, { secure: true })))]
    t.same(
      written.filter(one => !known.has(one) && one !== ITCO),
      [],
      name
    )
    if (def.devices.watchdogs.some(({ model, action }) => model !== 'itco' || action !== 'reset')) continue
    const migratable = [...newerIn(parseXml(formatMigratable(def, context)))]
    t.same(
      migratable.filter(one => !known.has(one)),
      [],
      `${name}, migratable`
    )
  }
  t.ok(accepted > 150, `${accepted} examples`)
})
