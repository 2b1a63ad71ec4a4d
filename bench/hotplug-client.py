#!/usr/bin/env python3
"""Latency of changes to running guests over several connections, alternating between them: one JSON line on stdout.

usage: hotplug-client.py ROUNDS PAUSE NAME=URI=DOMAIN=IMAGE ...
PAUSE is in seconds, after each call on all guests. IMAGE is a raw disk image to plug into that guest.
Gives {"call": {"NAME": [[begin, end], ...], ...}, ...}, in milliseconds since the epoch.
"""
import json
import sys
import time

import libvirt

LIVE = libvirt.VIR_DOMAIN_AFFECT_LIVE
GUEST_LIMIT_S = 60
KIB = 1024

NIC = "<interface type='user'><mac address='52:54:00:be:00:01'/><model type='virtio'/></interface>"


def disk(image):
    return (
        "<disk type='file' device='disk'><driver name='qemu' type='raw'/>"
        f"<source file='{image}'/><target dev='vdx' bus='virtio'/></disk>"
    )


def until_gone(dom, text):
    """A guest that was slow gives a device up after the call for it has returned."""
    deadline = time.monotonic() + GUEST_LIMIT_S
    while text in dom.XMLDesc(0):
        if time.monotonic() > deadline:
            raise SystemExit(f'{dom.name()} does not give up {text}')
        time.sleep(0.01)


def main():
    rounds = int(sys.argv[1])
    pause = float(sys.argv[2])
    peers = {}
    for word in sys.argv[3:]:
        name, rest = word.split('=', 1)
        uri, domain, image = rest.rsplit('=', 2)
        peers[name] = (libvirt.open(uri).lookupByName(domain), disk(image))
    calls = [
        ('attach a disk', lambda dom, xml: dom.attachDeviceFlags(xml, LIVE), None),
        ('detach a disk', lambda dom, xml: dom.detachDeviceFlags(xml, LIVE), 'vdx'),
        ('attach a NIC', lambda dom, _: dom.attachDeviceFlags(NIC, LIVE), None),
        ('detach a NIC', lambda dom, _: dom.detachDeviceFlags(NIC, LIVE), '52:54:00:be:00:01'),
        ('virDomainSetMemory, less', lambda dom, _: dom.setMemory(240 * KIB), None),
        ('virDomainSetMemory, more', lambda dom, _: dom.setMemory(256 * KIB), None),
        # one that goes and comes again is more than QEMU 7.2 under TCG survives
        ('virDomainSetVcpus, one more', lambda dom, _: dom.setVcpus(dom.vcpusFlags() + 1), None),
    ]
    took = {call: {name: [] for name in peers} for call, _, _ in calls}
    for turn in range(rounds + 1):
        for call, run, gone in calls:
            for name, (dom, xml) in peers.items():
                began = time.time_ns()
                run(dom, xml)
                ended = time.time_ns()
                if gone:
                    until_gone(dom, gone)
                if turn > 0:  # the first round warms up
                    took[call][name].append((began / 1e6, ended / 1e6))
            # the guest's own work on it is not to fall into the next call
            time.sleep(pause)
    print(json.dumps(took))


main()
