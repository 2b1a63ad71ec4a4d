// The form of GET /v1/report as JSON Schema.

const integer = { type: 'integer' }
const text = { type: 'string' }
const yesNo = { type: 'boolean' }
/** C's int, as libvirt's protocol carries it. */
const INT_MAX = 2 ** 31 - 1
const int = (minimum: number, maximum = INT_MAX) => ({ ...integer, minimum, maximum })
const count = { ...integer, minimum: 0, maximum: Number.MAX_SAFE_INTEGER }
/** virDomainState's last */
const STATE_MAX = 7
const HEX = '[0-9a-fA-F]'

/** schemas/report.json is this. */
export const reportSchema = {
  $id: 'report.json',
  title: 'State of one guest and every host resource it holds',
  type: 'object',
  properties: {
    name: { ...text, pattern: '^[^/\\u0000]+$' },
    uuid: { ...text, pattern: `^${HEX}{8}(-${HEX}{4}){3}-${HEX}{12}$` },
    id: { ...int(-1), description: '-1 when shut off' },
    state: { ...int(0, STATE_MAX), description: 'virDomainState' },
    persistent: yesNo,
    autostart: yesNo,
    managedSave: yesNo,
    snapshots: yesNo,
    checkpoints: yesNo,
    reason: { ...int(0), description: "the state's reason, of the enumeration libvirt has for it" },
    generation: { ...count, description: 'grows with every change' },
    pids: {
      type: 'object',
      description: 'null where there is no such process',
      properties: { shim: { type: ['integer', 'null'] }, qemu: { type: ['integer', 'null'] } },
      required: ['shim', 'qemu']
    },
    versions: { type: 'object', additionalProperties: text },
    sockets: { type: 'object', additionalProperties: text, description: 'paths by kind' },
    allocations: {
      type: 'array',
      items: {
        type: 'object',
        properties: {
          kind: { ...text, pattern: '^[a-z0-9-]+$' },
          key: {
            ...text,
            pattern: '^[^\\u0000]*$',
            description: 'the one resource that is held; of an amount, the store it comes from'
          },
          amount: { ...count, description: 'KiB of memory, else a number' },
          mode: { enum: ['exclusive', 'shared'] },
          path: { ...text, description: 'what the guest calls it, where the key is made from what it is' }
        },
        required: ['kind', 'mode'],
        anyOf: [{ required: ['key'] }, { required: ['amount'] }],
        additionalProperties: false
      }
    },
    claims: { type: 'array', items: text, description: 'claims at the aggregator that the allocations speak for' },
    namespaces: {
      type: 'object',
      properties: { net: text, mnt: text, cgroup: text, pid: text },
      description: "the shim's, as in /proc/PID/ns"
    }
  },
  required: [
    'name',
    'uuid',
    'id',
    'state',
    'persistent',
    'autostart',
    'managedSave',
    'snapshots',
    'checkpoints',
    'reason',
    'generation',
    'pids',
    'versions',
    'sockets',
    'allocations'
  ],
  additionalProperties: false
}
