#!/usr/bin/env python3
"""Latency of libvirt calls over several connections, alternating between them: one JSON line on standard output.

usage: rpc-client.py ROUNDS NAME=URI=DOMAIN ...
Gives {"call": {"NAME": median microseconds, ...}, ...}.
"""
import json
import statistics
import sys
import time

import libvirt

CALLS = {
    # name: (call, how many times a round)
    'virDomainGetState': (lambda conn, dom: dom.state(), 200),
    'virDomainGetInfo': (lambda conn, dom: dom.info(), 200),
    'virDomainGetXMLDesc': (lambda conn, dom: dom.XMLDesc(0), 100),
    'virDomainMemoryStats': (lambda conn, dom: dom.memoryStats(), 20),
    'virDomainListGetStats': (lambda conn, dom: conn.domainListGetStats([dom], 0), 10),
}


def main():
    rounds = int(sys.argv[1])
    peers = {}
    for word in sys.argv[2:]:
        name, rest = word.split('=', 1)
        uri, domain = rest.rsplit('=', 1)
        conn = libvirt.open(uri)
        peers[name] = (conn, conn.lookupByName(domain))
    took = {call: {name: [] for name in peers} for call in CALLS}
    for turn in range(rounds + 1):
        for call, (run, times) in CALLS.items():
            for name, (conn, dom) in peers.items():
                for _ in range(times):
                    began = time.perf_counter_ns()
                    run(conn, dom)
                    if turn > 0:  # the first round warms up
                        took[call][name].append((time.perf_counter_ns() - began) / 1000)
    print(json.dumps({call: {name: statistics.median(of) for name, of in by.items()} for call, by in took.items()}))


main()
