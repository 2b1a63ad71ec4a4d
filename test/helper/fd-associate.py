#!/usr/bin/python3
"""Images in a client's files by libvirt-python: fd-associate.py URI NAME

The guest is shut off; its disk vda is in the group `images`. Prints a JSON object: scenario to what came of it.
"""
import json
import os
import sys
import tempfile

import libvirt
import libvirt_qemu

URI, NAME = sys.argv[1:3]
WRITABLE = libvirt.VIR_DOMAIN_FD_ASSOCIATE_SECLABEL_WRITABLE
SECTOR = 512


def image(sectors):
    file = tempfile.TemporaryFile()
    file.truncate(SECTOR * sectors)
    return file


def outcome(work, *arguments):
    """The error of a call, or what it gave."""
    try:
        return work(*arguments)
    except libvirt.libvirtError as error:
        return [error.get_error_code(), error.get_error_domain(), error.get_error_message()]


def monitor(domain, execute, **arguments):
    command = json.dumps({'execute': execute, 'arguments': arguments})
    return json.loads(libvirt_qemu.qemuMonitorCommand(domain, command, 0))['return']


def sizes(domain):
    """Sectors of the disks' images, as QEMU has them."""
    return [one['inserted']['image']['virtual-size'] // SECTOR for one in monitor(domain, 'query-block')]


def names(domain):
    return sorted([one['opaque'] for one in found['fds']] for found in monitor(domain, 'query-fdsets'))


def main():
    connection = libvirt.open(URI)
    other = libvirt.open(URI)
    domain = connection.lookupByName(NAME)
    results = {'without files': outcome(domain.create)}
    with image(8) as first, image(16) as second:
        results['flags'] = outcome(domain.FDAssociate, 'images', [first.fileno()], 4)
        results['reader'] = outcome(libvirt.openReadOnly(URI).lookupByName(NAME).FDAssociate, 'images', [first.fileno()], 0)
        results['given'] = outcome(domain.FDAssociate, 'images', [first.fileno()], WRITABLE)
        for turn in ('started', 'started again'):
            domain.create()
            results[turn] = [names(domain), sizes(domain)]
            domain.destroy()
        results['given anew'] = outcome(domain.FDAssociate, 'images', [second.fileno()], WRITABLE)
        other.lookupByName(NAME).FDAssociate('more', [first.fileno(), second.fileno()], 0)
        domain.create()
        results['others'] = [names(domain), sizes(domain)]
        other.close()
        domain.destroy()
        # it holds the connection
        del domain
        connection.close()
    connection = libvirt.open(URI)
    results['after the connection'] = outcome(connection.lookupByName(NAME).create)
    print(json.dumps(results))


main()
