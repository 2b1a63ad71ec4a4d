#!/usr/bin/python3
"""What the running libvirtd says about domain XML files: libvirt-answers.py PATTERN FILE...

One JSON line a file: {"file", "argv" or "argvError", "xml" or "xmlError"}; an error is [code, message]. argv is what
domxml-to-native gives, xml what defining the domain and dumping it inactive with security info gives; the domain is
undefined again. It is not asked for argv of files whose name matches the pattern. Ends with status 3 when the
connection breaks; the file in question has no line then.
"""
import json
import os
import re
import sys

import libvirt

LOST = 3
DUMP = libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE
UNDEFINE = libvirt.VIR_DOMAIN_UNDEFINE_NVRAM | libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE


def answer(connection, key, ask):
    try:
        return {key: ask()}
    except libvirt.libvirtError as error:
        if not connection.isAlive():
            sys.exit(LOST)
        return {key + 'Error': [error.get_error_code(), error.get_error_message()]}


def dump(connection, source):
    domain = connection.defineXML(source)
    try:
        return domain.XMLDesc(DUMP)
    finally:
        domain.undefineFlags(UNDEFINE)


def main():
    libvirt.registerErrorHandler(lambda *_: None, None)
    try:
        connection = libvirt.open('qemu:///system')
    except libvirt.libvirtError:
        sys.exit(LOST)
    for path in sys.argv[2:]:
        with open(path, encoding='utf-8', errors='surrogateescape') as file:
            source = file.read()
        row = {'file': path}
        if not re.search(sys.argv[1], os.path.basename(path)):
            row.update(answer(connection, 'argv', lambda: connection.domainXMLToNative('qemu-argv', source, 0)))
        row.update(answer(connection, 'xml', lambda: dump(connection, source)))
        print(json.dumps(row), flush=True)


main()
