// Files below schemas/, made from the tables of the code; `npm run schemas` writes them, a test tells of stale ones.
import { formatJson } from '../conf/json.ts'
import { objectSchema } from '../conf/wire.ts'
import { statusSchema } from '../drivers/qemu/domain/status.ts'
import { api } from '../drivers/qemu/index.ts'
import { aggregatorSchema } from './aggregator/claim-schema.ts'
import { guestsSchema } from './aggregator/guests-schema.ts'
import { aggregatorRows } from './aggregator/rows.ts'
import { errorSchema } from './error-schema.ts'
import { openapi } from './openapi.ts'
import { reportSchema } from './report-schema.ts'
import { shimRows } from './rows.ts'

const DRAFT = 'https://json-schema.org/draft/2020-12/schema'

/** The text of every file by its path below schemas/. */
export function schemaFiles(): Record<string, string> {
  const files: Record<string, object> = {
    'openapi.json': openapi(),
    'error.json': { $schema: DRAFT, $id: 'error.json', ...errorSchema },
    'status.json': { $schema: DRAFT, ...statusSchema },
    'report.json': { $schema: DRAFT, ...reportSchema },
    'aggregator.json': { $schema: DRAFT, ...aggregatorSchema },
    'guests.json': { $schema: DRAFT, ...guestsSchema }
  }
  for (const [name, { args, ret, stream }] of Object.entries({ ...aggregatorRows, ...shimRows, ...api })) {
    files[`api/${name}.json`] = {
      $schema: DRAFT,
      $id: `api/${name}.json`,
      $defs: { input: objectSchema(args), ...(!stream && { output: objectSchema(ret) }) }
    }
  }
  return Object.fromEntries(Object.entries(files).map(([name, content]) => [name, `${formatJson(content, 1)}\n`]))
}
