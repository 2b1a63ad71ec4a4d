import t from 'tap'
import { inputFields } from '../../../src/conf/devices/input.ts'
import { iommuFields } from '../../../src/conf/devices/iommu.ts'
import { memballoonFields } from '../../../src/conf/devices/memballoon.ts'
import { rngFields } from '../../../src/conf/devices/rng.ts'
import { shmemFields } from '../../../src/conf/devices/shmem.ts'
import { smartcardFields } from '../../../src/conf/devices/smartcard.ts'
import { tpmFields } from '../../../src/conf/devices/tpm.ts'
import { vsockFields } from '../../../src/conf/devices/vsock.ts'
import { watchdogFields } from '../../../src/conf/devices/watchdog.ts'
import { formatDomain } from '../../../src/conf/domain-xml.ts'
import type { Fields } from '../../../src/conf/element.ts'
import { define, errorOf, throughTable } from '../../helper/definition.ts'

t.test('written as read, or as libvirt writes it', async t => {
  const cases: [Fields, string, string?][] = [
    [
      rngFields,
      "<rng model='virtio'><rate bytes='9' period='5'/><backend model='random'>/dev/x</backend><driver iommu='on'/></rng>"
    ],
    [
      rngFields,
      "<rng model='virtio'><rate bytes='0' period='x'/><backend model='builtin'/></rng>",
      "<rng model='virtio'><backend model='builtin'/></rng>"
    ],
    [
      rngFields,
      "<rng model='virtio'><backend model='egd' type='unix'><source mode='connect' path='/a'/></backend></rng>"
    ],
    [
      memballoonFields,
      "<memballoon model='virtio' autodeflate='on'><stats period='0x10'/><driver ats='on'/></memballoon>",
      "<memballoon model='virtio' autodeflate='on'><stats period='16'/><driver ats='on'/></memballoon>"
    ],
    [memballoonFields, "<memballoon model='none'><stats period='-4'/></memballoon>", "<memballoon model='none'/>"],
    [
      inputFields,
      "<input type='evdev'><source dev='//a//b/' grab='all'/></input>",
      "<input type='evdev'><source dev='//a/b' grab='all'/></input>"
    ],
    [inputFields, "<input type='mouse' bus='usb'><source evdev='/a'/></input>", "<input type='mouse' bus='usb'/>"],
    [
      shmemFields,
      "<shmem name='a' role='peer'><size unit='KiB'>4096</size></shmem>",
      "<shmem name='a'><model type='ivshmem'/><size unit='M'>4</size></shmem>"
    ],
    [
      shmemFields,
      "<shmem name='a' role='peer'><model type='ivshmem-doorbell'/><server/><msi vectors='0x4'/></shmem>",
      "<shmem name='a' role='peer'><model type='ivshmem-doorbell'/><server/><msi vectors='4'/></shmem>"
    ],
    [
      smartcardFields,
      "<smartcard mode='host-certificates'><certificate>a</certificate><certificate>b</certificate><certificate>c</certificate><database>/d</database></smartcard>"
    ],
    [smartcardFields, "<smartcard mode='passthrough' type='spicevmc'/>"],
    [
      tpmFields,
      "<tpm model='tpm-crb'><backend type='emulator' version='2.0' persistent_state='yes'><active_pcr_banks><sha512/><sha1/></active_pcr_banks></backend></tpm>",
      "<tpm model='tpm-crb'><backend type='emulator' version='2.0' persistent_state='yes'><active_pcr_banks><sha1/><sha512/></active_pcr_banks></backend></tpm>"
    ],
    [
      tpmFields,
      "<tpm><backend type='passthrough'/></tpm>",
      "<tpm><backend type='passthrough'><device path='/dev/tpm0'/></backend></tpm>"
    ],
    [tpmFields, "<tpm><backend type='external'><source type='unix' mode='connect' path='/a'/></backend></tpm>"],
    [vsockFields, "<vsock model='default'><cid address='5'/></vsock>", "<vsock><cid address='5'/></vsock>"],
    [
      iommuFields,
      "<iommu model='intel'><driver aw_bits='0' eim='on' intremap='on'/></iommu>",
      "<iommu model='intel'><driver intremap='on' eim='on'/></iommu>"
    ]
  ]
  for (const [fields, xml, expected] of cases) t.equal(throughTable(fields, xml), expected ?? xml)
})

