// The lower node of an image: where its bytes come from (qemuBlockStorageSourceGetBackendProps).
import { statSync } from 'node:fs'
import { isIPv6 } from 'node:net'
import { errorsFrom } from '../../../conf/error.ts'
import type { StorageSource, StorageSourceOf } from '../../../conf/storage/source.ts'
import { type StorageHost, type StorageProtocol, splitVolume } from '../../../conf/storage/source-network.ts'
import { groupId, userId } from '../../../host/ids.ts'
import type { Builder } from '../parts/builder.ts'
import type { Props } from '../parts/props.ts'
import { vdpaFile } from '../parts/vdpa.ts'
import { encryptionSecrets } from './format.ts'
import type { StorageIds, StorageUse } from './node-names.ts'

import { storageUri } from './uri.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const internal = (message: string) => fail('VIR_ERR_INTERNAL_ERROR', message)

type Network = StorageSourceOf<'network'>
type Driver = Props & { driver: string }

/** A name QEMU cannot do without. */
function given(key: string, value: string | undefined): string {
  if (value === undefined) throw internal(`argument key '${key}' must not have null value`)
  return value
}

/** QEMU's InetSocketAddress of a server. */
function inetAddress({ name, port, transport }: StorageHost): Props {
  if (transport !== 'tcp') throw internal('only TCP protocol can be converted to InetSocketAddress')
  return { host: given('host', name), port: String(port ?? 0) }
}

/** QEMU's SocketAddress of a server. */
export function socketAddress(host: StorageHost): Props {
  if (host.transport === 'unix') return { type: 'unix', path: host.socket }
  if (host.transport === 'rdma') throw internal(`transport protocol '${host.transport}' is not yet supported`)
  return { type: 'inet', ...inetAddress(host) }
}

/** The one host of protocols that take no more; libvirt has a name for each in its message. */
function onlyHost({ protocol, hosts }: Network, shown: string = protocol): StorageHost {
  const [host] = hosts
  if (!host || hosts.length !== 1) throw internal(`${shown} protocol accepts only one host`)
  return host
}

/** http, https, ftp, ftps, tftp: QEMU's curl driver. */
function curlProps(source: Network, ids: StorageIds): Driver {
  const { protocol, auth, sslVerify, timeout, readahead, cookies } = source
  return {
    driver: protocol,
    url: storageUri(source),
    username: auth?.username,
    'password-secret': auth && ids.authSecret,
    sslverify: sslVerify,
    'cookie-secret': cookies && ids.cookieSecret,
    timeout,
    readahead
  }
}

function iscsiProps(source: Network, ids: StorageIds): Driver {
  const { name = '', auth, initiator } = source
  const host = onlyHost(source, 'iSCSI')
  const slash = name.indexOf('/')
  const target = slash < 0 ? name : name.slice(0, slash)
  const lun = slash < 0 ? '0' : name.slice(slash + 1)
  if (!/^\s*\+?\d+$/.test(lun) || Number(lun) > 0xffffffff) throw internal(`cannot parse target for lunStr '${target}'`)
  const address = host.name !== undefined && isIPv6(host.name) ? `[${host.name}]` : host.name
  return {
    driver: 'iscsi',
    portal: `${address}:${host.port ?? 0}`,
    target,
    lun: Number(lun),
    transport: 'tcp',
    user: auth?.username,
    'password-secret': auth && ids.authSecret,
    'initiator-name': initiator
  }
}

function rbdProps(source: Network, ids: StorageIds, { qemu }: Builder): Driver {
  const { name, hosts, auth, encryption, snapshot, config } = source
  const { volume, path } = splitVolume(name)
  const secrets = encryption?.engine === 'librbd' ? encryptionSecrets(source, ids, qemu) : []
  const format = encryption?.format
  return {
    driver: 'rbd',
    pool: given('pool', volume),
    image: path,
    snapshot,
    conf: config,
    server: hosts.length > 0 ? hosts.map(inetAddress) : undefined,
    // each layer's parent is the one it lies in
    encrypt: secrets.reduceRight<Props | undefined>(
      (parent, key) => ({ format, 'key-secret': key, parent }),
      undefined
    ),
    user: auth?.username,
    'auth-client-required': auth && ['cephx', 'none'],
    'key-secret': auth && ids.authSecret
  }
}

function nfsProps({ name, hosts, identity }: Network): Driver {
  const user = identity?.user
  const group = identity?.group
  return {
    driver: 'nfs',
    server: { host: hosts[0]?.name, type: 'inet' },
    path: name,
    user: user === undefined ? undefined : userId(user),
    group: group === undefined ? undefined : groupId(group)
  }
}

type Build = (source: Network, ids: StorageIds, to: Builder) => Driver

