#!/usr/bin/python3
"""Calls with descriptors, right and wrong, as bytes: file-calls.py SOCKET NAME UUID [late]

The guest has a VNC screen. Prints a JSON object: scenario to what came of it. With `late`, only the clients that
announce descriptors and send none, which takes as long as the limit.
"""
import array
import json
import os
import socket
import struct
import sys
import threading
import time
import uuid

LIMIT_S = 120
REMOTE_PROGRAM, KEEPALIVE_PROGRAM = 0x20008086, 0x6B656570
CONNECT_OPEN, GET_LIB_VERSION, OPEN_GRAPHICS = 1, 157, 249
CALL, REPLY, MESSAGE, CALL_WITH_FDS = 0, 1, 2, 4
PING, PONG = 1, 2
FILES_MAX = 32

PATH, NAME, UUID = sys.argv[1:4]


def string(text):
    data = text.encode()
    return struct.pack('>I', len(data)) + data + bytes(-len(data) % 4)


DOMAIN = string(NAME) + uuid.UUID(UUID).bytes + struct.pack('>i', -1)
SCREEN = DOMAIN + struct.pack('>II', 0, 1)
OPEN = struct.pack('>I', 0) + struct.pack('>I', 0)


class Peer:
    def __init__(self, path=PATH, opened=True):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(LIMIT_S)
        self.socket.connect(path)
        self.serial = 0
        self.replies = {}
        if opened:
            self.answer(self.call(CONNECT_OPEN, OPEN))

    def packet(self, procedure, payload=b'', count=None, program=REMOTE_PROGRAM, kind=CALL):
        """`count` descriptors are announced."""
        self.serial += 1
        if count is not None:
            kind, payload = CALL_WITH_FDS, struct.pack('>I', count) + payload
        header = struct.pack('>IIiiIi', program, 1, procedure, kind, self.serial, 0)
        return struct.pack('>I', 28 + len(payload)) + header + payload

    def call(self, procedure, payload=b'', files=None, count=None):
        """Sends a call and each descriptor behind it; gives its serial."""
        if files is not None and count is None:
            count = len(files)
        self.socket.sendall(self.packet(procedure, payload, count))
        for file in files or []:
            self.pass_files([file])
        return self.serial

    def pass_files(self, files, data=b'\0'):
        numbers = array.array('i', [file.fileno() for file in files])
        self.socket.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, numbers)] if files else [])

    def read(self, size):
        data = b''
        while len(data) < size:
            more = self.socket.recv(size - len(data))
            if not more:
                raise EOFError
            data += more
        return data

    def message(self):
        (length,) = struct.unpack('>I', self.read(4))
        data = self.read(length - 4)
        return struct.unpack('>IIiiIi', data[:24]), data[24:]

    def answer(self, serial):
        """0, or the error's code and message."""
        while serial not in self.replies:
            (_, _, _, kind, number, status), payload = self.message()
            if kind == REPLY:
                self.replies[number] = 0 if status == 0 else error_in(payload)
        return self.replies.pop(serial)

    def goes_on(self):
        return self.answer(self.call(GET_LIB_VERSION)) == 0

    def is_closed(self):
        try:
            while True:
                self.message()
        except (EOFError, ConnectionError):
            return True
        except TimeoutError:
            return False


def error_in(payload):
    code, _, there = struct.unpack('>iiI', payload[:12])
    (length,) = struct.unpack('>I', payload[12:16]) if there else (0,)
    return [code, payload[16 : 16 + length].decode()]


def pair():
    ours, theirs = socket.socketpair()
    ours.settimeout(LIMIT_S)
    return ours, theirs


def greets(screen):
    return screen.recv(12, socket.MSG_WAITALL).startswith(b'RFB')


def is_let_go(ours):
    """Nobody has the other end any more."""
    try:
        return ours.recv(1) == b''
    except ConnectionError:
        return True


def no_file_at_all():
    peer = Peer()
    return [peer.answer(peer.call(OPEN_GRAPHICS, SCREEN)), peer.goes_on()]


def none_announced():
    peer = Peer()
    return [peer.answer(peer.call(OPEN_GRAPHICS, SCREEN, count=0)), peer.goes_on()]


def no_socket():
    peer = Peer()
    with open(os.devnull) as null:
        return [peer.answer(peer.call(OPEN_GRAPHICS, SCREEN, [null])), peer.goes_on()]


def read_ahead():
    """What follows the descriptors in one go is answered too, and a ping meanwhile."""
    peer = Peer()
    pairs = [pair() for _ in range(4)]
    serials = [peer.call(GET_LIB_VERSION)]
    serials.append(peer.call(OPEN_GRAPHICS, SCREEN, [theirs for _, theirs in pairs[:3]]))
    serials += [peer.call(GET_LIB_VERSION) for _ in range(20)]
    serials.append(peer.call(OPEN_GRAPHICS, SCREEN, [pairs[3][1]]))
    peer.socket.sendall(peer.packet(PING, program=KEEPALIVE_PROGRAM, kind=MESSAGE))
    serials.append(peer.call(GET_LIB_VERSION))
    answers = [peer.answer(serial) for serial in serials]
    for _, theirs in pairs:
        theirs.close()
    shown = [greets(pairs[0][0]), greets(pairs[3][0])]
    return [set(answers) == {0}, shown, [is_let_go(pairs[1][0]), is_let_go(pairs[2][0])]]


