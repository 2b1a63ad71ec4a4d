// Checkpoints and backups: what is asked, and how it is printed.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { backups, checkpoints } from '../../../src/client/commands/checkpoint.ts'
import { BOOM, checkRows, dir } from '../../helper/command-rows.ts'
import { Refused } from '../../helper/stand-in-api.ts'

process.env.VISUAL = 'sed -i s/old/new/'

const file = (name: string, text: string) => {
  writeFileSync(join(dir, name), text)
  return join(dir, name)
}
const XML = file('c.xml', '<domaincheckpoint><name>c</name></domaincheckpoint>')
const BACKUP = file('b.xml', '<domainbackup mode="pull"/>')
const handle = (name: string) => ({ name, dom: { name: 'tiny', uuid: '', id: 3 } })
const FOUND = { virDomainCheckpointLookupByName: { checkpoint: handle('b') } }
const LOOKUP = 'virDomainCheckpointLookupByName {"name":"b"}'
const ROOT = new Refused("checkpoint 'b' does not have a parent", 103)
const TWO = {
  virDomainListAllCheckpoints: { checkpoints: [handle('b'), handle('A')] },
  virDomainCheckpointGetXMLDesc: {
    xml: '<domaincheckpoint><parent><name>z</name></parent><creationTime>0</creationTime></domaincheckpoint>'
  }
}
const xmlOf = (name: string, flags = 0) =>
  `virDomainCheckpointGetXMLDesc {"checkpoint":{"name":"${name}"},"flags":${flags}}`
const EDITED = { ...FOUND, virDomainCheckpointGetXMLDesc: { xml: 'old' } }
const editing = [LOOKUP, xmlOf('b', 1), xmlOf('b', 1), 'virDomainCheckpointCreateXML {"xmlDesc":"new","flags":1}']