t.test('refuses values with libvirt’s words', async t => {
  const cases: [Fields, string, string][] = [
    [rngFields, '<rng/>', "Missing required attribute 'model' in element 'rng'"],
    [rngFields, "<rng model='x'/>", "Invalid value for attribute 'model' in element 'rng': 'x'."],
    [rngFields, "<rng model='virtio'><rate bytes='x'/></rng>", 'invalid RNG rate bytes value'],
    [rngFields, "<rng model='virtio'><backend model='egd'/></rng>", 'missing EGD backend type'],
    [watchdogFields, '<watchdog/>', "Missing required attribute 'model' in element 'watchdog'"],
    [watchdogFields, "<watchdog model='tco'/>", "Invalid value for attribute 'model' in element 'watchdog': 'tco'."],
    [inputFields, "<input type='mouse' bus='adb'/>", "unknown input bus type 'adb'"],
    [inputFields, "<input type='passthrough'><source/></input>", 'Missing evdev path for input device'],
    [shmemFields, "<shmem name='a'><msi/></shmem>", 'msi option is only supported with a server'],
    [shmemFields, "<shmem name='a'><size unit='q'>1</size></shmem>", "unknown suffix 'q'"],
    [smartcardFields, "<smartcard mode='passthrough'/>", 'passthrough mode requires a character device type attribute'],
    [smartcardFields, "<smartcard mode='host-certificates'/>", 'needs exactly three certificates'],
    [tpmFields, '<tpm/>', 'missing TPM device backend'],
    [
      tpmFields,
      "<tpm><backend type='emulator'><active_pcr_banks><md5/></active_pcr_banks></backend></tpm>",
      "Unsupported PCR banks 'md5'"
    ],
    [tpmFields, "<tpm><backend type='external'/></tpm>", 'missing external TPM backend source type'],
    [vsockFields, "<vsock><cid address='0'/></vsock>", 'Zero is not permitted']
  ]
  for (const [fields, xml, error] of cases) t.match(await errorOf(() => throughTable(fields, xml)), error)
})

t.test('checks across a definition', async t => {
  for (const [devices, error] of [
    ["<watchdog model='ib700'/><watchdog model='ib700'/>", "domain can only have one watchdog with model 'ib700'"],
    ["<memballoon model='none'/><memballoon model='none'/>", 'only a single memory balloon device is supported'],
    ["<panic/><panic model='isa'/>", "Multiple panic devices with model 'isa'"],
    ["<panic model='s390'/>", "only S390 guests support panic device of model 's390'"],
    ["<vsock><cid address='2'/></vsock>", 'guest CIDs must be >= 3'],
    ["<input type='tablet' bus='ps2'/>", 'ps2 bus does not support tablet input device'],
    ["<input type='mouse' model='virtio'/>", "only bus 'virtio' is supported for input model 'virtio'"],
    ["<controller type='usb' model='none'/><input type='tablet' bus='usb'/>", "Can't add USB input device"],
    [
      "<controller type='usb' model='none'/><input type='tablet'/>",
      'USB is disabled for this domain, but USB devices are present in the domain XML'
    ],
    ["<shmem name='..'><model type='ivshmem-plain'/></shmem>", "shmem name cannot be equal to '..'"],
    ["<iommu model='intel'><driver intremap='on'/></iommu>", "'intel' is only supported with Q35 machines"],
    ['<nvram/>', 'nvram device is only supported for PPC64'],
    [
      "<tpm><backend type='passthrough'/></tpm><tpm><backend type='passthrough'/></tpm>",
      'only a single TPM non-proxy device is supported'
    ]
  ] as const) {
    t.match(await errorOf(() => define(devices)), error)
  }
})

t.test('keyboards of ours are kept from older libvirt', async t => {
  const def = await define("<input type='keyboard' bus='virtio'/>")
  t.match(formatDomain(def), "<input type='keyboard' bus='ps2'/>")
  const migratable = formatDomain(def, { migratable: true })
  t.notMatch(migratable, "<input type='keyboard' bus='ps2'/>")
  t.match(migratable, "<input type='keyboard' bus='virtio'>")
})

t.test('<crypto> has a type, a model and a backend', async t => {
  const of = (attributes: string) => define(`<crypto${attributes}><backend model='builtin'/></crypto>`)
  t.match(
    formatDomain(await of(" model='virtio' type='qemu'")).replace(/\n\s*/g, ''),
    "<crypto model='virtio' type='qemu'><backend model='builtin'/><address"
  )
  t.match(await errorOf(() => of(" model='virtio'")), "Missing required attribute 'type' in element 'crypto'")
})
