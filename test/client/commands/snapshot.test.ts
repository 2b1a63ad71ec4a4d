// Commands on snapshots.
import { snapshots } from '../../../src/client/commands/snapshot.ts'
import { BOOM, checkRows } from '../../helper/command-rows.ts'
import { Refused } from '../../helper/stand-in-api.ts'

process.env.VISUAL = 'sed -i s/old/new/'

const NONE = { virDomainListAllSnapshots: { snapshots: [] } }
const all = (flags: number) => [`virDomainListAllSnapshots {"flags":${flags}}`]

const XML = `<domainsnapshot><name>two</name><state>disk-snapshot</state><parent><name>one</name></parent>
<creationTime>0</creationTime><memory snapshot='no'/><disks><disk name='vda' snapshot='external'/></disks></domainsnapshot>`
const snap = { name: 'two' }
const SOME = {
  virDomainSnapshotLookupByName: { snap },
  virDomainSnapshotCurrent: { snap },
  virDomainHasCurrentSnapshot: { result: 1 },
  virDomainSnapshotGetXMLDesc: ({ snap }: Record<string, unknown>) => ({
    xml: (snap as { name: string }).name === 'one' ? '<domainsnapshot><state>running</state></domainsnapshot>' : XML
  }),
  virDomainSnapshotCreateXML: { snap },
  virDomainListAllSnapshots: { snapshots: [{ name: 'two' }, { name: 'one' }] },
  virDomainSnapshotListAllChildren: { snapshots: [{ name: 'two' }] },
  virDomainSnapshotNumChildren: { num: 3 },
  virDomainSnapshotIsCurrent: { current: 1 },
  virDomainSnapshotHasMetadata: { metadata: 1 },
  virDomainRevertToSnapshot: {},
  virDomainSnapshotDelete: {}
}
const looked = 'virDomainSnapshotLookupByName {"name":"two"}'
const shownXml = (name: string, flags = 0) => `virDomainSnapshotGetXMLDesc {"snap":{"name":"${name}"},"flags":${flags}}`
const made = (xml: string, flags = 0) => `virDomainSnapshotCreateXML ${JSON.stringify({ xmlDesc: xml, flags })}`

const EDITED = { ...SOME, virDomainSnapshotGetXMLDesc: { xml: 'old' } }
const editing = [looked, shownXml('two', 1), shownXml('two', 1), made('new', 1)]
const CLONED = { ...EDITED, virDomainSnapshotCreateXML: { snap: { name: 'three' } } }
const forgotten = (name: string) => `virDomainSnapshotDelete {"snap":{"name":"${name}"},"flags":2}`

