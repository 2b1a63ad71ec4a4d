import t from 'tap'
import type { Capability } from '../../../../src/drivers/qemu/capabilities/signs.ts'
import { argvOf, errorOf, type GuestOptions } from '../../../helper/definition.ts'

/** The arguments that name one of these, places on buses left out. */
async function argsOf(devices: string, names: RegExp, options: GuestOptions = {}): Promise<string[]> {
  return (await argvOf(devices, options))
    .filter(line => names.test(line))
    .map(line => line.replace(/,"bus":"[^"]*","(addr|port)":"[^"]*"/, ''))
}

t.test('devices', async t => {
  for (const [devices, names, expected] of [
    [
      "<rng model='virtio'><rate bytes='9'/><backend model='random'/></rng>",
      /rng/,
      [
        '-object {"qom-type":"rng-random","id":"objrng0","filename":"/dev/random"}',
        '-device {"driver":"virtio-rng-pci","rng":"objrng0","id":"rng0","max-bytes":9,"period":1000}'
      ]
    ],
    [
      "<rng model='virtio'><backend model='egd' type='null'/></rng>",
      /rng/,
      [
        '-chardev null,id=charrng0',
        '-object {"qom-type":"rng-egd","id":"objrng0","chardev":"charrng0"}',
        '-device {"driver":"virtio-rng-pci","rng":"objrng0","id":"rng0"}'
      ]
    ],
    [
      "<watchdog model='i6300esb' action='dump'/>",
      /watchdog/,
      ['-device {"driver":"i6300esb","id":"watchdog0"}', '-watchdog-action pause']
    ],
    [
      "<panic><address type='isa' iobase='0x505'/></panic><panic model='hyperv'/>",
      /pvpanic/,
      ['-device {"driver":"pvpanic","ioport":1285}']
    ],
    [
      "<memballoon model='virtio-transitional' autodeflate='off' freePageReporting='on'/>",
      /balloon/,
      [
        '-device {"driver":"virtio-balloon-pci-transitional","id":"balloon0","deflate-on-oom":false,"free-page-reporting":true}'
      ]
    ],
    ["<memballoon model='none'/>", /balloon/, []],
    [
      "<vsock><cid address='7'/><driver packed='on'/></vsock>",
      /vsock/,
      ['-device {"driver":"vhost-vsock-pci","packed":true,"id":"vsock0","guest-cid":7,"vhostfd":"-1"}']
    ],
    [
      "<input type='evdev'><source dev='/e' grab='all' repeat='off'/></input><input type='passthrough'><source evdev='/f'/></input><input type='tablet'/>",
      /"input\d/,
      [
        '-object {"qom-type":"input-linux","id":"input0","evdev":"/e","repeat":false,"grab_all":true}',
        '-device {"driver":"virtio-input-host-pci","id":"input1","evdev":"/f"}',
        '-device {"driver":"usb-tablet","id":"input2"}'
      ]
    ],
    [
      "<redirdev type='pty'><boot order='1'/></redirdev><redirfilter><usbdev class='8' version='2.56' allow='yes'/><usbdev allow='no'/></redirfilter>",
      /redir/,
      [
        '-chardev pty,id=charredir0',
        '-device {"driver":"usb-redir","chardev":"charredir0","id":"redir0","filter":"0x08:-1:-1:0x0256:1|-1:-1:-1:-1:0","bootindex":1}'
      ]
    ],
    [
      "<smartcard mode='passthrough' type='null'/>",
      /smartcard/,
      [
        '-chardev null,id=charsmartcard0',
        '-device {"driver":"ccid-card-passthru","chardev":"charsmartcard0","id":"smartcard0","bus":"ccid0.0"}'
      ]
    ],
    [
      "<shmem name='a' role='master'><model type='ivshmem-plain'/></shmem><shmem name='b'><model type='ivshmem-doorbell'/><server/></shmem>",
      /shmem/,
      [
        '-object {"qom-type":"memory-backend-file","id":"shmmem-shmem0","mem-path":"/dev/shm/a","size":4194304,"share":true}',
        '-device {"driver":"ivshmem-plain","id":"shmem0","memdev":"shmmem-shmem0","master":"on"}',
        '-device {"driver":"ivshmem-doorbell","id":"shmem1","chardev":"charshmem1","ioeventfd":true}',
        '-chardev socket,id=charshmem1,path=/var/lib/libvirt/shmem-b-sock'
      ]
    ],
    [
      "<tpm><backend type='passthrough'><device path='/dev/null'/></backend></tpm>",
      /tpm/,
      [
        '-add-fd set=0,fd=25,opaque=tpm0-tpm',
        '-add-fd set=1,fd=26,opaque=tpm0-cancel',
        '-tpmdev passthrough,id=tpm-tpm0,path=/dev/fdset/0,cancel-path=/dev/fdset/1',
        '-device {"driver":"tpm-tis","tpmdev":"tpm-tpm0","id":"tpm0"}'
      ]
    ]
  ] as const) {
    t.same(await argsOf(devices, names), expected)
  }
})

