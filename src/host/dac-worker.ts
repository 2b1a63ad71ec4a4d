// The program that changes owners (dac.ts). Node.js has no calls for extended attributes, none that hold on to a file
// while its owner is changed, and no locks of libvirt's kind: Python does it, all files of one request in one process.

/**
 * Reads one request from standard input, and does nothing unless that is whole: whoever asked may have been killed while
 * writing it, and has on disk what it asked for if not. What it has begun it finishes, whoever dies. Prints one line.
 *
 * A file that is given is remembered in it as libvirt does (virSecuritySetRememberedLabel): owner, count, time of boot.
 * Beside that each giving has a mark, `BOOT:RUN:UID:KIND`, so that one that was not carried out is never taken back. It is
 * set last and removed first: a count may become too high where this program is killed, but never too low. An entry of an
 * ACL is its own mark where nobody else is that user (`alone`).
 */
export const WORKER = `
import contextlib, errno, fcntl, json, os, stat, struct, sys, time
DAC, REF, TIME = ['trusted.libvirt.security.' + name for name in ('dac', 'ref_dac', 'timestamp_dac')]
MARK, ACL = 'trusted.virshim.dac', 'system.posix_acl_access'
NONE = 0xffffffff
USER_OBJ, USER, GROUP_OBJ, GROUP, MASK, OTHER = 1, 2, 4, 8, 16, 32
NOT_THERE = (errno.ENODATA, errno.ENOTSUP, errno.ENOSYS)
NO_ATTRIBUTES = (errno.ENOTSUP, errno.ENOSYS, errno.EPERM, errno.EROFS)
# as libvirt's virSecurityDACSetOwnershipInternal
NOT_CHANGED = (errno.ENOTSUP, errno.EINVAL, errno.EPERM, errno.EROFS)
LINKS_MAX, LOCK_TRIES, CLOCK_S = 40, 10000, 2
BOOT_TIME, RECORD = 2, 384

class Refused(Exception):
    pass

def boot_time():
    try:
        with open('/run/utmp', 'rb') as file:
            while len(record := file.read(RECORD)) == RECORD:
                if struct.unpack_from('h', record)[0] == BOOT_TIME:
                    return struct.unpack_from('i', record, 340)[0]
    except OSError:
        pass
    with open('/proc/uptime') as file:
        return round(int(time.time()) - float(file.read().split()[0]))

def get(here, name):
    try:
        return os.getxattr(here, name).decode()
    except OSError as error:
        if error.errno in NOT_THERE: return None
        raise

def drop(here, *names):
    for name in names:
        try:
            os.removexattr(here, name)
        except OSError as error:
            if error.errno not in (*NOT_THERE, *NO_ATTRIBUTES): raise

def opened(path):
    at, links, owners = os.open('/', os.O_PATH), 0, set()
    parts = [part for part in path.split('/') if part][::-1]
    while parts:
        part = parts.pop()
        try:
            found = os.open(part, os.O_PATH | os.O_NOFOLLOW, dir_fd=at)
        except OSError:
            os.close(at)
            raise
        about = os.fstat(found)
        if not stat.S_ISLNK(about.st_mode):
            os.close(at)
            at = found
            continue
        links += 1
        if about.st_uid != 0: owners.add(about.st_uid)
        to = os.readlink('', dir_fd=found)
        os.close(found)
        if to.startswith('/'):
            os.close(at)
            at = os.open('/', os.O_PATH)
        if links > LINKS_MAX:
            os.close(at)
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        parts += [part for part in to.split('/') if part][::-1]
    return at, owners

@contextlib.contextmanager
def locked(here, about, path):
    file = None
    if stat.S_ISREG(about.st_mode) or stat.S_ISBLK(about.st_mode):
        with contextlib.suppress(OSError):
            file = os.open(here, os.O_RDWR | os.O_NONBLOCK)
    try:
        for left in range(LOCK_TRIES, -1, -1) if file is not None else ():
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 1)
                break
            except OSError as error:
                if error.errno not in (errno.EACCES, errno.EAGAIN): break
                if not left:
                    raise OSError(error.errno, f'unable to lock {path} for metadata change: {error.strerror}')
                time.sleep(0.001)
        yield
    finally:
        if file is not None: os.close(file)

def marks(here):
    return (get(here, MARK) or '').split()

def put_marks(here, some):
    if some: os.setxattr(here, MARK, ' '.join(some).encode())
    else: drop(here, MARK)

def mark(one, kind):
    return f'{ask["boot"]}:{ask["run"]}:{one["uid"]}:{kind}'

def add_mark(here, one, kind):
    try:
        put_marks(here, marks(here) + [mark(one, kind)])
    except OSError as error:
        if error.errno not in NO_ATTRIBUTES: raise

def count(here, about):
    'How many have it, and the owner that is known from a former boot.'
    ref, all = get(here, REF), marks(here)
    ours = any(one.startswith(ask['boot']) and one.endswith('o') for one in all)
    told = get(here, TIME)
    if ref is not None and (ours or told is not None and abs(int(told) - boot_time()) <= CLOCK_S): return int(ref), None
    left = any(one.split(':')[2] == str(about.st_uid) for one in all)
    known = get(here, DAC) if left else None
    drop(here, REF, DAC, TIME)
    put_marks(here, [one for one in all if one.startswith(ask['boot']) and one.endswith('a')])
    return 0, known

def remember(here, about, one):
    have, known = count(here, about)
    if have and (about.st_uid, about.st_gid) != (one['uid'], one['gid']):
        raise Refused(f'Setting different DAC user or group on {one["path"]} which is already in use')
    try:
        if not have:
            os.setxattr(here, DAC, (known or f'+{about.st_uid}:+{about.st_gid}').encode())
            os.setxattr(here, TIME, str(boot_time()).encode())
        os.setxattr(here, REF, str(have + 1).encode())
    except OSError as error:
        if error.errno not in NO_ATTRIBUTES: raise

def change(here, path, uid, gid):
    about = os.stat(here)
    if (about.st_uid, about.st_gid) == (uid, gid): return
    try:
        os.chown(here, uid, gid)
    except OSError as error:
        if error.errno in NOT_CHANGED: return
        raise OSError(error.errno, f"unable to set user and group to '{uid}:{gid}' on '{path}': {error.strerror}")

def entries(here, about):
    try:
        data = os.getxattr(here, ACL)
        return [struct.unpack_from('<HHI', data, at) for at in range(4, len(data), 8)]
    except OSError as error:
        if error.errno not in NOT_THERE: raise
    mode = about.st_mode
    return [(USER_OBJ, mode >> 6 & 7, NONE), (GROUP_OBJ, mode >> 3 & 7, NONE), (OTHER, mode & 7, NONE)]

def put_entries(here, acl):
    os.setxattr(here, ACL, struct.pack('<I', 2) + b''.join(struct.pack('<HHI', *one) for one in sorted(acl, key=lambda one: (one[0], one[2]))))

def reaches(here, about, one):
    acl, want = entries(here, about), 6 if one['write'] else 4
    mask = next((bits for tag, bits, _ in acl if tag == MASK), 7)
    def has(*tags): return [bits for tag, bits, who in acl if (tag, who) in tags]
    if about.st_uid == one['uid']: return has((USER_OBJ, NONE))[0] & want == want
    for bits in has((USER, one['uid'])): return bits & mask & want == want
    groups = [one['gid'], *ask['groups']]
    own = has((GROUP_OBJ, NONE)) if about.st_gid in groups else []
    some = own + has(*((GROUP, group) for group in groups))
    if some: return any(bits & mask & want == want for bits in some)
    return has((OTHER, NONE))[0] & want == want

def let(here, about, one):
    want = 6 if one['write'] else 4
    acl = entries(here, about)
    mask = next((bits for tag, bits, _ in acl if tag == MASK), next(bits for tag, bits, _ in acl if tag == GROUP_OBJ))
    had = next((bits for tag, bits, who in acl if (tag, who) == (USER, one['uid'])), 0)
    acl = [entry for entry in acl if entry[0] != MASK and (entry[0], entry[2]) != (USER, one['uid'])]
    put_entries(here, acl + [(USER, had | want, one['uid']), (MASK, mask | want, NONE)])

def shut(here, about, uid):
    acl = entries(here, about)
    if not any((tag, who) == (USER, uid) for tag, _, who in acl): return
    acl = [entry for entry in acl if (entry[0], entry[2]) != (USER, uid)]
    if not any(tag in (USER, GROUP) for tag, _, _ in acl): acl = [entry for entry in acl if entry[0] != MASK]
    put_entries(here, acl)

def same(about, one):
    return (str(about.st_dev), str(about.st_ino)) == (one['dev'], one['ino'])

def give(one):
    path = one['path']
    file, owners = opened(path)
    try:
        about, here = os.fstat(file), f'/proc/self/fd/{file}'
        known = (get(here, DAC) or '').split(':')[0].lstrip('+')
        if owners and not all(owner == about.st_uid or str(owner) == known for owner in owners):
            raise Refused(f"cannot give '{path}' to QEMU: it leads by a link of uid {min(owners)} to what is not theirs")
        if not same(about, one): raise OSError(errno.EAGAIN, f"'{path}' has become another file")
        let_in = not ask['alone'] and any((tag, who) == (USER, one['uid']) for tag, _, who in entries(here, about))
        if not one['own'] and not let_in and reaches(here, about, one): return 'none'
        with locked(here, about, path):
            about = os.fstat(file)
            if not one['own']:
                try:
                    let(here, about, one)
                    if not ask['alone']: add_mark(here, one, 'a')
                    return 'acl'
                except OSError as error:
                    if error.errno not in NO_ATTRIBUTES: raise
            remember(here, about, one)
            change(here, path, one['uid'], one['gid'])
            add_mark(here, one, 'o')
            return 'owner'
    finally:
        os.close(file)

def take_back(one):
    path, was = one['path'], one['was']
    try:
        file, _ = opened(path)
    except (FileNotFoundError, NotADirectoryError):
        return
    try:
        about, here = os.fstat(file), f'/proc/self/fd/{file}'
        if not same(about, one): return
        with locked(here, about, path):
            about, all = os.fstat(file), marks(here)
            kinds = {'owner': 'o', 'acl': 'a'}.get(one.get('how'), 'oa' if one['own'] else 'ao')
            kind = next((kind for kind in kinds if mark(one, kind) in all), None)
            if kind:
                all.remove(mark(one, kind))
                put_marks(here, all)
            if 'a' in kinds and kind != 'o':
                if not any(other.startswith(ask['boot']) and other.endswith(f':{one["uid"]}:a') for other in all):
                    shut(here, about, one['uid'])
            if kind == 'a' or kinds == 'a': return
            ref = int(get(here, REF) or 0)
            if kind == 'o' and ref:
                if ref > 1: return os.setxattr(here, REF, str(ref - 1).encode())
                uid, gid = [int(part.lstrip('+')) for part in get(here, DAC).split(':')]
                drop(here, REF, DAC, TIME)
                return change(here, path, uid, gid)
            # one that another has by now is that one's
            if about.st_uid == one['uid'] != was['uid'] and not any(other.endswith('o') for other in all):
                if ref == 1 and not all: drop(here, REF, DAC, TIME)
                change(here, path, was['uid'], was['gid'])
    finally:
        os.close(file)

def words(error, path):
    if isinstance(error, Refused): return {'code': 'VIR_ERR_OPERATION_INVALID', 'message': str(error)}
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return {'code': 'VIR_ERR_SYSTEM_ERROR', 'message': text if path in text else f"cannot change the owner of '{path}': {text}"}

try:
    ask = json.load(sys.stdin)
except ValueError:
    sys.exit(1)
how, failures = [], []
for one in ask['back']:
    try:
        take_back(one)
    except (OSError, ValueError) as error:
        failures.append(words(error, one['path']))
for at, one in enumerate(ask['give']):
    try:
        how.append(give(one))
    except (OSError, ValueError, Refused) as error:
        failures.append(words(error, one['path']))
        for other in reversed(ask['give'][:at]):
            with contextlib.suppress(OSError, ValueError): take_back(other)
        break
print(json.dumps({'how': how, 'failures': failures}), flush=True)
`
