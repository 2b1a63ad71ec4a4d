# What a program in QEMU's place gets at: tries all that its arguments name, and the ways to more privileges, and says of
# each what came of it: null, or what it got.
import ctypes, json, os, signal, socket, stat, struct, sys

ask = json.loads(sys.argv[1])
libc = ctypes.CDLL(None, use_errno=True)
if os.getuid() == 0:
    sys.exit('root gets at all, and would')
got = {}


def call(name, *args):
    """A system call; raises as os does."""
    result = getattr(libc, name)(*args)
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def attempt(name, work):
    """Each in a process of its own, which a success may change."""
    reads, writes = os.pipe()
    child = os.fork()
    if child == 0:
        os.setsid()
        try:
            text = str(work())
        except BaseException as error:
            text = f'!{error}'
        os.write(writes, text.encode()[:500])
        os._exit(0)
    os.close(writes)
    text = os.read(reads, 1000).decode(errors='replace')
    os.close(reads)
    os.waitpid(child, 0)
    got[name] = None if text.startswith('!') else text


def read(path):
    return f'{len(open(path, "rb", buffering=0).read(64))} bytes'


def connect(path):
    socket.socket(socket.AF_UNIX).connect(path)
    return 'connected'


def write(path):
    os.close(os.open(path, os.O_WRONLY))
    return 'open for writing'


def memory(pid):
    lines = open(f'/proc/{pid}/maps').read().split('\n')
    with open(f'/proc/{pid}/mem', 'rb', buffering=0) as mem:
        mem.seek(int(lines[0].split('-')[0], 16))
        return f'{len(mem.read(16))} bytes'


PTRACE_ATTACH, PTRACE_DETACH = 16, 17
CLONE_NEWNS, CLONE_NEWUSER = 0x20000, 0x10000000
MS_BIND, MNT_DETACH = 4096, 2


def trace(pid):
    call('ptrace', PTRACE_ATTACH, pid, None, None)
    os.waitpid(pid, 0)
    call('ptrace', PTRACE_DETACH, pid, None, None)
    return 'traced'


def node(kind, major, minor):
    path = f'{ask["writable"]}/node'
    os.mknod(path, kind | 0o600, os.makedev(major, minor))
    try:
        return read(path)
    finally:
        os.unlink(path)


def in_user_namespace(work):
    def inside():
        uid, gid = os.getuid(), os.getgid()
        call('unshare', CLONE_NEWUSER | CLONE_NEWNS)
        open('/proc/self/setgroups', 'w').write('deny')
        open('/proc/self/uid_map', 'w').write(f'0 {uid} 1')
        open('/proc/self/gid_map', 'w').write(f'0 {gid} 1')
        return work()

    return inside


def uncover(path):
    before = sorted(os.listdir(path)) if os.access(path, os.R_OK) else None
    call('umount2', path.encode(), MNT_DETACH)
    return f'uncovered: {before} -> {os.listdir(path)}'


def through_exec(*argv):
    """Runs a set-user-id program."""
    reads, writes = os.pipe()
    if os.fork() == 0:
        os.dup2(writes, 1)
        os.dup2(os.open('/dev/null', os.O_RDWR), 2)
        os.dup2(2, 0)
        os.execv(argv[0], argv)
    os.close(writes)
    said = os.read(reads, 1000).decode()
    if not said:
        raise OSError('nothing')
    return said


for path in ask['read']:
    attempt(f'read {path}', lambda: read(path))
for path in ask['write']:
    attempt(f'write {path}', lambda: write(path))
for path in ask['list']:
    attempt(f'list {path}', lambda: os.listdir(path))
for path in ask['connect']:
    attempt(f'connect {path}', lambda: connect(path))
for name, pid in ask['processes'].items():
    attempt(f'see {name}', lambda: open(f'/proc/{pid}/cmdline').read()[:40])
    attempt(f'environment of {name}', lambda: read(f'/proc/{pid}/environ'))
    attempt(f'files of {name}', lambda: os.listdir(f'/proc/{pid}/fd'))
    attempt(f'root of {name}', lambda: os.listdir(f'/proc/{pid}/root/etc'))
    attempt(f'memory of {name}', lambda: memory(pid))
    attempt(f'trace {name}', lambda: trace(pid))
    attempt(f'signal {name}', lambda: os.kill(pid, signal.SIGCONT) or 'signalled')
    attempt(f'mounts of {name}', lambda: call('setns', os.open(f'/proc/{pid}/ns/mnt', os.O_RDONLY), CLONE_NEWNS))
for path in ask['devices']:
    attempt(f'open {path}', lambda: os.close(os.open(path, os.O_RDONLY)) or 'open')
for path in ask['covers']:
    attempt(f'uncover {path}', lambda: uncover(path))
    attempt(f'uncover {path} in a user namespace', in_user_namespace(lambda: uncover(path)))
for path in ask['hidden']:
    attempt(f'read {path} in a user namespace', in_user_namespace(lambda: os.listdir(path)))
attempt('make a disk node', lambda: node(stat.S_IFBLK, *ask['disk']))
attempt('make a node of memory', lambda: node(stat.S_IFCHR, 1, 1))
attempt('make a disk node in a user namespace', in_user_namespace(lambda: node(stat.S_IFBLK, *ask['disk'])))
attempt('mount', lambda: call('mount', b'none', b'/mnt', b'tmpfs', 0, None) == 0)
attempt('bind', lambda: call('mount', b'/etc', b'/mnt', None, MS_BIND, None) == 0)
attempt('leave the mount namespace', lambda: call('unshare', CLONE_NEWNS))
attempt('chroot', lambda: os.chroot('/'))
attempt('become root', lambda: os.setuid(0))
attempt('become its group', lambda: os.setgid(0))
attempt('enter groups', lambda: os.setgroups([0, 42]))
attempt('become root by a program', lambda: through_exec('/usr/bin/su', 'root', '-c', 'id -u'))
attempt('host name', lambda: socket.sethostname('escaped'))
attempt('raw socket', lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW) and 'open')
attempt('SysV memory of others', lambda: [][0] if len(open('/proc/sysvipc/shm').readlines()) < 2 else 'listed')
attempt('core files', lambda: [][0] if __import__('resource').getrlimit(4) == (0, 0) else 'made')
attempt('own control group', lambda: write(ask['group']))
print(json.dumps(got))