t.test('an IOMMU comes before what it serves', async t => {
  const devices = "<iommu model='intel'><driver intremap='on' caching_mode='off' aw_bits='39'/></iommu>"
  const options = { machine: 'q35', outside: "<features><acpi/><ioapic driver='qemu'/></features>" }
  t.same(
    await argsOf(devices, /-device/, options).then(([first]) => first),
    '-device {"driver":"intel-iommu","id":"iommu0","intremap":"on","caching-mode":false,"aw-bits":39}'
  )
})

t.test('what QEMU lacks, in libvirt’s words', async t => {
  for (const [devices, missing, error] of [
    [
      "<rng model='virtio'><backend model='builtin'/></rng>",
      'rng-builtin',
      "this qemu doesn't support the rng-builtin backend"
    ],
    [
      "<rng model='virtio'><backend model='random'/></rng>",
      'virtio-rng',
      "domain configuration does not support rng model 'virtio'"
    ],
    ['<panic/>', 'pvpanic', 'the QEMU binary does not support the ISA panic device'],
    [
      "<memballoon model='virtio' autodeflate='on'/>",
      'virtio-balloon-pci.deflate-on-oom',
      'deflate-on-oom is not supported'
    ],
    ['<vsock/>', 'vhost-vsock', 'vsock device is not supported with this QEMU binary'],
    ["<input type='keyboard' bus='usb'/>", 'usb-kbd', 'usb keyboard is not supported by this QEMU binary'],
    ["<input type='tablet' bus='virtio'/>", 'virtio-tablet', 'virtio-tablet is not supported by this QEMU binary'],
    ["<redirdev type='pty'/>", 'usb-redir', 'USB redirection is not supported by this version of QEMU'],
    ["<smartcard mode='host'/>", 'ccid-emulated', 'this QEMU binary lacks smartcard host mode support'],
    [
      "<shmem name='a'><model type='ivshmem-plain'/></shmem>",
      'ivshmem-plain',
      "shmem model 'ivshmem-plain' is not supported by this QEMU binary"
    ],
    ["<tpm model='tpm-crb'><backend type='passthrough'/></tpm>", 'tpm-crb', 'does not support TPM model tpm-crb']
  ] satisfies [string, Capability, string][]) {
    t.match(await errorOf(() => argvOf(devices, { missing: [missing] })), error)
  }
})

t.test('a real start opens what QEMU inherits', async t => {
  const files = { open: (path: string) => (path === '/dev/vhost-vsock' ? 3 : undefined), tap: () => undefined }
  const [vsock] = await argsOf('<vsock/>', /vsock/, { pretend: false, files })
  t.match(vsock, '"vhostfd":"3"')
  t.match(vsock, /"guest-cid":[1-9]\d*/, 'an id of our choosing')
  const tpm = "<tpm><backend type='passthrough'/></tpm>"
  t.match(await errorOf(() => argvOf(tpm, { pretend: false, files })), 'Could not open TPM device /dev/tpm0')
})

t.test('IOMMUs beside Intel’s', async t => {
  const options = { machine: 'q35', outside: '<features><acpi/><apic/></features>' }
  const iommu = (model: string, driver = '', inside = '') =>
    `<iommu model='${model}'><driver${driver}>${inside}</driver></iommu>`
  for (const [devices, expected] of [
    [
      iommu('amd', " intremap='on' iotlb='off' passthrough='on' xtsup='off'"),
      [
        '-device {"driver":"AMDVI-PCI","id":"iommu0"}',
        '-device {"driver":"amd-iommu","pci-id":"iommu0","intremap":"on","pt":true,"xtsup":false,"device-iotlb":false}'
      ]
    ],
    [
      iommu('virtio', " aw_bits='48'", "<granule size='65536' unit='B'/>"),
      ['-device {"driver":"virtio-iommu","id":"iommu0","aw-bits":48,"granule":"64k"}']
    ],
    [
      iommu('virtio', '', "<granule mode='host'/>"),
      ['-device {"driver":"virtio-iommu","id":"iommu0","granule":"host"}']
    ]
  ] as const) {
    t.same(await argsOf(devices, /iommu0/, options), expected, devices)
  }
  for (const [devices, error, missing] of [
    [iommu('amd', " eim='on'"), /XML error: iommu model 'amd' doesn't support some additional attributes$/],
    [iommu('intel', " xtsup='on'"), /XML error: iommu model 'intel' doesn't support some additional attributes$/],
    [iommu('virtio', " eim='on'"), /XML error: iommu model 'virtio' doesn't support additional attributes$/],
    [iommu('virtio', '', "<granule size='4' mode='host'/>"), /'mode' and 'size' can't be specified at the same time/],
    [iommu('virtio', '', "<granule size='3'/>"), /unsupported granule size. Supported values are 4, 8, 16 and 64 KiB$/],
    ["<iommu model='amd'><address type='usb' port='1'/></iommu>", /IOMMU device: 'amd' needs a PCI address$/],
    ["<iommu model='amd'/>", /'amd' is not supported with this QEMU binary$/, ['amd-iommu.pci-id']]
  ] as [string, RegExp, Capability[]?][]) {
    t.match(await errorOf(() => argvOf(devices, { ...options, missing: missing ?? [] })), error, devices)
  }
  t.match(await errorOf(() => argvOf(iommu('amd'))), /'amd' is only supported with Q35 machines$/)
})