await checkRows(snapshots, [
  ['snapshot-edit tiny two', SOME, [looked, shownXml('two', 1)], 'Snapshot two XML configuration not changed.\n'],
  [
    'snapshot-edit tiny two --current',
    SOME,
    [looked, shownXml('two', 1), shownXml('two', 1), made(XML, 19)],
    'Snapshot two edited.\n'
  ],
  ['snapshot-edit tiny two', EDITED, editing, 'Snapshot two edited.\n'],
  ['snapshot-edit tiny two --clone', CLONED, editing, 'Snapshot two cloned to three.\n'],
  ['snapshot-edit tiny two --rename', CLONED, [...editing, forgotten('two')], ''],
  [
    'snapshot-edit tiny two',
    CLONED,
    [...editing, forgotten('three')],
    '',
    ['Must use --rename or --clone to change two to three', 'Failed to update two']
  ],
  [
    'snapshot-edit tiny two --rename',
    { ...CLONED, virDomainSnapshotDelete: BOOM },
    [...editing, forgotten('two')],
    '',
    ['Failed to clean up two', 'it went wrong', 'Failed to update two']
  ],
  ['snapshot-edit tiny two --rename --clone', {}, [], '', ['Options --rename and --clone are mutually exclusive']],
  ['snapshot-edit tiny', {}, [], '', ['--snapshotname or --current is required']],
  ['snapshot-create tiny', SOME, [made('<domainsnapshot/>')], 'Domain snapshot two created'],
  ['snapshot-create tiny --disk-only --atomic', SOME, [made('<domainsnapshot/>', 144)], 'Domain snapshot two created'],
  [
    'snapshot-create-as tiny two --no-metadata --memspec /m,snapshot=external --diskspec vda,snapshot=external,file=/a,,b',
    SOME,
    [
      made(
        "<domainsnapshot>\n  <name>two</name>\n  <memory snapshot='external' file='/m'/>\n  <disks>\n    <disk name='vda' snapshot='external'>\n      <source file='/a,b'/>\n    </disk>\n  </disks>\n</domainsnapshot>\n",
        4
      )
    ],
    'Domain snapshot two created'
  ],
  ['snapshot-create-as tiny --memspec m', {}, [], '', ['unable to parse memspec: m']],
  ['snapshot-create-as tiny --diskspec vda,what', {}, [], '', ['unable to parse diskspec: vda,what']],
  ['snapshot-current tiny --name', SOME, ['virDomainHasCurrentSnapshot {}', 'virDomainSnapshotCurrent {}'], 'two'],
  ['snapshot-current tiny two', SOME, [looked, shownXml('two', 1), made(XML, 19)], 'Snapshot two set as current'],
  [
    'snapshot-delete tiny two --children-only --metadata',
    SOME,
    [looked, 'virDomainSnapshotDelete {"snap":{"name":"two"},"flags":6}'],
    'Domain snapshot two children deleted\n'
  ],
  ['snapshot-delete tiny', {}, [], '', ['--snapshotname or --current is required']],
  ['snapshot-delete tiny two --current', {}, [], '', ['--snapshotname and --current are mutually exclusive']],
  ['snapshot-dumpxml tiny two --security-info', SOME, [looked, shownXml('two', 1)], XML],
  [
    'snapshot-info tiny --current',
    SOME,
    [
      'virDomainSnapshotCurrent {}',
      'virDomainSnapshotIsCurrent {"snap":{"name":"two"}}',
      shownXml('two'),
      'virDomainSnapshotNumChildren {"snap":{"name":"two"},"flags":0}',
      'virDomainSnapshotNumChildren {"snap":{"name":"two"},"flags":1}',
      'virDomainSnapshotHasMetadata {"snap":{"name":"two"}}'
    ],
    `Name:           two
Domain:         tiny
Current:        yes
State:          disk-snapshot
Location:       external
Parent:         one
Children:       3
Descendants:    3
Metadata:       yes
`
  ],
  [
    'snapshot-list tiny --name --parent',
    SOME,
    ['virDomainListAllSnapshots {"flags":0}', shownXml('one'), shownXml('two')],
    'one\ntwo\tone\n'
  ],
  [
    'snapshot-list tiny --tree',
    SOME,
    ['virDomainListAllSnapshots {"flags":0}', shownXml('one'), shownXml('two')],
    'one\n  |\n  +- two\n    \n'
  ],
  ['snapshot-parent tiny two', SOME, [looked, shownXml('two')], 'one'],
  [
    'snapshot-revert tiny two --paused --force',
    { ...SOME, virDomainRevertToSnapshot: new Refused('risky', 93) },
    [
      looked,
      'virDomainRevertToSnapshot {"snap":{"name":"two"},"flags":2}',
      'virDomainRevertToSnapshot {"snap":{"name":"two"},"flags":6}'
    ],
    '',
    ['Failed to revert snapshot two', 'risky']
  ],
  [
    'snapshot-revert tiny two',
    SOME,
    [looked, 'virDomainRevertToSnapshot {"snap":{"name":"two"},"flags":0}'],
    'Domain snapshot two reverted\n'
  ],
  ['snapshot-list tiny', NONE, all(0), ' Name   Creation Time   State\n---\n'],
  ['snapshot-list tiny --parent', NONE, all(0), ' Name   Creation Time   State   Parent\n---\n'],
  ['snapshot-list tiny --name --leaves --topological', NONE, all(1028), ''],
  ['snapshot-list tiny --tree', NONE, all(0), ''],
  [
    'snapshot-list tiny --from gone --descendants',
    { virDomainSnapshotLookupByName: BOOM },
    ['virDomainSnapshotLookupByName {"name":"gone"}'],
    '',
    ['it went wrong']
  ],
  [
    'snapshot-list tiny --current',
    { virDomainSnapshotCurrent: BOOM },
    ['virDomainSnapshotCurrent {}'],
    '',
    ['it went wrong']
  ],
  ['snapshot-list tiny --roots --parent', {}, [], '', ['Options --parent and --roots are mutually exclusive']],
  ['snapshot-list tiny --roots --current', {}, [], '', ['Options --roots and --current are mutually exclusive']],
  ['snapshot-list tiny --tree --internal', {}, [], '', ['--internal and --tree are mutually exclusive']],
  ['snapshot-list tiny --descendants', {}, [], '', ['--descendants requires either --from or --current']],
  [
    'snapshot-current tiny --name',
    { virDomainHasCurrentSnapshot: { result: 0 } },
    ['virDomainHasCurrentSnapshot {}'],
    '',
    ["domain 'tiny' has no current snapshot"]
  ],
  [
    'snapshot-current tiny gone',
    { virDomainSnapshotLookupByName: BOOM },
    ['virDomainSnapshotLookupByName {"name":"gone"}'],
    '',
    ['it went wrong']
  ],
  ['snapshot-current tiny gone --name', {}, [], '', ['Options --name and --snapshotname are mutually exclusive']]
])
