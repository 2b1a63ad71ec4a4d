#!/usr/bin/python3
"""What the running libvirtd does with devices in definitions of guests.

Reads one JSON line a guest: {"name", "xml", "running", "calls": [[method, argument, flags], ...], "live"}; methods are
virDomain's of libvirt-python. A guest that is to be running is paused. Writes one JSON line a guest: {"name", "answers"}, an answer to each call being the inactive XML after
it, or with "live" the live one, or the error as [code, domain, message]; "defineError" instead where there is no such
guest. The guest is gone again afterwards. Ends with status 3 when the connection breaks.
"""
import json
import sys

import libvirt

LOST = 3
DUMP = libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE
UNDEFINE = libvirt.VIR_DOMAIN_UNDEFINE_NVRAM | libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE


def refusal(connection, error):
    if not connection.isAlive():
        sys.exit(LOST)
    return [error.get_error_code(), error.get_error_domain(), error.get_error_message()]


def answer(connection, domain, dump, method, argument, flags):
    try:
        arguments = [argument] if flags is None else [argument, flags]
        getattr(domain, method)(*arguments)
        return domain.XMLDesc(dump)
    except libvirt.libvirtError as error:
        return refusal(connection, error)


def main():
    libvirt.registerErrorHandler(lambda *_: None, None)
    try:
        connection = libvirt.open('qemu:///system')
    except libvirt.libvirtError:
        sys.exit(LOST)
    for line in sys.stdin:
        guest = json.loads(line)
        row = {'name': guest['name']}
        dump = libvirt.VIR_DOMAIN_XML_SECURE if guest.get('live') else DUMP
        try:
            domain = connection.defineXML(guest['xml'])
        except libvirt.libvirtError as error:
            row['defineError'] = refusal(connection, error)
        else:
            try:
                if guest['running']:
                    domain.createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED)
                row['answers'] = [answer(connection, domain, dump, *call) for call in guest['calls']]
            finally:
                if domain.isActive():
                    domain.destroy()
                domain.undefineFlags(UNDEFINE)
        print(json.dumps(row), flush=True)


main()
