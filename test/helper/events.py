#!/usr/bin/python3
"""What a client of a running, paused guest hears while things happen to it: events.py URI NAME < STEPS

STEPS is a JSON array of [what, arguments…, events to wait for]. Prints one JSON object: `events`, an array a step of what
all callbacks got, as [id, fields…]; `monitor`, the names of QEMU's events; `errors` of steps that failed.
"""
import json
import os
import re
import socket
import sys
import threading
import time

import libvirt
import libvirt_qemu

LIMIT_S = 10
SETTLE_S = 0.3

IDS = {
    value: name[len('VIR_DOMAIN_EVENT_ID_'):]
    for name, value in vars(libvirt).items()
    if name.startswith('VIR_DOMAIN_EVENT_ID_') and not name.endswith('_LAST')
}


class Client:
    def __init__(self, uri, name):
        self.name = name
        self.heard = []
        self.monitor = []
        self.lock = threading.Condition()
        self.connection = libvirt.open(uri)
        self.domain = self.connection.lookupByName(name)
        for number in IDS:
            self.connection.domainEventRegisterAny(None, number, self.callback(number), None)
            self.connection.domainEventRegisterAny(self.domain, number, self.callback(number, ' of the domain'), None)
        self.connection.domainEventRegister(lambda *what: self.hear('old form', *what), None)
        libvirt_qemu.qemuMonitorEventRegister(
            self.connection, self.domain, None, lambda _conn, _dom, event, *_: self.hear_monitor(event), None)
        self.limit = LIMIT_S
        self.stream = None
        self.said = b''

    def hear_monitor(self, event):
        with self.lock:
            self.monitor.append(event)

    def callback(self, number, suffix=''):
        return lambda *what: self.hear(IDS[number] + suffix, *what)

    def hear(self, kind, _connection, domain, *fields):
        if domain.name() != self.name:
            return
        with self.lock:
            self.heard.append([kind, 'active' if domain.ID() > 0 else 'inactive', *fields[:-1]])
            self.lock.notify_all()

    def settle(self, count):
        """Waits for so many events, then until none came for a moment."""
        with self.lock:
            self.lock.wait_for(lambda: len(self.heard) >= count, self.limit)
            while self.lock.wait(SETTLE_S):
                pass
            heard, self.heard = self.heard, []
            return heard

    def until(self, true):
        """Waits until that is so of what was heard."""
        with self.lock:
            self.lock.wait_for(true, self.limit)

    def poke(self, *data):
        """Sends bytes over the serial port."""
        if self.stream is None:
            self.stream = self.connection.newStream()
            self.domain.openConsole(None, self.stream, libvirt.VIR_DOMAIN_CONSOLE_FORCE)
            threading.Thread(target=self.listen, daemon=True).start()
        self.stream.send(bytes(data))

    def listen(self):
        try:
            while (said := self.stream.recv(100)):
                with self.lock:
                    self.said += said
        except libvirt.libvirtError:
            pass

    def boot(self):
        """Waits until the guest's boot sector answers over the serial port."""
        self.said = b''
        deadline = time.monotonic() + LIMIT_S
        while b'!' not in self.said and time.monotonic() < deadline:
            self.poke(*b'!')
            time.sleep(0.1)

    def patience(self, seconds):
        """How long events may take from now on."""
        self.limit = seconds

    def hmp(self, line):
        libvirt_qemu.qemuMonitorCommand(self.domain, line, libvirt_qemu.VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP)

    def qmp(self, command, arguments=None):
        call = {'execute': command, **({'arguments': arguments} if arguments else {})}
        answer = json.loads(libvirt_qemu.qemuMonitorCommand(self.domain, json.dumps(call), 0))
        if 'error' in answer:
            raise RuntimeError(answer['error']['desc'])

    def vnc(self):
        """Shakes hands with the VNC server and goes."""
        path = json.loads(libvirt_qemu.qemuMonitorCommand(self.domain, '{"execute":"query-vnc"}', 0))['return']
        with socket.create_connection((path['host'], int(path['service'])), LIMIT_S) as viewer:
            for answer in (b'RFB 003.008\n', b'\x01', b'\x01'):
                viewer.recv(100)
                viewer.sendall(answer)
            viewer.recv(100)

    def api(self, method, *arguments):
        getattr(self.domain, method)(*arguments)

    def api_until(self, kind, times, method, *arguments):
        """A call, and what comes of it until that event was heard so often by one callback."""
        deadline = time.monotonic() + self.limit
        while True:
            try:
                self.api(method, *arguments)
                break
            except libvirt.libvirtError as error:
                # an agent of a slow guest may not answer in the time libvirt gives it
                if error.get_error_code() != libvirt.VIR_ERR_AGENT_UNRESPONSIVE or time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
        self.until(lambda: sum(event[0] == kind for event in self.heard) >= times)

    def balloon(self, kib):
        """Waits until the guest has that much."""
        self.qmp('balloon', {'value': kib * 1024})
        self.until(lambda: any(event[0] == 'BALLOON_CHANGE' and event[2] == kib for event in self.heard))

    def xml(self, pattern):
        """Puts what the live XML says there among the events."""
        self.hear('xml', self.connection, self.domain, *re.findall(pattern, self.domain.XMLDesc()), None)

    def state(self):
        self.hear('state', self.connection, self.domain, *self.domain.state(), None)


def main():
    libvirt.virEventRegisterDefaultImpl()
    libvirt.registerErrorHandler(lambda *_: None, None)

    def loop():
        while True:
            libvirt.virEventRunDefaultImpl()

    threading.Thread(target=loop, daemon=True).start()
    client = Client(sys.argv[1], sys.argv[2])
    events = []
    errors = []
    for what, *arguments, count in json.load(sys.stdin):
        try:
            getattr(client, what)(*arguments)
        except (libvirt.libvirtError, RuntimeError) as error:
            errors.append([what, arguments, str(error)])
        events.append(client.settle(count))
    print(json.dumps({'events': events, 'monitor': client.monitor, 'errors': errors}))
    sys.stdout.flush()
    # threads of the library may still be in callbacks
    os._exit(0)


main()
