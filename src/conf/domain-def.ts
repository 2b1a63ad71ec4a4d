// The typed form of <domain>: one table of its elements, in the order libvirt writes them.
import { type Devices, devices, parseDevices } from './devices/index.ts'
import { blkiotuneFields } from './domain/blkiotune.ts'
import { clockFields } from './domain/clock.ts'
import { cpuFields } from './domain/cpu.ts'
import { cputuneFields } from './domain/cputune.ts'
import { eventFields } from './domain/events.ts'
import { featuresFields } from './domain/features.ts'
import { identityFields } from './domain/identity.ts'
import { idmapFields } from './domain/idmap.ts'
import { iothreadFields } from './domain/iothreads.ts'
import { keywrapFields } from './domain/keywrap.ts'
import { launchSecurityFields } from './domain/launch-security.ts'
import { memoryFields } from './domain/memory.ts'
import { memoryBackingFields } from './domain/memory-backing.ts'
import { memtuneFields } from './domain/memtune.ts'
import { metadataFields } from './domain/metadata.ts'
import { numatuneFields } from './domain/numatune.ts'
import { osBoot, osFields, osKind } from './domain/os.ts'
import { perfFields } from './domain/perf.ts'
import { pmFields } from './domain/pm.ts'
import { qemuNamespaceFields } from './domain/qemu-namespace.ts'
import { resourceFields } from './domain/resource.ts'
import { seclabelFields } from './domain/seclabel.ts'
import { sysinfoFields } from './domain/sysinfo.ts'
import { throttlegroupFields } from './domain/throttlegroups.ts'
import { vcpuFields } from './domain/vcpu.ts'
import { attr, childText, custom, type Def, type Fields, liveOnly, readAhead, readFirst, required } from './element.ts'
import { errorsFrom } from './error.ts'
import { enumOf, int, type Scalar, string } from './scalar.ts'
import { firstChild, textOf } from './xml.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

/** The hypervisor of a guest, `type` of `<domain>` (virDomainVirtType). */
export const virtType = enumOf(
  'none',
  'qemu',
  'kqemu',
  'kvm',
  'xen',
  'lxc',
  'uml',
  'openvz',
  'test',
  'vmware',
  'hyperv',
  'vbox',
  'phyp',
  'parallels',
  'bhyve',
  'vz',
  'hvf'
)
/** The number of a running guest. */
const domainId: Scalar<number> = {
  ...int,
  parse(text) {
    const id = int.parse(text)
    return id !== undefined && id >= 0 ? id : undefined
  }
}

export type VirtType = (typeof virtType.values)[number]

export const domainFields = {
  ...identityFields,
  type: custom<VirtType>({
    ...required(attr('type', virtType)),
    parse(node) {
      const type = node.attributes.type
      if (!type) throw fail('VIR_ERR_INTERNAL_ERROR', 'missing domain type attribute')
      const known = virtType.parse(type)
      if (known === undefined) throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `invalid domain type ${type}`)
      return known
    }
  }),
  id: liveOnly(attr('id', domainId)),
  title: custom<string | undefined>({
    ...childText('title', string),
    parse(node) {
      const found = firstChild(node, 'title')
      const title = found && textOf(found)
      if (title?.includes('\n')) throw fail('VIR_ERR_XML_ERROR', "Domain title can't contain newlines")
      return title || undefined
    }
  }),
  description: childText('description', string),
  ...metadataFields,
  ...memoryFields,
  ...blkiotuneFields,
  ...memtuneFields,
  ...memoryBackingFields,
  ...vcpuFields,
  ...iothreadFields,
  ...throttlegroupFields,
  ...cputuneFields,
  ...numatuneFields,
  ...resourceFields,
  ...sysinfoFields,
  ...osFields,
  ...idmapFields,
  ...featuresFields,
  ...cpuFields,
  ...clockFields,
  ...eventFields,
  ...pmFields,
  ...perfFields,
  devices,
  ...seclabelFields,
  ...keywrapFields,
  ...launchSecurityFields,
  ...qemuNamespaceFields
} satisfies Fields

const keysOf = <F extends Fields>(fields: F) => Object.keys(fields) as (keyof F & string)[]

/** The table for reading: libvirt reads parts of some elements before the rest of them. */
const readInParts = {
  ...domainFields,
  osKind: readAhead(osKind),
  osBoot: readAhead(osBoot),
  devices: custom<Devices>({
    ...devices,
    parse: (node, context) =>
      parseDevices(node, context, {
        memories: () => launchSecurityFields.launchSecurity.parse(node, context)
      })
  })
} satisfies Fields

/** The same in the order libvirt reads them: with several errors, the first is the one told (virDomainDefParseXML). */
export const domainFieldsAsRead = readFirst(
  readInParts,
  ...keysOf(identityFields),
  'type',
  'osKind',
  'title',
  ...keysOf(seclabelFields),
  'memoryKiB',
  'currentMemoryKiB',
  'maxMemory',
  'dumpCore',
  ...keysOf(memoryBackingFields),
  ...keysOf(blkiotuneFields),
  ...keysOf(memtuneFields),
  ...keysOf(vcpuFields),
  ...keysOf(iothreadFields),
  ...keysOf(cputuneFields),
  ...keysOf(cpuFields),
  ...keysOf(numatuneFields),
  ...keysOf(resourceFields),
  ...keysOf(featuresFields),
  'onReboot',
  'onPoweroff',
  'onCrash',
  'onLockFailure',
  ...keysOf(pmFields),
  ...keysOf(perfFields),
  ...keysOf(clockFields),
  'osBoot',
  ...keysOf(throttlegroupFields),
  'devices',
  ...keysOf(idmapFields),
  ...keysOf(sysinfoFields),
  'os',
  ...keysOf(keywrapFields)
)

/** A whole domain definition. */
export interface DomainDef extends Def<typeof domainFields> {}
