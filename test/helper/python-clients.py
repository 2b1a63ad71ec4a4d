#!/usr/bin/python3
"""What programs do with libvirt-python beyond plain calls: python-clients.py URI NAME [alone]

The guest is serial-guest.ts's. Prints a JSON object: scenario to what came of it. With `alone`, the last scenario ends
the guest, and with it the daemon.
"""
import json
import os
import sys
import threading
import time

import libvirt
import libvirt_qemu

LIMIT_S = 15
THREADS = 20
REGEX = libvirt_qemu.VIR_CONNECT_DOMAIN_QEMU_MONITOR_EVENT_REGISTER_REGEX
NOCASE = libvirt_qemu.VIR_CONNECT_DOMAIN_QEMU_MONITOR_EVENT_REGISTER_NOCASE

URI, NAME = sys.argv[1:3]


def failure(work, *arguments):
    """The error of a call, or what it gave."""
    try:
        return repr(work(*arguments))
    except libvirt.libvirtError as error:
        return [error.get_error_code(), error.get_error_domain(), error.get_error_message()]


def until(true):
    deadline = time.monotonic() + LIMIT_S
    while not true() and time.monotonic() < deadline:
        time.sleep(0.02)
    return true()


def read(stream, wanted):
    """Reads until that was said."""
    seen = b''
    while wanted not in seen:
        said = stream.recv(4096)
        if not said:
            return f'ended after {seen!r}'
        seen += said
    return 'said'


def booted(domain):
    """The guest's boot sector answers on the console."""
    stream = domain.connect().newStream()
    domain.openConsole(None, stream, libvirt.VIR_DOMAIN_CONSOLE_FORCE)
    seen = []
    thread = threading.Thread(target=lambda: seen.append(read(stream, b'!')), daemon=True)
    thread.start()
    deadline = time.monotonic() + LIMIT_S
    while not seen and time.monotonic() < deadline:
        stream.send(b'!')
        time.sleep(0.1)
    thread.join(LIMIT_S)
    stream.finish()
    return seen


def console(domain):
    """Blocking: what is sent comes back from the guest."""
    stream = domain.connect().newStream()
    domain.openConsole('serial0', stream, 0)
    stream.send(b'hello')
    said = read(stream, b'hello')
    stream.finish()
    return [said, failure(stream.recv, 1), failure(stream.finish)]


def console_events(domain):
    """Event-driven: written when it can be, read when something came, told about in callbacks."""
    stream = domain.connect().newStream(libvirt.VIR_STREAM_NONBLOCK)
    domain.openConsole(None, stream, 0)
    seen = bytearray()
    kinds = set()

    def callback(_stream, events, _opaque):
        if events & libvirt.VIR_STREAM_EVENT_WRITABLE:
            kinds.add('writable')
            stream.send(b'events')
            stream.eventUpdateCallback(libvirt.VIR_STREAM_EVENT_READABLE)
        if events & libvirt.VIR_STREAM_EVENT_READABLE:
            kinds.add('readable')
            said = stream.recv(100)
            if isinstance(said, bytes):
                seen.extend(said)

    stream.eventAddCallback(libvirt.VIR_STREAM_EVENT_READABLE | libvirt.VIR_STREAM_EVENT_WRITABLE, callback, None)
    said = until(lambda: b'events' in seen)
    nothing = repr(stream.recv(10))
    stream.eventRemoveCallback()
    stream.abort()
    return [said, sorted(kinds), nothing]


def console_send_all(domain):
    """A source that gives its data in pieces."""
    stream = domain.connect().newStream()
    domain.openConsole(None, stream, 0)
    pieces = [b'', b'two', b'one']
    failed = failure(stream.sendAll, lambda _stream, _count, _opaque: pieces.pop(), None)
    said = read(stream, b'onetwo')
    stream.finish()
    return [failed, said]


def console_taken_over(domain):
    """Whoever forces it has the console alone."""
    first = domain.connect().newStream()
    domain.openConsole(None, first, 0)
    second = domain.connect().newStream()
    domain.openConsole(None, second, libvirt.VIR_DOMAIN_CONSOLE_FORCE)
    second.send(b'mine')
    said = read(second, b'mine')
    second.finish()
    ended = []

    def drain():
        try:
            while first.recv(100):
                pass
            ended.append('end')
        except libvirt.libvirtError:
            ended.append('end')

    thread = threading.Thread(target=drain, daemon=True)
    thread.start()
    thread.join(LIMIT_S)
    return [said, ended]


def two_viewers(domain):
    """Both see what the guest says; of a shim only, libvirtd lets in one at a time."""
    streams = [domain.connect().newStream() for _ in range(2)]
    for stream in streams:
        domain.openConsole(None, stream, 0)
    streams[0].send(b'both')
    said = [read(stream, b'both') for stream in streams]
    for stream in streams:
        stream.finish()
    return said


def channel(domain):
    stream = domain.connect().newStream()
    domain.openChannel('org.example.0', stream, 0)
    sent = stream.send(b'nobody listens')
    stream.abort()
    return [sent, failure(domain.openChannel, 'nosuch', domain.connect().newStream(), 0)]


