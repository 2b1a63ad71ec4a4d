#!/usr/bin/python3
"""What of a guest passes an interface, until it is ended: watch-pings.py INTERFACE MAC

Prints a line for each echo request of IPv4 and each announcement by RARP that comes from that MAC address: `ping` or `rarp`,
and the time in ms.
"""
import socket
import sys
import time

ETH_P_ALL = 3
ETH_P_IP = 0x0800
ETH_P_RARP = 0x8035
ICMP = 1
ECHO_REQUEST = 8

INTERFACE, MAC = sys.argv[1], bytes.fromhex(sys.argv[2].replace(':', ''))


def kind(frame):
    if frame[6:12] != MAC:
        return None
    protocol = int.from_bytes(frame[12:14], 'big')
    if protocol == ETH_P_RARP:
        return 'rarp'
    header = (frame[14] & 15) * 4
    is_ping = protocol == ETH_P_IP and frame[23] == ICMP and frame[14 + header] == ECHO_REQUEST
    return 'ping' if is_ping else None


with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL)) as watched:
    watched.bind((INTERFACE, 0))
    print('watching', 0, flush=True)
    while True:
        frame = watched.recv(2048)
        if found := kind(frame):
            print(found, time.monotonic() * 1000, flush=True)
