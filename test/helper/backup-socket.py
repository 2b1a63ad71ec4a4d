#!/usr/bin/python3
"""A pull that listens at a socket of its client's, by libvirt-python: backup-socket.py URI NAME DIR

The guest has the disk vda; DIR is for the socket, scratch space and what is fetched, DIR/fetched. Prints a JSON object:
scenario to what came of it.
"""
import json
import os
import socket
import subprocess
import sys
import time

import libvirt

LIMIT_S = 60
URI, NAME, DIR = sys.argv[1:4]
PATH = f'{DIR}/client-socket'


def failure(work, *arguments):
    """The error of a call; 0 where there is none."""
    try:
        work(*arguments)
        return 0
    except libvirt.libvirtError as error:
        return [error.get_error_code(), error.get_error_domain(), error.get_error_message()]


def backup(server):
    return f"""<domainbackup mode='pull'><server {server}/><disks><disk name='vda' type='file'>
        <scratch file='{DIR}/client-scratch'/></disk></disks></domainbackup>"""


def listener():
    made = socket.socket(socket.AF_UNIX)
    if os.path.exists(PATH):
        os.unlink(PATH)
    made.bind(PATH)
    os.chmod(PATH, 0o777)
    made.listen()
    return made


def fetched():
    url = f'nbd+unix:///vda?socket={PATH}'
    done = subprocess.run(
        ['qemu-img', 'convert', '-f', 'raw', '-O', 'raw', url, f'{DIR}/fetched'], timeout=LIMIT_S, check=False
    )
    return done.returncode


def until_no_job(domain):
    limit = time.monotonic() + LIMIT_S
    while domain.jobInfo()[0] != libvirt.VIR_DOMAIN_JOB_NONE and time.monotonic() < limit:
        time.sleep(0.05)
    return domain.jobInfo()[0]


def main():
    found = {}
    domain = libvirt.open(URI).lookupByName(NAME)

    def begin(server):
        return failure(domain.backupBegin, backup(server), None, 0)

    found['no group'] = begin("transport='fd'")
    found['and a path'] = begin("transport='fd' fdgroup='nbd' socket='/x'")
    found['unknown'] = begin("transport='fd' fdgroup='nbd'")
    with open(os.devnull, 'rb') as null:
        domain.FDAssociate('nbd', [null.fileno(), null.fileno()], 0)
        found['two'] = begin("transport='fd' fdgroup='nbd'")
        domain.FDAssociate('nbd', [null.fileno()], 0)
        found['no socket'] = begin("transport='fd' fdgroup='nbd'")
    found['twice'] = []
    for _ in range(2):
        with listener() as socket_:
            domain.FDAssociate('nbd', [socket_.fileno()], 0)
        found['twice'] += [begin("transport='fd' fdgroup='nbd'"), fetched()]
        found['shown'] = domain.backupGetXMLDesc(0).splitlines()[1].strip()
        domain.abortJob()
        found['twice'].append(until_no_job(domain))
    print(json.dumps(found))


main()
