// Files that others may have written: images, saved guests, status of older builds; and names in them.
import { closeSync, ftruncateSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CPUMASK_LENGTH, formatBitmap, parseBitmap } from '../../src/conf/bitmap.ts'
import { parseJson } from '../../src/conf/json.ts'
import { sourceOfName } from '../../src/drivers/qemu/block/backing-name.ts'
import {
  BrokenHeader,
  backingOf,
  capacityOf,
  dataFileOf,
  probeFormat
} from '../../src/drivers/qemu/block/image-header.ts'
import { parseStorageUri } from '../../src/drivers/qemu/block/uri.ts'
import { statusSchema } from '../../src/drivers/qemu/domain/status.ts'
import { parseMigrationUri } from '../../src/drivers/qemu/migration/uri.ts'
import { formatImage, readImage } from '../../src/drivers/qemu/save/image.ts'
import { checkForm } from '../../src/state/status-form.ts'
import { Fault, type Target } from '../target.ts'

/** A qcow2 image with a backing file and its format, as qemu-img makes it. */
function qcow2(backing: string, version = 3): Buffer {
  const bytes = Buffer.alloc(1024)
  bytes.write('QFI\xfb', 0, 'latin1')
  bytes.writeUInt32BE(version, 4)
  bytes.writeBigUInt64BE(512n, 8)
  bytes.writeUInt32BE(backing.length, 16)
  bytes.writeUInt32BE(16, 20)
  bytes.writeBigUInt64BE(1048576n, 24)
  bytes.writeUInt32BE(4, 96)
  bytes.writeUInt32BE(112, 100)
  bytes.writeUInt32BE(0xe2792aca, 112)
  bytes.writeUInt32BE(5, 116)
  bytes.write('qcow2', 120)
  bytes.write(backing, 512)
  return bytes
}

const IMAGES = () => [
  qcow2('base.qcow2'),
  qcow2('json:{"driver":"qcow2","file":{"driver":"file","filename":"/tmp/x"}}'),
  qcow2('', 2),
  Buffer.concat([
    Buffer.from('KDMV'),
    Buffer.alloc(508),
    Buffer.from('parentFileNameHint="b.vmdk"\nCID=1\nparentCID=2\n')
  ]),
  Buffer.concat([Buffer.from('QED\0'), Buffer.alloc(508, 1)]),
  Buffer.concat([Buffer.from('LUKS\xba\xbe\0\x01', 'latin1'), Buffer.alloc(504)]),
  Buffer.concat([Buffer.from('conectix'), Buffer.alloc(504, 2)]),
  Buffer.concat([Buffer.from('WithoutFreeSpace'), Buffer.alloc(100, 3)]),
  Buffer.alloc(512)
]

const NAMES = [
  '/tmp/a.img',
  'rel/b.qcow2',
  'nbd://host:10809/export',
  'nbd+unix:///e?socket=/tmp/s',
  'rbd:pool/image:id=a:key=b:mon_host=h\\:6789',
  'iscsi://h/iqn.2012-07:lun/1',
  'nfs://h/p',
  'https://u@h/x?y=z',
  'ssh://h/p',
  'gluster+tcp://h/v/i',
  'json:{"file.driver":"nbd","file.host":"h","file.port":"1"}',
  'json:{"driver":"raw","file":{"driver":"iscsi","portal":"h","target":"t","lun":1,"transport":"tcp"}}',
  'json:{"driver":"rbd","pool":"p","image":"i","server":[{"host":"h","port":"1"}]}'
]

const IMAGE = formatImage(
  { format: 'raw', running: true, xml: '<domain type="qemu"><name>g</name></domain>', cookie: '<cookie/>' },
  { whole: true }
)

const scratch = mkdtempSync(join(tmpdir(), 'virshim-fuzz-'))
process.once('exit', () => rmSync(scratch, { recursive: true, force: true }))
let file: number | undefined

/** The bytes as an open file, which stands at its beginning. */
function fileWith(bytes: Buffer): number {
  if (file !== undefined) closeSync(file)
  const path = join(scratch, 'input')
  const out = openSync(path, 'w')
  writeSync(out, bytes)
  ftruncateSync(out, bytes.length)
  closeSync(out)
  file = openSync(path, 'r')
  return file
}

export const FILE_TARGETS: Target[] = [
  {
    name: 'image/header',
    kind: 'bytes',
    refusals: [BrokenHeader],
    corpus: IMAGES,
    words: ['QFI\xfb', '\xe2\x79\x2a\xca', '\x44\x41\x54\x41', 'raw', 'json:{', '/etc/shadow', 'parentFileNameHint="'],
    run(input) {
      const format = probeFormat(input)
      const backing = backingOf(input, format)
      if (backing?.name.includes('\0')) throw new Fault('a name with its end inside')
      return [format, capacityOf(input, format) !== undefined, dataFileOf(input) !== undefined, backing?.format].join()
    }
  },
  {
    name: 'image/backing-name',
    kind: 'text',
    corpus: () => NAMES,
    words: ['json:', '://', '"driver"', '"file"', 'file.', 'server', 'host', ':', '\\:', '?socket=', '@'],
    run: input => sourceOfName(input.toString('utf8'))?.type
  },
  {
    name: 'image/saved',
    kind: 'bytes',
    cost: 5,
    corpus: () => [Buffer.concat([IMAGE, Buffer.alloc(64)])],
    run: input => readImage(fileWith(input)).format
  },
  {
    name: 'names/uri',
    kind: 'text',
    corpus: () => [...NAMES, 'tcp://h:1', 'tcp:h', 'unix:///tmp/s', 'rdma://[fe80::1]:1'],
    words: ['[', ']', '@', '%', '#', '?', '//', ':', '65536'],
    run(input) {
      const text = input.toString('utf8')
      parseStorageUri(text)
      return parseMigrationUri(text).scheme
    }
  },
  {
    name: 'names/bitmap',
    kind: 'text',
    corpus: () => ['0', '0-3', '1,3-5,^4', `${CPUMASK_LENGTH - 1}`, '0-16383'],
    words: ['^', '-', ',', '16384'],
    run(input) {
      const bits = parseBitmap(input.toString('utf8'))
      const text = formatBitmap(bits)
      if (text !== '' && parseBitmap(text) !== bits) throw new Fault(`${text} reads as something else`)
    }
  },
  {
    name: 'state/status',
    kind: 'text',
    cost: 10,
    corpus: () => [readFileSync('test/data/status/0.1.0.json', 'utf8')],
    words: ['"phase"', '"running"', '"starting"', '"process"', '"pid"'],
    refusals: [SyntaxError],
    run: input => checkForm(statusSchema, parseJson(input.toString('utf8')), 'status.json')
  }
]
