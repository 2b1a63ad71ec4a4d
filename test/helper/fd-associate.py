#!/usr/bin/python3
"""Images in a client's files by libvirt-python: fd-associate.py URI NAME

The guest is shut off; its disk vda is in the group `images`, and it has a SCSI controller. Prints a JSON object: scenario to what came of it.
"""
import json
import os
import sys
import tempfile
import time

import libvirt
import libvirt_qemu

URI, NAME = sys.argv[1:3]
WRITABLE = libvirt.VIR_DOMAIN_FD_ASSOCIATE_SECLABEL_WRITABLE
LIVE = libvirt.VIR_DOMAIN_AFFECT_LIVE
SECTOR = 512
DISK = '''<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/nowhere' fdgroup='more'/>
  <target dev='sda' bus='scsi'/></disk>'''
LIMIT_S = 60


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


def until_refused(domain):
    """The error of a disk whose files go with a connection that has been closed."""
    deadline = time.monotonic() + LIMIT_S
    while True:
        came = outcome(domain.attachDeviceFlags, DISK, LIVE)
        isGone = came != 0 and came[0] == libvirt.VIR_ERR_INVALID_ARG
        if isGone or time.monotonic() > deadline:
            return came
        if came == 0:
            domain.detachDeviceFlags(DISK, LIVE)


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
        other.lookupByName(NAME).FDAssociate('more', [first.fileno()], WRITABLE)
        domain.create()
        results['others'] = [names(domain), sizes(domain)]
        results['attached'] = [outcome(domain.attachDeviceFlags, DISK, LIVE), names(domain), sizes(domain)]
        results['detached'] = [outcome(domain.detachDeviceFlags, DISK, LIVE), names(domain), sizes(domain)]
        other.close()
        results['attached too late'] = [until_refused(domain), names(domain)]
        domain.destroy()
        # it holds the connection
        del domain
        connection.close()
    connection = libvirt.open(URI)
    results['after the connection'] = outcome(connection.lookupByName(NAME).create)
    print(json.dumps(results))


main()
