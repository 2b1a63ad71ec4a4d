#!/usr/bin/python3
"""What libvirt-python answers to calls on a guest and its connection: python-calls.py URI NAME [readonly] < CALLS

CALLS is a JSON array of [object, method, arguments, how]: object is `conn`, `dom` or `qemu` for a
function of libvirt_qemu on the guest; how is `exact` for the value as
Python writes it, `shape` for its types alone, `code` for an error's number alone,
`elements` for the elements of XML and their attributes' names, `alias` with its value, a path that begins with ./ for the
elements of XML that it finds. Prints a JSON array: {"value"} or {"error": [code, domain, message]}.
"""
import json
import os
import re
import socket
import sys
from xml.etree import ElementTree

import libvirt
import libvirt_qemu

# kept open: what is handed over is used later
SOCKETS = []


def shape(value):
    """Types in place of values; what a dictionary has is told by its keys."""
    if isinstance(value, dict):
        return {str(key): shape(inner) for key, inner in sorted(value.items(), key=lambda pair: str(pair[0]))}
    if isinstance(value, (list, tuple)):
        return [type(value).__name__, *[shape(inner) for inner in value]]
    return type(value).__name__


def plain(value):
    """Objects of the library by their class and name."""
    if isinstance(value, (list, tuple)):
        return type(value)(plain(inner) for inner in value)
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, libvirt.virDomain):
        return f'{type(value).__name__} {value.name()} {value.UUIDString()} {"active" if value.ID() > 0 else "inactive"}'
    return type(value).__name__ if isinstance(value, libvirt.virConnect) else value


def without_others(stats, name):
    """What libvirtd lists of this guest: other tests' come and go meanwhile."""
    return [one for one in stats if one[0].name() == name]


def elements(xml):
    """One line an element; which features a CPU turns out to have is compared elsewhere."""
    return [
        node.tag + ''.join(f' {name}' for name in sorted(node.attrib)) + (' ' + node.get('name') if node.tag == 'alias' else '')
        for node in ElementTree.fromstring(xml).iter()
        if node.tag != 'feature'
    ]


def found(path):
    """Writes the elements of XML that are at a path, without the space between them."""
    def show(xml):
        nodes = ElementTree.fromstring(xml).findall(path)
        return [re.sub(r'>\s+<', '><', ElementTree.canonicalize(ElementTree.tostring(node))).strip() for node in nodes]
    return show


def argument(given, domain):
    """Names of constants stand for their values, DOM for the guest, STREAM for a new stream, SOCKET for one end of a new
    pair, FILE for a descriptor of /dev/null, CPUS 101 for a tuple of truths."""
    if isinstance(given, list):
        return [argument(one, domain) for one in given]
    if given == 'SOCKET':
        SOCKETS.extend(socket.socketpair())
        return SOCKETS[-1].fileno()
    if given == 'FILE':
        return os.open('/dev/null', os.O_RDWR | os.O_CLOEXEC)
    if isinstance(given, str) and given.startswith('CPUS '):
        return tuple(one == '1' for one in given.removeprefix('CPUS '))
    if given == 'DOM':
        return domain
    if given == 'STREAM':
        return domain.connect().newStream()
    return getattr(libvirt, given) if isinstance(given, str) and given.startswith('VIR_') else given


def main():
    libvirt.registerErrorHandler(lambda *_: None, None)
    connection = (libvirt.openReadOnly if 'readonly' in sys.argv else libvirt.open)(sys.argv[1])
    domain = connection.lookupByName(sys.argv[2])
    answers = []
    for on, method, arguments, how in json.load(sys.stdin):
        given = [argument(one, domain) for one in arguments]
        try:
            if on == 'qemu':
                value = getattr(libvirt_qemu, method)(domain, *given)
            else:
                value = getattr(connection if on == 'conn' else domain, method)(*given)
                if method == 'getAllDomainStats' and sys.argv[1] == 'qemu:///system':
                    value = without_others(value, domain.name())
                value = plain(value)
            shown = found(how) if how.startswith('./') else {'shape': shape, 'elements': elements}.get(how, repr)
            answers.append({'value': shown(value)})
        except libvirt.libvirtError as error:
            code = error.get_error_code()
            if how == 'code':
                answers.append({'error': code})
                continue
            answers.append({'error': [code, error.get_error_domain(), error.get_error_message()]})
        except (TypeError, AttributeError, LookupError, OverflowError, ValueError) as error:
            answers.append({'error': [type(error).__name__, 0, str(error)]})
    json.dump(answers, sys.stdout)


main()