def screenshot(domain):
    stream = domain.connect().newStream()
    mime = domain.screenshot(stream, 0)
    picture = bytearray()
    stream.recvAll(lambda _stream, data, _opaque: picture.extend(data), None)
    stream.finish()
    return [mime, bytes(picture[1:4]).decode('latin1'), len(picture) > 500]


def unopened(domain):
    stream = domain.connect().newStream()
    return [failure(stream.recv, 1), failure(stream.send, b'x'), failure(stream.finish), failure(stream.abort)]


def deregister_in_callback(domain):
    """A callback that ends its own registration hears one event; another goes on."""
    connection = domain.connect()
    heard = {'once': 0, 'always': 0, 'freed': 0}
    ids = {}

    def once(*_):
        heard['once'] += 1
        connection.domainEventDeregisterAny(ids['once'])

    def always(_connection, of, *_):
        if of.name() == NAME:  # others may be changing guests too
            heard['always'] += 1

    ids['once'] = connection.domainEventRegisterAny(domain, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, once, None)
    ids['always'] = connection.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, always, None)
    domain.suspend()
    domain.resume()
    until(lambda: heard['always'] >= 2)
    connection.domainEventDeregisterAny(ids['always'])
    domain.suspend()
    domain.resume()
    time.sleep(0.3)
    return [heard, failure(connection.domainEventDeregisterAny, ids['always'])]


def monitor_events(domain):
    """QEMU's events by name, by pattern, without regard to case."""
    connection = domain.connect()
    filters = {'STOP': 0, 'stop': 0, 'Stop': NOCASE, '^ST.P$': REGEX, 'res': REGEX | NOCASE, 'ESUM': REGEX}
    heard = {name: [] for name in filters}
    ids = [
        libvirt_qemu.qemuMonitorEventRegister(
            connection, domain, name, lambda _conn, _dom, event, *_, to=heard[name]: to.append(event), None, flags)
        for name, flags in filters.items()
    ]
    stamps = []
    ids.append(libvirt_qemu.qemuMonitorEventRegister(
        connection, None, None,
        lambda _conn, dom, event, seconds, micros, details, _opaque: dom.name() == NAME and stamps.append(
            [event, abs(seconds - time.time()) < 60, 0 <= micros < 1000000, details]), None, 0))
    domain.suspend()
    domain.resume()
    until(lambda: len(stamps) >= 2)
    time.sleep(0.2)
    for number in ids:
        libvirt_qemu.qemuMonitorEventDeregister(connection, number)
    domain.suspend()
    domain.resume()
    time.sleep(0.2)
    register = lambda *given: libvirt_qemu.qemuMonitorEventRegister(connection, domain, *given)
    bad = failure(register, '(', lambda *_: None, None, REGEX)
    return [heard, stamps, bad[:2], failure(register, 'x', lambda *_: None, None, 64)]


def many_threads(domain):
    """Calls of many threads on one connection get their own answers."""
    wrong = []

    def work(number):
        for _ in range(10):
            try:
                answers = [domain.UUIDString(), domain.info()[3], domain.metadata(1, None), domain.state()[0]]
                if number % 2 and domain.connect().lookupByName(NAME).UUIDString() != answers[0]:
                    wrong.append('lookup')
                if answers[1:] != [1, 'A title', 1]:
                    wrong.append(answers)
            except libvirt.libvirtError as error:
                wrong.append(str(error))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT_S)
    return wrong


def keepalive(domain):
    connection = domain.connect()
    given = connection.setKeepAlive(1, 10)
    time.sleep(4)
    return [given, connection.isAlive(), domain.isActive()]


def closed(domain):
    """The connection's end is told."""
    reasons = []
    connection = libvirt.open(URI)
    connection.registerCloseCallback(lambda _conn, reason, _opaque: reasons.append(reason), None)
    domain.destroy()
    until(lambda: reasons)
    return [reasons, connection.isAlive()]


def main():
    libvirt.virEventRegisterDefaultImpl()
    libvirt.registerErrorHandler(lambda *_: None, None)

    def loop():
        while True:
            libvirt.virEventRunDefaultImpl()

    threading.Thread(target=loop, daemon=True).start()
    domain = libvirt.open(URI).lookupByName(NAME)
    scenarios = [booted, console, console_events, console_send_all, console_taken_over, channel, screenshot, unopened,
                 deregister_in_callback, monitor_events, many_threads, keepalive]
    if 'alone' in sys.argv:
        scenarios += [two_viewers, closed]
    results = {}
    for scenario in scenarios:
        done = threading.Event()

        def run(work=scenario, done=done):
            try:
                results[work.__name__] = work(domain)
            except Exception as error:  # whatever a scenario ends with is its result
                results[work.__name__] = f'{type(error).__name__}: {error}'
            done.set()

        threading.Thread(target=run, daemon=True).start()
        if not done.wait(4 * LIMIT_S):
            results[scenario.__name__] = 'took too long'
    print(json.dumps(results))
    sys.stdout.flush()
    # threads of the library may still be in callbacks
    os._exit(0)


main()
