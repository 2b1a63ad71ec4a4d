// The form of GET /v1/report as JSON Schema.

const integer = { type: 'integer' }
/** Linux's PATH_MAX, and more than any other text of ours needs. */
const TEXT_MAX = 4096
const text = { type: 'string', maxLength: TEXT_MAX }
const yesNo = { type: 'boolean' }
/** C's int, as libvirt's protocol carries it. */
const INT_MAX = 2 ** 31 - 1
const int = (minimum: number, maximum = INT_MAX) => ({ ...integer, minimum, maximum })
const count = { ...integer, minimum: 0, maximum: Number.MAX_SAFE_INTEGER }
/** virDomainState's last */
const STATE_MAX = 7
const HEX = '[0-9a-fA-F]'
const pid = { type: ['integer', 'null'], minimum: 1, maximum: INT_MAX }
/** Identifies a namespace as /proc/PID/ns does. */
const namespace = { ...text, maxLength: 64 }

/** A guest's name as libvirt takes it: a line that names a file. */
export const nameSchema = { ...text, pattern: '^[^/\\n\\u0000]+$' }

/** schemas/report.json is this. */
export const reportSchema = {
  $id: 'report.json',
  title: 'State of one guest and every host resource it holds',
  type: 'object',
  properties: {
    name: nameSchema,
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
      properties: { shim: pid, qemu: pid },
      required: ['shim', 'qemu']
    },
    versions: { type: 'object', maxProperties: 16, additionalProperties: text },
    sockets: { type: 'object', maxProperties: 16, additionalProperties: text, description: 'paths by kind' },
    allocations: {
      type: 'array',
      maxItems: 10_000,
      items: {
        type: 'object',
        properties: {
          // a table of kinds is an object, and has that one of its own
          kind: { ...text, pattern: '^[a-z0-9-]{1,64}$', not: { const: 'constructor' } },
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
    claims: {
      type: 'array',
      maxItems: 1024,
      items: { ...text, pattern: '^[0-9a-f]{1,64}$' },
      description: 'claims at the aggregator that the allocations speak for'
    },
    namespaces: {
      type: 'object',
      properties: { net: namespace, mnt: namespace, cgroup: namespace, pid: namespace },
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