await checkRows(checkpoints, [
  [
    'checkpoint-edit tiny b',
    { ...FOUND, virDomainCheckpointGetXMLDesc: { xml: 'same' } },
    [LOOKUP, xmlOf('b', 1)],
    'Checkpoint b XML configuration not changed.\n'
  ],
  [
    'checkpoint-edit tiny b',
    { ...EDITED, virDomainCheckpointCreateXML: { checkpoint: handle('b') } },
    editing,
    'Checkpoint b edited.\n'
  ],
  [
    'checkpoint-edit tiny b',
    { ...EDITED, virDomainCheckpointCreateXML: { checkpoint: handle('c') }, virDomainCheckpointDelete: {} },
    [...editing, 'virDomainCheckpointDelete {"checkpoint":{"name":"c"},"flags":2}'],
    '',
    ['Cannot rename checkpoint b to c', 'Failed to update b']
  ],
  [
    'checkpoint-edit tiny b',
    { ...EDITED, virDomainCheckpointCreateXML: BOOM },
    editing,
    '',
    ['it went wrong', 'Failed to update b']
  ],
  [
    'checkpoint-list tiny --no-leaves --roots',
    { virDomainListAllCheckpoints: { checkpoints: [] } },
    ['virDomainListAllCheckpoints {"flags":9}'],
    ' Name   Creation Time\n---\n'
  ],
  [
    'checkpoint-list tiny --parent --name',
    TWO,
    ['virDomainListAllCheckpoints {"flags":0}', xmlOf('A'), xmlOf('b')],
    'A\tz\nb\tz\n'
  ],
  [
    'checkpoint-list tiny --tree --from b',
    {
      ...FOUND,
      virDomainCheckpointListAllChildren: { checkpoints: [handle('c')] },
      virDomainCheckpointGetParent: { parent: handle('b') }
    },
    [
      LOOKUP,
      'virDomainCheckpointListAllChildren {"checkpoint":{"name":"b"},"flags":0}',
      'virDomainCheckpointGetParent {"checkpoint":{"name":"c"}}'
    ],
    'b\n  |\n  +- c\n    \n'
  ],
  [
    'checkpoint-list tiny --from gone',
    { virDomainCheckpointLookupByName: BOOM },
    ['virDomainCheckpointLookupByName {"name":"gone"}'],
    '',
    ['it went wrong']
  ],
  ['checkpoint-list tiny --descendants', {}, [], '', ['--descendants requires --from']],
  [
    'checkpoint-info tiny b',
    {
      ...FOUND,
      virDomainCheckpointGetParent: ROOT,
      virDomainCheckpointListAllChildren: { checkpoints: [handle('c')] }
    },
    [
      LOOKUP,
      'virDomainCheckpointGetParent {"checkpoint":{"name":"b"}}',
      'virDomainCheckpointListAllChildren {"checkpoint":{"name":"b"},"flags":0}',
      'virDomainCheckpointListAllChildren {"checkpoint":{"name":"b"},"flags":1}'
    ],
    'Name:           b\nDomain:         tiny\nParent:         -\nChildren:       1\nDescendants:    1\n'
  ],
  [
    'checkpoint-parent tiny b',
    { ...FOUND, virDomainCheckpointGetParent: ROOT },
    [LOOKUP, 'virDomainCheckpointGetParent {"checkpoint":{"name":"b"}}'],
    '',
    ["checkpoint 'b' has no parent"]
  ],
  [
    'checkpoint-dumpxml tiny b --size --no-domain --security-info',
    { ...FOUND, virDomainCheckpointGetXMLDesc: { xml: '<domaincheckpoint/>\n' } },
    [LOOKUP, 'virDomainCheckpointGetXMLDesc {"checkpoint":{"name":"b"},"flags":7}'],
    '<domaincheckpoint/>\n'
  ],
  [
    'checkpoint-delete tiny b --children-only',
    { ...FOUND, virDomainCheckpointDelete: {} },
    [LOOKUP, 'virDomainCheckpointDelete {"checkpoint":{"name":"b"},"flags":4}'],
    'Domain checkpoint b children deleted\n'
  ],
  [
    'checkpoint-delete tiny b --metadata',
    { ...FOUND, virDomainCheckpointDelete: BOOM },
    [LOOKUP, 'virDomainCheckpointDelete {"checkpoint":{"name":"b"},"flags":2}'],
    '',
    ['Failed to delete checkpoint b', 'it went wrong']
  ],
  [
    `checkpoint-create tiny ${XML} --redefine --redefine-validate`,
    { virDomainCheckpointCreateXML: { checkpoint: handle('c') } },
    ['virDomainCheckpointCreateXML {"xmlDesc":"<domaincheckpoint><name>c</name></domaincheckpoint>","flags":5}'],
    `Domain checkpoint c created from '${XML}'`
  ],
  [
    `checkpoint-create tiny ${XML} --redefine-validate`,
    {},
    [],
    '',
    ['Option --redefine is required by option --redefine-validate']
  ],
  [
    'checkpoint-create-as tiny c words --print-xml vda,checkpoint=bitmap vdb,bitmap=x',
    {},
    [],
    `<domaincheckpoint>
  <name>c</name>
  <description>words</description>
  <disks>
    <disk name='vda' checkpoint='bitmap'/>
    <disk name='vdb' bitmap='x'/>
  </disks>
</domaincheckpoint>

`
  ],
  [
    'checkpoint-create-as tiny --quiesce',
    { virDomainCheckpointCreateXML: BOOM },
    ['virDomainCheckpointCreateXML {"xmlDesc":"<domaincheckpoint/>\\n","flags":2}'],
    '',
    ['it went wrong']
  ],
  ['checkpoint-create-as tiny --diskspec vda,size=3', {}, [], '', ['unable to parse diskspec: vda,size=3']]
])

await checkRows(backups, [
  [
    `backup-begin tiny ${BACKUP} --checkpointxml ${XML} --reuse-external`,
    { virDomainBackupBegin: {} },
    [
      'virDomainBackupBegin {"backupXML":"<domainbackup mode=\\"pull\\"/>","checkpointXML":"<domaincheckpoint><name>c</name></domaincheckpoint>","flags":1}'
    ],
    'Backup started\n'
  ],
  [
    'backup-begin tiny',
    { virDomainBackupBegin: BOOM },
    ['virDomainBackupBegin {"backupXML":"<domainbackup/>","flags":0}'],
    '',
    ['it went wrong']
  ],
  [
    'backup-dumpxml tiny',
    { virDomainBackupGetXMLDesc: { xml: '<domainbackup/>\n' } },
    ['virDomainBackupGetXMLDesc {"flags":0}'],
    '<domainbackup/>\n'
  ]
])
