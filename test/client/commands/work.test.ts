// Saved images.
import { work } from '../../../src/client/commands/work.ts'
import { checkRows } from '../../helper/command-rows.ts'

await checkRows(work, [
  [
    'managedsave-remove tiny',
    { virDomainHasManagedSaveImage: { result: 0 } },
    ['virDomainHasManagedSaveImage {}'],
    "Domain 'tiny' has no manage save image; removal skipped"
  ],
  [
    'managedsave-remove tiny',
    { virDomainHasManagedSaveImage: { result: 1 }, virDomainManagedSaveRemove: {} },
    ['virDomainHasManagedSaveImage {}', 'virDomainManagedSaveRemove {}'],
    "Removed managedsave image for domain 'tiny'"
  ]
])
