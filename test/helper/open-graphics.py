#!/usr/bin/python3
"""Screens by libvirt-python: open-graphics.py URI NAME

The guest has a VNC screen with a password. Prints a JSON object: scenario to what came of it.
"""
import json
import os
import socket
import sys

import libvirt

LIMIT_S = 60
SKIPAUTH = libvirt.VIR_DOMAIN_OPEN_GRAPHICS_SKIPAUTH
VERSION = b'RFB 003.008\n'

URI, NAME = sys.argv[1:3]


def failure(work, *arguments):
    """The error of a call, or what it gave."""
    try:
        return repr(work(*arguments))
    except libvirt.libvirtError as error:
        return [error.get_error_code(), error.get_error_domain(), error.get_error_message()]


def greeting(screen):
    """The version the server has, and the kinds of security it offers: 1 is none, 2 a password."""
    screen.settimeout(LIMIT_S)
    with screen:
        version = screen.recv(len(VERSION), socket.MSG_WAITALL)
        screen.sendall(VERSION)
        count = screen.recv(1)[0]
        return [version.decode().strip(), sorted(screen.recv(count, socket.MSG_WAITALL))]


def by_fd(domain, flags):
    return greeting(socket.socket(fileno=domain.openGraphicsFD(0, flags)))


def given(domain, flags, index=0):
    ours, theirs = socket.socketpair()
    with theirs:
        domain.openGraphics(index, theirs.fileno(), flags)
    return greeting(ours)


def main():
    connection = libvirt.open(URI)
    domain = connection.lookupByName(NAME)
    reader = libvirt.openReadOnly(URI)
    with open(os.devnull) as null:
        results = {
            'fd': by_fd(domain, 0),
            'fd, no password asked': by_fd(domain, SKIPAUTH),
            'given': given(domain, 0),
            'given, no password asked': given(domain, SKIPAUTH),
            'no such screen': failure(given, domain, 0, 7),
            'flags': failure(given, domain, 2),
            'no socket': failure(domain.openGraphics, 0, null.fileno(), 0),
            'reader': failure(given, reader.lookupByName(NAME), 0),
            'many': [given(domain, SKIPAUTH)[0] for _ in range(5)],
            'after that': domain.info()[0],
        }
    print(json.dumps(results))


main()
