// <os><type arch machine>: kind of guest, architecture and machine (virDomainDefParseCaps).
import { attr, custom, type Field } from '../element.ts'
import { errorsFrom } from '../error.ts'
import { enumOf, string } from '../scalar.ts'
import { element, firstChild, textOf, xpathAttribute } from '../xml.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

const guestKind = enumOf('hvm', 'xen', 'linux', 'exe', 'uml', 'xenpvh')

/** Every architecture libvirt has a name for; QEMU's binaries call some of them otherwise. */
export const architecture = enumOf(
  'alpha',
  'armv6l',
  'armv7l',
  'armv7b',
  'aarch64',
  'cris',
  'i686',
  'ia64',
  'lm32',
  'loongarch64',
  'm68k',
  'microblaze',
  'microblazeel',
  'mips',
  'mipsel',
  'mips64',
  'mips64el',
  'openrisc',
  'parisc',
  'parisc64',
  'ppc',
  'ppcle',
  'ppc64',
  'ppc64le',
  'ppcemb',
  'riscv32',
  'riscv64',
  's390',
  's390x',
  'sh4',
  'sh4eb',
  'sparc',
  'sparc64',
  'unicore32',
  'x86_64',
  'xtensa',
  'xtensaeb'
)

export interface OsTypeDef {
  type: string
  arch?: string
  machine?: string
}

/** The `<type>` child of `<os>`. */
export const osType: Field<OsTypeDef> = custom<OsTypeDef>({
  names: [['type', { arch: attr('arch', architecture), machine: attr('machine', string) }]],
  parse(node) {
    const found = firstChild(node, 'type')
    const type = found ? textOf(found) : ''
    if (!found || type === '') throw fail('VIR_ERR_XML_ERROR', 'an os <type> must be specified')
    if (guestKind.parse(type) === undefined) throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `unknown OS type '${type}'`)
    const arch = xpathAttribute(node, 'type', 'arch')
    const machine = xpathAttribute(node, 'type', 'machine')
    if (arch && architecture.parse(arch) === undefined) {
      throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `Unknown architecture ${arch}`)
    }
    return { type, ...(arch && { arch }), ...(machine && { machine }) }
  },
  format({ type, arch, machine }, into) {
    into.children.push(element('type', { arch, machine }, [type]))
  }
})
