// Commands that save and restore guests: what is asked for each, and what is said.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { saveCommands } from '../../../src/client/commands/save.ts'
import { BOOM, checkRows, dir } from '../../helper/command-rows.ts'

// an editor with options is for the shell to take apart
process.env.VISUAL = 'sed -i s/old/new/'

const file = join(dir, 'x.xml')
writeFileSync(file, '<domain/>')
const dxml = '<domain/>'
const ok = (api: string) => ({ [api]: {} })
const xml = (api: string) => ({ [api]: { xml: '<domain>\n</domain>\n' } })

await checkRows(saveCommands, [
  ['save tiny /x', ok('virDomainSave'), ['virDomainSave {"to":"/x"}'], "\nDomain 'tiny' saved to /x\n"],
  [
    'save tiny /x',
    { virDomainSave: BOOM },
    ['virDomainSave {"to":"/x"}'],
    '',
    ["Failed to save domain 'tiny' to /x", 'it went wrong']
  ],
  [
    'save tiny /x --bypass-cache --paused',
    ok('virDomainSaveFlags'),
    ['virDomainSaveFlags {"to":"/x","flags":5}'],
    "\nDomain 'tiny' saved to /x\n"
  ],
  [
    `save tiny /x --xml ${file}`,
    ok('virDomainSaveFlags'),
    [`virDomainSaveFlags {"to":"/x","dxml":"${dxml}","flags":0}`],
    "\nDomain 'tiny' saved to /x\n"
  ],
  [
    'save tiny /x --image-format zstd --running',
    ok('virDomainSaveParams'),
    ['virDomainSaveParams {"params":{"file":"/x","image_format":"zstd"},"flags":2}'],
    "\nDomain 'tiny' saved to /x\n"
  ],
  [
    'managedsave tiny',
    ok('virDomainManagedSave'),
    ['virDomainManagedSave {"flags":0}'],
    "\nDomain 'tiny' state saved by libvirt\n"
  ],
  [
    'managedsave tiny --running',
    { virDomainManagedSave: BOOM },
    ['virDomainManagedSave {"flags":2}'],
    '',
    ["Failed to save domain 'tiny' state", 'it went wrong']
  ],
  [
    'managedsave-dumpxml Zed',
    xml('virDomainManagedSaveGetXMLDesc'),
    ['virDomainManagedSaveGetXMLDesc {"flags":0}'],
    '<domain>\n</domain>\n'
  ],
  [
    'managedsave-dumpxml Zed --security-info',
    xml('virDomainManagedSaveGetXMLDesc'),
    ['virDomainManagedSaveGetXMLDesc {"flags":1}'],
    '<domain>\n</domain>\n'
  ],
  [
    `managedsave-define Zed ${file} --paused`,
    ok('virDomainManagedSaveDefineXML'),
    [`virDomainManagedSaveDefineXML {"dxml":"${dxml}","flags":4}`],
    "Managed save state file of domain 'Zed' updated.\n"
  ],
  [
    `managedsave-define Zed ${file} --paused --running`,
    {},
    [],
    '',
    ['Options --running and --paused are mutually exclusive']
  ],
  ['restore /x', ok('virDomainRestore'), ['virDomainRestore {"from":"/x"}'], 'Domain restored from /x\n'],
  [
    'restore /x',
    { virDomainRestore: BOOM },
    ['virDomainRestore {"from":"/x"}'],
    '',
    ['Failed to restore domain from /x', 'it went wrong']
  ],
  [
    'restore /x --running --reset-nvram',
    ok('virDomainRestoreFlags'),
    ['virDomainRestoreFlags {"from":"/x","flags":10}'],
    'Domain restored from /x\n'
  ],
  [
    'restore /x --parallel-channels 3',
    ok('virDomainRestoreParams'),
    ['virDomainRestoreParams {"params":{"file":"/x","parallel.channels":3},"flags":0}'],
    'Domain restored from /x\n'
  ],
  ['restore', {}, [], '', ["command 'restore' requires <file> option"]],
  [
    'save-image-dumpxml /x',
    xml('virDomainSaveImageGetXMLDesc'),
    ['virDomainSaveImageGetXMLDesc {"file":"/x","flags":0}'],
    '<domain>\n</domain>\n'
  ],
  [
    `save-image-define /x ${file} --running`,
    ok('virDomainSaveImageDefineXML'),
    [`virDomainSaveImageDefineXML {"file":"/x","dxml":"${dxml}","flags":2}`],
    'State file /x updated.\n'
  ],
  [
    `save-image-define /x ${file}`,
    { virDomainSaveImageDefineXML: BOOM },
    [`virDomainSaveImageDefineXML {"file":"/x","dxml":"${dxml}","flags":0}`],
    '',
    ['Failed to update /x', 'it went wrong']
  ],
  [
    'save-image-edit /x',
    xml('virDomainSaveImageGetXMLDesc'),
    ['virDomainSaveImageGetXMLDesc {"file":"/x","flags":1}'],
    'Saved image /x XML configuration not changed.\n'
  ],
  [
    'save-image-edit /x --paused',
    { virDomainSaveImageGetXMLDesc: { xml: 'old' }, ...ok('virDomainSaveImageDefineXML') },
    [
      'virDomainSaveImageGetXMLDesc {"file":"/x","flags":1}',
      'virDomainSaveImageGetXMLDesc {"file":"/x","flags":1}',
      'virDomainSaveImageDefineXML {"file":"/x","dxml":"new","flags":4}'
    ],
    'State file /x edited.\n'
  ],
  [
    'managedsave-edit Zed',
    { virDomainManagedSaveGetXMLDesc: { xml: 'old' }, virDomainManagedSaveDefineXML: BOOM },
    [
      'virDomainManagedSaveGetXMLDesc {"flags":1}',
      'virDomainManagedSaveGetXMLDesc {"flags":1}',
      'virDomainManagedSaveDefineXML {"dxml":"new","flags":0}'
    ],
    '',
    ['it went wrong']
  ]
])