def in_pieces():
    peer = Peer()
    ours, theirs = pair()
    packet = peer.packet(OPEN_GRAPHICS, SCREEN, 1)
    for at in range(0, len(packet), 7):
        peer.socket.sendall(packet[at : at + 7])
        time.sleep(0.01)
    time.sleep(0.5)
    peer.pass_files([theirs], b'x' + peer.packet(GET_LIB_VERSION))
    theirs.close()
    return [peer.answer(peer.serial - 1), peer.answer(peer.serial), greets(ours)]


def taken_by_no_call():
    peer = Peer()
    ours, theirs = pair()
    serial = peer.call(GET_LIB_VERSION, files=[theirs, theirs])
    theirs.close()
    return [peer.answer(serial), is_let_go(ours), peer.goes_on()]


def before_open():
    peer = Peer(opened=False)
    ours, theirs = pair()
    serial = peer.call(OPEN_GRAPHICS, SCREEN, [theirs])
    theirs.close()
    return [peer.answer(serial), is_let_go(ours), peer.answer(peer.call(CONNECT_OPEN, OPEN))]


def reader():
    peer = Peer(f'{PATH}-ro', opened=False)
    peer.answer(peer.call(CONNECT_OPEN, struct.pack('>II', 0, 1)))
    ours, theirs = pair()
    serial = peer.call(OPEN_GRAPHICS, SCREEN, [theirs])
    theirs.close()
    return [peer.answer(serial), is_let_go(ours), peer.goes_on()]


def too_many():
    peer = Peer()
    peer.call(OPEN_GRAPHICS, SCREEN, count=FILES_MAX + 1)
    return peer.is_closed()


def no_count():
    peer = Peer()
    packet = bytearray(peer.packet(OPEN_GRAPHICS))
    struct.pack_into('>i', packet, 16, CALL_WITH_FDS)
    peer.socket.sendall(packet)
    return peer.is_closed()


def byte_without_file():
    peer = Peer()
    peer.call(OPEN_GRAPHICS, SCREEN, count=1)
    peer.pass_files([])
    return peer.is_closed()


def two_with_a_byte():
    peer = Peer()
    ours, theirs = pair()
    peer.call(OPEN_GRAPHICS, SCREEN, count=2)
    peer.pass_files([theirs, theirs])
    theirs.close()
    return [peer.is_closed(), is_let_go(ours)]


def closed_in_the_middle():
    peer = Peer()
    ours, theirs = pair()
    for count in (1, 2, FILES_MAX):
        peer = Peer()
        peer.call(OPEN_GRAPHICS, SCREEN, [theirs] if count > 1 else None, count)
        peer.socket.close()
    theirs.close()
    return is_let_go(ours)


def flood():
    """Many descriptors at once, and the connection gone before the last are answered."""
    peer = Peer()
    with open(os.devnull) as null:
        serials = []
        for _ in range(20):
            serials.append(peer.call(OPEN_GRAPHICS, SCREEN, [null] * FILES_MAX))
            serials += [peer.call(GET_LIB_VERSION, files=[null] * FILES_MAX) for _ in range(20)]
        answers = [peer.answer(serial) for serial in serials]
        for _ in range(20):
            peer.call(OPEN_GRAPHICS, SCREEN, [null] * FILES_MAX)
    peer.socket.close()
    return [sum(answer == 0 for answer in answers), sum(answer != 0 for answer in answers)]


def silent():
    """Clients that send nothing are closed after a while; calls of others, with files and without, are answered."""
    peers = [Peer() for _ in range(10)]
    for i, peer in enumerate(peers):
        packet = peer.packet(OPEN_GRAPHICS, SCREEN, 1)
        if i > 0:
            peer.socket.sendall(packet)
        else:
            # with the message is not behind it
            peer.pass_files([sys.stdin], packet)
    began = time.monotonic()
    at_once = Peer().goes_on()
    took = time.monotonic() - began
    last = []
    ours, theirs = pair()

    def other():
        peer = Peer()
        last.append(peer.answer(peer.call(OPEN_GRAPHICS, SCREEN, [theirs])))

    thread = threading.Thread(target=other)
    thread.start()
    closed = [peer.is_closed() for peer in peers]
    thread.join()
    return [at_once, took < 5, all(closed), last, greets(ours)]


SCENARIOS = [
    no_file_at_all,
    none_announced,
    no_socket,
    read_ahead,
    in_pieces,
    taken_by_no_call,
    before_open,
    reader,
    too_many,
    no_count,
    byte_without_file,
    two_with_a_byte,
    closed_in_the_middle,
    flood,
]


def outcome(scenario):
    try:
        return scenario()
    except Exception as error:
        return repr(error)


wanted = [silent] if 'late' in sys.argv else SCENARIOS
print(json.dumps({scenario.__name__.replace('_', ' '): outcome(scenario) for scenario in wanted}))
