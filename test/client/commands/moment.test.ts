// Lists of snapshots and checkpoints, which are empty so far.
import { checkpoints, snapshots } from '../../../src/client/commands/moment.ts'
import { BOOM, checkRows } from '../../helper/command-rows.ts'

const NONE = { virDomainListAllSnapshots: { snapshots: [] }, virDomainListAllCheckpoints: { checkpoints: [] } }
const all = (flags: number) => [`virDomainListAllSnapshots {"flags":${flags}}`]

await checkRows(snapshots, [
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

await checkRows(checkpoints, [
  [
    'checkpoint-list tiny --no-leaves --roots',
    NONE,
    ['virDomainListAllCheckpoints {"flags":9}'],
    ' Name   Creation Time\n---\n'
  ],
  [
    'checkpoint-list tiny --from gone',
    { virDomainCheckpointLookupByName: BOOM },
    ['virDomainCheckpointLookupByName {"name":"gone"}'],
    '',
    ['it went wrong']
  ],
  ['checkpoint-list tiny --descendants', {}, [], '', ['--descendants requires --from']]
])
