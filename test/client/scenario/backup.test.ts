// Checkpoints and backups: made, described anew, listed, shown and deleted; pushed and pulled, whole and since a checkpoint,
// with jobs, their results and what goes on beside them.
import t from 'tap'
import { guest, scenario } from '../../helper/scenario.ts'

// up to three programs at a time on a busy machine
t.setTimeout(600_000)

const disk = (target: string, file: string, format = 'qcow2') =>
  `<disk type='file' device='disk'><driver name='qemu' type='${format}'/><source file='$D/${file}'/>
    <target dev='${target}' bus='virtio'/></disk>`
const checkpoint = (name: string, disks = "<disk name='vda'/>", more = '') =>
  `<domaincheckpoint><name>${name}</name>${more}<disks>${disks}</disks></domaincheckpoint>`
const described = (name: string, parent = '') =>
  checkpoint(name, undefined, `<creationTime>1234</creationTime>${parent && `<parent><name>${parent}</name></parent>`}`)
const push = (store: string, more = '', format = 'raw') =>
  `<domainbackup>${more}<disks><disk name='vda' type='file'><driver type='${format}'/><target file='$D/${store}'/>
    </disk></disks></domainbackup>`
const since = (name: string) => `<incremental>${name}</incremental>`
const pull = (more = '', server = "transport='unix' socket='$D/nbd'") =>
  `<domainbackup mode='pull'>${more}<server ${server}/><disks><disk name='vda' type='file'>
    <scratch file='$D/scratch.qcow2'/></disk><disk name='vdb' type='file' exportname='second'/></disks></domainbackup>`

const times = (text: string) =>
  text
    .replace(/\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4}/g, 'TIME')
    .replace(/<creationTime>\d{5,}</g, '<creationTime>TIME<')
    .replace(/Time elapsed: .*/g, 'Time elapsed')
    .replace(/ index='\d+'/g, '')
    .replace(/(\.qcow2)\.\d+/g, '$1.SUFFIX')

await scenario({
  group: 'backup',
  files: {
    'g.xml': guest({ devices: disk('vdb', 'other.qcow2') + disk('vdc', 'raw.img', 'raw') }),
    'raw.img': '\0'.repeat(65536),
    'c1.xml': checkpoint('c1', "<disk name='vda'/><disk name='vdb'/>", '<description>first</description>'),
    'c2.xml': checkpoint('c2'),
    'c3.xml': checkpoint('c3', "<disk name='vda'/><disk name='vdb' checkpoint='no'/>"),
    'of-raw.xml': checkpoint('cr', "<disk name='vdc'/>"),
    'unknown.xml': checkpoint('cr', "<disk name='vdz'/>"),
    'twice.xml': checkpoint('cr', "<disk name='vda'/><disk name='vda'/>"),
    'empty.xml': checkpoint('cr', "<disk name='hdc'/>"),
    'bitmap.xml': checkpoint('cr', "<disk name='vda' bitmap='other'/>"),
    'old.xml': described('c9'),
    'below.xml': described('c8', 'c1'),
    'orphan.xml': described('c7', 'gone'),
    'own.xml': described('c7', 'c7'),
    'circle.xml': described('c1', 'c2'),
    'push.xml': push('full.raw'),
    'push2.xml': push('inc.qcow2', since('c1'), 'qcow2'),
    'reuse.xml': push('reused.qcow2', '', 'qcow2'),
    'gone.xml': push('no.qcow2', since('gone'), 'qcow2'),
    'all.xml': '<domainbackup/>',
    'none.xml': "<domainbackup><disks><disk name='vda' backup='no'/></disks></domainbackup>",
    'strange.xml': "<domainbackup><disks><disk name='vdz'/></disks></domainbackup>",
    'pull.xml': pull(),
    'pull2.xml': `<domainbackup mode='pull'>${since('c1')}<server transport='unix' socket='$D/nbd2'/><disks><disk name='vda' type='file' exportbitmap='marks'/></disks></domainbackup>`,
    'port.xml': pull('', "name='localhost'"),
    'tls.xml': pull('', "transport='unix' socket='$D/nbd3' tls='yes'"),
    'nowhere.xml': pull('', "transport='unix' socket='$D/not/there'"),
    'mode.xml': "<domainbackup><disks><disk name='vda' backupmode='incremental'/></disks></domainbackup>"
  },
  shim: 'g.xml',
  images: ['reused'],
  shown: [[/^(checkpoint-|backup-dumpxml|domjobinfo|event)/, times]]
})
