// Bytes of other daemons, and of HTTP clients.
import { parseJson } from '../../src/conf/json.ts'
import { fieldsFromJson } from '../../src/conf/wire.ts'
import { api } from '../../src/drivers/qemu/index.ts'
import { readClaimRequest } from '../../src/server/aggregator/claim-schema.ts'
import { NotBelieved, readReport } from '../../src/server/aggregator/read-report.ts'
import { fromQuery, queryOf } from '../../src/server/query.ts'
import { AnswerReader, formatAnswer, pathOfRequest } from '../../src/server/raw-http.ts'
import { simulatedReport } from '../../test/helper/simulated-shims.ts'
import { Fault, type Target } from '../target.ts'

const rows = Object.entries(api)

const CLAIM = {
  name: 'guest',
  uuid: '00000000-0000-0000-0000-000000000001',
  pid: 12,
  startTime: '99',
  socket: '/run/virshim/guest/api.sock',
  resources: [
    { kind: 'disk', id: '/tmp/a.img', mode: 'exclusive' },
    { kind: 'mac', id: '52:54:00:00:00:01', mode: 'exclusive' },
    { kind: 'memory', amount: 1024 }
  ]
}

/** A JSON body of an API, by the names of what it takes. */
const bodies = () =>
  rows.map(([name, { args }]) => {
    const values: unknown[] = [0, 1, 'x', 'VIR_DOMAIN_AFFECT_LIVE', [], {}, true, '12345678901234567890']
    const body = Object.fromEntries(Object.keys(args).map((field, i) => [field, values[i % values.length]]))
    return JSON.stringify({ api: name, body })
  })

function answersOf(bytes: Buffer, step: number): string {
  const reader = new AnswerReader()
  for (let at = 0; at < bytes.length; at += step) {
    const answer = reader.push(bytes.subarray(at, at + step))
    if (!answer) continue
    if (!Number.isInteger(answer.status) || answer.status < 100) throw new Fault(`status ${answer.status}`)
    return `${answer.status} ${answer.body.length}`
  }
  return 'more'
}

export const HTTP_TARGETS: Target[] = [
  {
    name: 'http/answer',
    kind: 'text',
    corpus: () => [
      formatAnswer('{"a":1}'),
      formatAnswer(undefined),
      'HTTP/1.1 404 Not Found\r\ncontent-type: application/json\r\ncontent-length: 2\r\nconnection: keep-alive\r\n\r\n{}'
    ],
    words: ['\r\n\r\n', 'Content-Length: 5', 'HTTP/1.1 099', 'HTTP/1.1 600', 'Transfer-Encoding: chunked'],
    refusals: [Error],
    run(input) {
      pathOfRequest(input)
      return [input.length || 1, 5].map(step => answersOf(input, step)).join()
    }
  },
  {
    name: 'http/query',
    kind: 'text',
    corpus: () => [
      'flags=0',
      'flags=VIR_DOMAIN_AFFECT_LIVE,VIR_DOMAIN_AFFECT_CONFIG&xml=%3Cdisk%2F%3E',
      'a=1&a=2&nparams=3'
    ],
    words: ['&', '%', '%00', '__proto__=1', 'flags=', 'timeout='],
    run(input) {
      const query = queryOf(new URLSearchParams(input.toString('latin1')))
      const [name, { args }] = rows[input.length % rows.length]!
      fieldsFromJson(fromQuery(query, args), args, name)
    }
  },
  {
    name: 'http/body',
    kind: 'text',
    corpus: bodies,
    words: ['VIR_DOMAIN_AFFECT_LIVE', 'nparams', '"flags"', '1e400', '-1', '18446744073709551616'],
    refusals: [SyntaxError],
    run(input) {
      const given = parseJson(input.toString('utf8'))
      if (typeof given !== 'object' || given === null) return 'no object'
      const { api: name, body } = given as { api?: string; body?: unknown }
      const row = rows.find(([one]) => one === name) ?? rows[input.length % rows.length]!
      fieldsFromJson(body, row[1].args, row[0])
      return row[0]
    }
  },
  {
    name: 'aggregator/report',
    kind: 'text',
    corpus: () => [1, 2, 3].map(n => JSON.stringify(simulatedReport(n))),
    words: ['"uuid"', '"resources"', '"exclusive"', '"shared"', '1e400'],
    refusals: [NotBelieved],
    run: input => Object.keys(readReport(input.toString('utf8'))).length
  },
  {
    name: 'aggregator/claim',
    kind: 'text',
    corpus: () => [JSON.stringify(CLAIM)],
    words: ['"exclusive"', '"shared"', '"budget"', '"auto"', '"from"', '"to"'],
    refusals: [SyntaxError],
    run: input => readClaimRequest(JSON.parse(input.toString('utf8'))).resources.length
  }
]