/** QEMU's options of an image, by protocol. */
const NETWORK: { [P in StorageProtocol]?: Build } = {
  gluster: ({ name, hosts }, _ids, { context }) => {
    const { volume, path } = splitVolume(name)
    return {
      driver: 'gluster',
      volume,
      path,
      server: hosts.map(socketAddress),
      debug: context.config.glusterDebugLevel
    }
  },
  vxhs: (source, ids) => ({
    driver: 'vxhs',
    'tls-creds': source.tls ? ids.tls : undefined,
    'vdisk-id': given('vdisk-id', source.name),
    server: inetAddress(onlyHost(source, 'VxHS'))
  }),
  http: curlProps,
  https: curlProps,
  ftp: curlProps,
  ftps: curlProps,
  tftp: curlProps,
  iscsi: iscsiProps,
  nbd: (source, ids) => ({
    driver: 'nbd',
    server: socketAddress(onlyHost(source)),
    export: source.name,
    'tls-creds': source.tls ? ids.tls : undefined,
    'tls-hostname': source.tlsHostname,
    'reconnect-delay': source.reconnectDelay
  }),
  rbd: rbdProps,
  sheepdog: () => {
    throw internal('unsupported disk protocol')
  },
  ssh: source => ({
    driver: 'ssh',
    server: inetAddress(onlyHost(source)),
    path: given('path', source.name),
    user: source.auth?.username ?? source.sshIdentity?.username ?? source.sshUser,
    'host-key-check': source.sshHostKeyCheck === false ? { mode: 'none' } : undefined
  }),
  nfs: nfsProps
}

/** Linux's major number of SCSI CD-ROM drives. */
const SCSI_CDROM_MAJOR = 11

/** A CD-ROM drive of the host needs another driver; looked at only when the guest is really started. */
function isHostCdrom(path: string | undefined, { isCdrom }: StorageUse, { context }: Builder): boolean {
  return !context.pretend && isCdrom === true && isCdromDrive(path)
}

/** Tells a CD-ROM drive of this host from any other path. */
export function isCdromDrive(path: string | undefined): boolean {
  const stats = path === undefined ? undefined : statSync(path, { throwIfNoEntry: false })
  return stats?.isBlockDevice() === true && Math.floor(stats.rdev / 256) === SCSI_CDROM_MAJOR
}

/** Opens a vDPA device for QEMU, if there is one to be started. @throws VIR_ERR_SYSTEM_ERROR */
function passVdpa(to: Builder, { storageNode }: StorageIds, path: string): string | undefined {
  return to.context.pretend ? undefined : vdpaFile(to, `${storageNode}-vdpa`, path)
}

/** The set of a client's files that an image is in. */
function handedPath(to: Builder, source: StorageSource, { storageNode }: StorageIds): string | undefined {
  if (source.type !== 'file' || source.fdgroup === undefined) return undefined
  return to.fd({ name: storageNode, group: source.fdgroup, set: true })
}

/** Driver and options that say where the bytes of an image are. @throws VIR_ERR_INTERNAL_ERROR for what QEMU cannot open */
export function protocolProps(to: Builder, source: StorageSource, use: StorageUse, ids: StorageIds): Driver {
  switch (source.type) {
    case 'file':
    case 'block': {
      const block = isHostCdrom(source.path, use, to) ? 'host_cdrom' : 'host_device'
      return {
        driver: source.type === 'file' ? 'file' : block,
        filename: given('filename', handedPath(to, source, ids) ?? source.path),
        aio: use.io,
        'pr-manager': source.reservations && ids.prManager
      }
    }
    case 'dir':
      return { driver: 'vvfat', dir: given('dir', source.path), floppy: use.isFloppy ?? false, rw: !use.readOnly }
    case 'nvme': {
      const { domain, bus, slot, function: fn } = source.address
      const pad = (value: number, digits: number) => value.toString(16).padStart(digits, '0')
      const device = `${pad(domain, 4)}:${pad(bus, 2)}:${pad(slot, 2)}.${fn}`
      return { driver: 'nvme', device, namespace: source.namespace }
    }
    case 'network': {
      const build = NETWORK[source.protocol]
      if (!build) throw internal(`unexpected protocol '${source.protocol}'`)
      return build(source, ids, to)
    }
    case 'vhostvdpa':
      return { driver: 'virtio-blk-vhost-vdpa', path: given('path', passVdpa(to, ids, source.path)) }
    case 'vhostuser':
      throw internal('unable to create blockdev props for vhostuser disk type')
    case 'volume':
      throw internal(
        `storage source pool '${source.pool ?? '<null>'}' volume '${source.volume ?? '<null>'}' is not translated`
      )
    case 'none':
      throw internal('unexpected disk type none')
  }
}
