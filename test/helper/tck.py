#!/usr/bin/python3
"""What libvirt's compatibility kit (libvirt-tck) asks of a driver, script by script: tck.py OPTIONS

OPTIONS is a JSON object:
    uri        the driver's connection
    other      another host's, for the script that migrates; absent: it is passed over, as in the kit
    name       what guests, networks and pools are called, or begin with: others are let alone
    directory  for images and pools; the driver's QEMU must reach it
    boot       elements of `<os>` that boot a guest with an agent
    scripts    those that are run, as `domain/050`; absent: all
    leave      those that are not
    moves      how many of the migrations are made, of 96, evenly spread; absent: all

Prints a JSON object: of each script a list of [step, whether the kit lets it pass, what was seen].
The kit is in Perl, on Sys::Virt; its steps are told anew here, on libvirt-python. What it skips without a full
operating system, or devices of the host that it may harm, is done with what the tests have.
"""
import json
import os
import stat
import subprocess
import sys
import time
import uuid
from xml.etree import ElementTree

import libvirt
import libvirt_qemu
from libvirt import (
    VIR_DOMAIN_AFFECT_CONFIG as CONFIG,
    VIR_DOMAIN_AFFECT_CURRENT as CURRENT,
    VIR_DOMAIN_AFFECT_LIVE as LIVE,
    VIR_ERR_NO_DOMAIN as NO_DOMAIN,
    VIR_ERR_OPERATION_INVALID as OPERATION_INVALID,
)

MIB = 1024 * 1024
KERNEL_MEMORY_KIB = 256 * 1024
SYSTEM_MEMORY_KIB = 1024 * 1024
BOOT_LIMIT_S = 240
SETTLE_LIMIT_S = 60
RUNNING = libvirt.VIR_DOMAIN_RUNNING
PAUSED = libvirt.VIR_DOMAIN_PAUSED
SHUTOFF = libvirt.VIR_DOMAIN_SHUTOFF

# number of a script -> the function with its steps
SCRIPTS = {}


class Left(Exception):
    """A script cannot go on."""


def script(number):
    def put(steps):
        SCRIPTS[number] = steps
        return steps
    return put


def shown(value):
    """A value as JSON has it; objects of the library by their class, name and life."""
    if isinstance(value, libvirt.virDomain):
        return f'domain {value.name()} {"active" if value.isActive() else "inactive"}'
    if type(value).__module__ == 'libvirt':
        return type(value).__name__
    return value if isinstance(value, (str, int, type(None))) else repr(value)


def told(error):
    return f'error {error.get_error_code()} of {error.get_error_domain()}: {error.get_error_message()}'


def until(call, limit=SETTLE_LIMIT_S):
    """Waits until a call says yes; an error is a no. Gives its last answer."""
    deadline = time.monotonic() + limit
    while True:
        try:
            answer = call()
        except libvirt.libvirtError:
            answer = False
        if answer or time.monotonic() > deadline:
            return answer
        time.sleep(0.1)


class Guest:
    """A definition as the kit's builder makes it: one vCPU, ACPI and APIC, a disk, a console, a source of randomness."""

    def __init__(self, kit, name, booted):
        self.kit = kit
        self.name = name
        self.memory = SYSTEM_MEMORY_KIB if booted else KERNEL_MEMORY_KIB
        self.uuid = self.firmware = self.lifecycle = self.more = ''
        self.type = "<type arch='x86_64'>hvm</type>"
        self.loader = ''
        self.features = '<acpi/><apic/>'
        self.disks = [kit.disk('system.img' if booted else 'root.img', 'vda')]
        self.boot = ''
        if booted:
            self.boot = kit.boot
            self.more = "<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>"

    def called(self, number):
        """With one of a few UUIDs."""
        self.uuid = f'<uuid>{self.kit.uuid(number)}</uuid>'
        return self

    def disk(self, xml):
        self.disks.append(xml)
        return self

    @property
    def xml(self):
        return f"""<domain type='qemu'><name>{self.name}</name>{self.uuid}
          <memory>{self.memory}</memory><currentMemory>{self.memory}</currentMemory>
          <os{self.firmware}>{self.type}{self.loader}{self.boot}</os>
          <features>{self.features}</features>{self.lifecycle}
          <devices>{''.join(self.disks)}<console type='pty'/>{self.more}
            <rng model='virtio'><backend model='random'>/dev/urandom</backend></rng></devices></domain>"""


class Kit:
    """A connection, what a script needs of it, and the steps that the script has taken."""

    def __init__(self, options):
        self.name = options['name']
        self.directory = options['directory']
        self.boot = options['boot']
        self.moves = options.get('moves', 96)
        self.connection = libvirt.open(options['uri'])
        self.other_uri = options.get('other')
        self.other = libvirt.open(self.other_uri) if self.other_uri else None
        self.steps = []
        # what takes back what a script has made, the last first
        self.undo = []
        # a guest whose system is up, for several scripts
        self.system = None

    # steps

    def does(self, what, call, holds=lambda value: True, show=True):
        """A step that is to succeed, with a value that `holds`; gives the value. `show` is false for numbers of chance."""
        try:
            value = call()
        except libvirt.libvirtError as error:
            self.steps.append([what, False, told(error)])
            return None
        self.steps.append([what, bool(holds(value)), shown(value) if show else None])
        return value

    def needs(self, what, call):
        """The same, where a script dies otherwise."""
        value = self.does(what, call)
        if not self.steps[-1][1]:
            raise Left
        return value

    def refuses(self, what, call, code=None, words=True):
        """A step that is to fail; `words` is false where they are QEMU's."""
        try:
            self.steps.append([what, False, shown(call())])
        except libvirt.libvirtError as error:
            got = error.get_error_code()
            self.steps.append([what, code in (None, got), told(error) if words else got])

    def sees(self, what, truth):
        self.steps.append([what, bool(truth), None])

    def gone(self, name=None):
        self.refuses('no such guest', lambda: self.connection.lookupByName(name or self.name), NO_DOMAIN)

    # what scripts begin with

    def uuid(self, number):
        return str(uuid.uuid5(uuid.NAMESPACE_OID, f'{self.name} {number}'))

    def path(self, name):
        return os.path.join(self.directory, name)

    def sparse(self, name):
        """An image full of nothing."""
        path = self.path(name)
        with open(path, 'ab') as file:
            file.truncate(100 * MIB)
        return path

    def disk(self, file, target, driver='', device='disk', more=''):
        path = file if file.startswith('/') else self.sparse(file)
        source = f"<source file='{path}'/><target dev='{target}'/>"
        return f"<disk type='file' device='{device}'>{driver}{source}{more}</disk>"

    def guest(self, name=None, booted=False):
        return Guest(self, name or self.name, booted)

    def create(self, guest=None, flags=0):
        xml = (guest or self.guest()).xml
        return self.needs('a transient guest', lambda: self.connection.createXML(xml, flags))

    def define(self, guest=None):
        xml = (guest or self.guest()).xml
        return self.needs('a persistent guest', lambda: self.connection.defineXML(xml))

    def start(self, domain):
        self.needs('start', domain.create)
        self.does('its number', domain.ID, lambda number: number > 0, show=False)

    def booted(self):
        """The transient guest whose system is up."""
        if self.system is None:
            self.system = self.create(self.guest(f'{self.name}-system', booted=True))
            self.boots(self.system)
        return self.system

    def end_system(self):
        """Ends that guest, whose image another one is to have."""
        if self.system:
            self.system.destroy()
            self.system = None

    def boots(self, domain):
        self.sees('it boots', until(lambda: agent(domain, 'guest-ping'), BOOT_LIMIT_S))

    def pool(self):
        """A pool of a directory, with what is needed for volumes."""
        xml = f"""<pool type='dir'><name>{self.name}</name><target><path>{self.path('pool')}</path>
          <permissions><mode>0755</mode></permissions></target></pool>"""
        pool = self.needs('a pool', lambda: self.connection.storagePoolDefineXML(xml))
        self.undo.append(lambda: forget_pool(pool))
        self.needs('build the pool', lambda: pool.build(0))
        self.needs('start the pool', lambda: pool.create(0))
        return pool

    def volume(self, pool, name, format, allocation=0, backing=None, backing_format=None):
        """A volume of 50 MiB, and its path."""
        kind = f"<format type='{backing_format}'/>" if backing_format else ''
        below = f'<backingStore><path>{backing}</path>{kind}</backingStore>' if backing else ''
        xml = f"""<volume><name>{name}</name><capacity>{50 * MIB}</capacity><allocation>{allocation}</allocation>
          <target><format type='{format}'/></target>{below}</volume>"""
        volume = self.needs(f'a volume, {format}', lambda: pool.createXML(xml, 0))
        path = self.does('its path', volume.path, os.path.exists)
        size = os.stat(path).st_size
        self.sees('its size', size == 50 * MIB if format == 'raw' else size < MIB)
        return volume, path

    def network(self):
        """A network that nothing but its guests is on."""
        xml = f"<network><name>{self.name}</name><bridge name='t{uuid.UUID(self.uuid(0)).hex[:8]}'/></network>"
        network = self.needs('a network', lambda: self.connection.networkCreateXML(xml))
        self.undo.append(network.destroy)
        return network

    # what scripts end with

    def reset(self):
        """Ends and forgets what a script has left, by the calls that the kit makes for it."""
        kept = self.system.name() if self.system else None
        for connection in filter(None, [self.connection, self.other]):
            for number in connection.listDomainsID():
                domain = until(lambda: connection.lookupByID(number), 1)
                if domain and domain.name().startswith(self.name) and domain.name() != kept:
                    domain.destroy()
            for name in connection.listDefinedDomains():
                if name.startswith(self.name):
                    connection.lookupByName(name).undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_NVRAM)
        for step in reversed(self.undo):
            step()
        self.undo.clear()
        for name in os.listdir(self.directory) if kept is None else []:
            os.unlink(self.path(name))

    def run(self, steps):
        """Runs a script, and tells its steps."""
        self.steps = []
        try:
            steps(self)
        except Left:
            self.steps.append(['the script ends early', False, None])
        except libvirt.libvirtError as error:
            self.steps.append(['the script ends early', False, told(error)])
        finally:
            self.reset()
        return self.steps


def agent(domain, command):
    return json.loads(libvirt_qemu.qemuAgentCommand(domain, json.dumps({'execute': command}), 5, 0))


def forget_pool(pool):
    for name in pool.listVolumes():
        pool.storageVolLookupByName(name).delete(0)
    pool.destroy()
    pool.delete(0)
    pool.undefine()


def found(xml, path):
    return ElementTree.fromstring(xml).findall(path)


# the life of guests


@script('domain/050')
def transient_life(kit):
    kit.create().destroy()
    kit.gone()


@script('domain/051')
def transient_autostart(kit):
    domain = kit.create()
    kit.does('no autostart', domain.autostart, lambda on: not on)
    kit.refuses('autostart', lambda: domain.setAutostart(1), OPERATION_INVALID)
    domain.destroy()
    kit.gone()


@script('domain/060')
def persistent_life(kit):
    kit.define().undefine()
    kit.gone()
    domain = kit.define()
    kit.start(domain)
    same = kit.needs('look it up', lambda: kit.connection.lookupByName(kit.name))
    kit.does('its number', same.ID, lambda number: number > 0, show=False)
    domain.destroy()
    same = kit.needs('look it up, ended', lambda: kit.connection.lookupByName(kit.name))
    kit.does('no number', same.ID, lambda number: number == -1)
    domain.undefine()
    kit.gone()


@script('domain/061')
def persistent_autostart(kit):
    domain = kit.define()

    def switch(*ways):
        for way in ways:
            kit.does(f'autostart {way}', lambda: domain.setAutostart(way))
            kit.does('is it on', domain.autostart, lambda on: on == way)

    kit.does('no autostart', domain.autostart, lambda on: not on)
    switch(1, 0)
    kit.start(domain)
    kit.does('no autostart', domain.autostart, lambda on: not on)
    switch(1, 0, 1)
    domain.destroy()
    kit.does('still autostart', domain.autostart)
    domain.undefine()
    kit.gone()


@script('domain/065')
def redefine(kit):
    first, second = kit.guest().called(1), kit.guest().called(1)
    first.lifecycle = '<on_reboot>restart</on_reboot>'
    second.lifecycle = '<on_reboot>destroy</on_reboot>'
    kit.define(first)
    kit.define(second).undefine()
    kit.gone()
    domain = kit.define(first)
    kit.start(domain)
    domain = kit.define(second)
    domain.destroy()
    same = kit.needs('look it up', lambda: kit.connection.lookupByName(kit.name))
    kit.does('no number', same.ID, lambda number: number == -1)
    kit.does('the second definition', same.XMLDesc, lambda xml: '<on_reboot>destroy<' in xml, show=False)
    domain.undefine()
    kit.gone()


@script('domain/070')
def transient_to_persistent(kit):
    domain = kit.create()
    live = domain.XMLDesc()
    kit.does('define it', lambda: kit.connection.defineXML(live))
    domain.destroy()
    kit.does('it is there', lambda: kit.connection.lookupByName(kit.name))
    domain.undefine()
    kit.gone()


def identities(kit):
    """Definitions: name and UUID, either of them another, both."""
    second = f'{kit.name}2'
    shared = kit.disk('root.img', 'vda', more='<shareable/>')

    def guest(name, number):
        made = kit.guest(name).called(number)
        made.disks = [shared]
        return made

    return second, guest(kit.name, 1), guest(second, 1), guest(kit.name, 2), guest(second, 2)


@script('domain/080')
def unique_define(kit):
    second, whole, name, identity, both = identities(kit)
    kit.define(whole)
    domain = kit.define(whole)

    def tries():
        kit.refuses('its UUID, another name', lambda: kit.connection.defineXML(name.xml))
        kit.refuses('its name, another UUID', lambda: kit.connection.defineXML(identity.xml))
        kit.define(both).undefine()
        kit.gone(second)

    tries()
    domain.create()
    domain = kit.define(whole)
    tries()
    domain.destroy()
    domain.undefine()
    kit.gone()


@script('domain/081')
def unique_create(kit):
    second, whole, name, identity, both = identities(kit)
    kit.define(whole)
    domain = kit.create(whole)
    domain.destroy()

    def tries():
        kit.refuses('its UUID, another name', lambda: kit.connection.createXML(name.xml))
        kit.refuses('its name, another UUID', lambda: kit.connection.createXML(identity.xml))
        kit.create(both).destroy()
        kit.gone(second)

    tries()
    domain.create()
    kit.refuses('the same again', lambda: kit.connection.createXML(whole.xml))
    tries()
    domain.destroy()
    domain.undefine()
    kit.gone()


@script('domain/082')
def unique_names(kit):
    kept = []
    for number in (1, 2):
        domain = kit.create(kit.guest().called(number))
        kept.append(domain)
        kit.does('its UUID', domain.UUIDString, lambda text: text == kit.uuid(number))
        kit.does('end it', domain.destroy)
        kit.gone()


@script('domain/090')
def inactive(kit):
    domain = kit.define()
    for what, call in {
        'statistics of a disk': lambda: domain.blockStats('hda'),
        'dump': lambda: domain.coreDump(kit.path('core.img')),
        'destroy': domain.destroy,
        'statistics of an interface': lambda: domain.interfaceStats('eth0'),
        'memory': lambda: domain.memoryPeek(0, 100, 0),
        'virtual memory': lambda: domain.memoryPeek(0, 100, libvirt.VIR_MEMORY_VIRTUAL),
        'migrate': lambda: domain.migrate(kit.connection, 0, None, None, 0),
        'pin a vCPU': lambda: domain.pinVcpu(1, (True,)),
        'reboot': lambda: domain.reboot(0),
        'save': lambda: domain.save(kit.path('save.img')),
        'shut down': domain.shutdown,
        'suspend': domain.suspend,
    }.items():
        kit.refuses(what, call)


# guests in files


@script('domain/100')
def transient_save(kit):
    image = kit.path('tck.img')
    kit.does('save', lambda domain=kit.create(): domain.save(image))
    kit.gone()
    kit.does('restore', lambda: kit.connection.restore(image))
    domain = kit.needs('it is there', lambda: kit.connection.lookupByName(kit.name))
    domain.destroy()
    kit.gone()


@script('domain/101')
def persistent_save(kit):
    image = kit.path('tck.img')
    domain = kit.define()
    kit.refuses('save, not started', lambda: domain.save(image))
    kit.start(domain)
    kit.does('save', lambda: domain.save(image))
    kit.does('it is there', lambda: kit.connection.lookupByName(kit.name))
    kit.does('no number', domain.ID, lambda number: number == -1)
    kit.does('restore', lambda: kit.connection.restore(image))
    domain = kit.needs('it is there', lambda: kit.connection.lookupByName(kit.name))
    kit.does('its number', domain.ID, lambda number: number > 0, show=False)
    kit.refuses('restore, running', lambda: kit.connection.restore(image))
    domain.destroy()
    domain.undefine()
    kit.gone()


@script('domain/102')
def broken_save(kit):
    image = kit.path('tck.img')
    kit.does('save', lambda domain=kit.create(): domain.save(image))
    kit.gone()
    os.truncate(image, os.stat(image).st_size - MIB // 2)
    kit.refuses('restore', lambda: kit.connection.restore(image), words=False)
    kit.gone()


@script('domain/103')
def save_to_device(kit):
    backing = kit.sparse('device.img')
    os.truncate(backing, 512 * MIB)
    made = subprocess.run(['losetup', '--find', '--show', backing], capture_output=True, text=True, check=False)
    domain = kit.create()
    if made.returncode == 0:
        device = made.stdout.strip()
        kit.undo.append(lambda: subprocess.run(['losetup', '--detach', device], check=True))
        is_block = lambda: kit.sees('a block device', stat.S_ISBLK(os.stat(device).st_mode))
        is_block()
        kit.does('save', lambda: domain.save(device))
        is_block()
        kit.gone()
        kit.does('restore', lambda: kit.connection.restore(device))
        domain = kit.needs('it is there', lambda: kit.connection.lookupByName(kit.name))
        is_block()
    domain.destroy()
    kit.gone()


@script('qemu/400')
def definitions_of_saves(kit):
    image = kit.path('tck.img')

    def edit():
        text = kit.connection.saveImageGetXMLDesc(image).replace('destroy', 'restart')
        kit.does('edit it', lambda: kit.connection.saveImageDefineXML(image, text))
        text = kit.connection.saveImageGetXMLDesc(image)
        kit.sees('it is edited', 'destroy' not in text)

    kit.does('save', lambda domain=kit.create(): domain.save(image))
    kit.gone()
    edit()
    domain = kit.define()
    os.unlink(image)
    domain.create()
    kit.does('save', lambda: domain.save(image))
    kit.does('it is there', lambda: kit.connection.lookupByName(kit.name))
    kit.does('no number', domain.ID, lambda number: number == -1)
    edit()
    os.unlink(image)
    kit.sparse('tck.img')
    kit.refuses('a definition of nothing', lambda: kit.connection.saveImageGetXMLDesc(image))


# what guests have


@script('domain/110')
def balloon(kit):
    most, least = 1572864, 1148576
    domain = kit.define(kit.guest(booted=True))
    kit.does('set the maximum', lambda: domain.setMaxMemory(most))
    kit.does('the maximum', domain.maxMemory, lambda size: size == most)
    kit.start(domain)
    kit.boots(domain)
    kit.does('the maximum', domain.maxMemory, lambda size: size == most)
    kit.does('set the persistent size', lambda: domain.setMemoryFlags(924288, libvirt.VIR_DOMAIN_MEM_CONFIG))
    size = lambda: domain.info()[2]
    kit.sees('the size', until(lambda: size() == SYSTEM_MEMORY_KIB))
    for flags, wanted in [(libvirt.VIR_DOMAIN_MEM_CURRENT, 724288), (libvirt.VIR_DOMAIN_MEM_LIVE, 824288)]:
        kit.does(f'set the size ({flags})', lambda: domain.setMemoryFlags(wanted, flags))
        kit.sees('the guest follows', until(lambda: size() == wanted))
    kit.refuses('set the maximum, running', lambda: domain.setMaxMemory(SYSTEM_MEMORY_KIB))
    domain.destroy()
    kit.does('the size', size, lambda size: size == 924288)
    kit.does('set the maximum', lambda: domain.setMemoryFlags(least, libvirt.VIR_DOMAIN_MEM_MAXIMUM))
    kit.does('the maximum', lambda: domain.info()[1], lambda size: size == least)
    kit.refuses('set the live size', lambda: domain.setMemoryFlags(824288, libvirt.VIR_DOMAIN_MEM_LIVE))


@script('domain/120')
def disk_statistics(kit):
    domain = kit.define()
    disk = found(domain.XMLDesc(), './devices/disk/target')[0].get('dev')
    kit.refuses('statistics, not started', lambda: domain.blockStats(disk), OPERATION_INVALID)
    kit.start(domain)
    kit.does('statistics', lambda: domain.blockStats(disk), lambda stats: len(stats) == 5, show=False)
    domain.destroy()
    domain.undefine()
    kit.gone()


@script('domain/121')
def block_info(kit):
    kit.does('the connection lives', kit.connection.isAlive, lambda alive: alive > 0)
    pool = kit.pool()
    full, path = kit.volume(pool, 'full', 'raw', 50 * MIB)
    _, thin_path = kit.volume(pool, 'thin', 'raw', MIB)
    _, qcow2_path = kit.volume(pool, 'qcow2', 'qcow2', MIB)
    guest = kit.guest()
    raw = "<driver name='qemu' type='raw'/>"
    guest.disks = [
        kit.disk(path, 'vda', raw),
        kit.disk(thin_path, 'vdb', raw),
        kit.disk(qcow2_path, 'vdc', "<driver name='qemu' type='qcow2'/>"),
    ]
    domain = kit.create(guest)
    # what is allocated has blocks for libvirt's note of the owner, too
    info = lambda what, disk, size, least, most=2 * 50 * MIB: kit.does(
        what,
        lambda: domain.blockInfo(disk),
        lambda got: got[0] == size and least <= got[1] <= most,
        show=False,
    )
    info('a thin disk', 'vdb', 50 * MIB, MIB, 2 * MIB)
    info('a full disk', 'vda', 50 * MIB, 50 * MIB)
    info('a qcow2 disk', 'vdc', 50 * MIB, 0, MIB)
    for size in (25 * MIB, 50 * MIB):
        kit.does('resize', lambda: domain.blockResize('vda', size // 1024))
        kit.sees('the size of the image', os.stat(path).st_size == size)
        info('of the disk', 'vda', size, 25 * MIB)
    with open(path, 'r+b') as file:
        file.write(b'test\n')
    kit.does('peek', lambda: domain.blockPeek(path, 0, 4), lambda data: data == b'test')
    kit.refuses('peek at qcow2', lambda: domain.blockPeek(qcow2_path, 0, 3))
    kit.does('delete the volume', lambda: full.delete(0))
    domain.destroy()
    kit.gone()


@script('domain/130')
def vcpus(kit):
    domain = kit.create()
    kit.does('how many at most', domain.maxVcpus)
    kit.refuses('none', lambda: domain.setVcpus(0))
    kit.refuses('too many', lambda: domain.setVcpus(domain.maxVcpus() + 1))
    domain.destroy()
    kit.gone()


@script('domain/180')
def interface_limits(kit):
    kit.network()
    kit.does('the connection lives', kit.connection.isAlive, lambda alive: alive > 0)
    guest = kit.guest()
    guest.more = f"""<interface type='network'><mac address='52:54:00:22:22:22'/><source network='{kit.name}'/>
      <model type='virtio'/></interface>"""
    domain = kit.create(guest)
    target = found(domain.XMLDesc(), './devices/interface/target')[0].get('dev')
    wanted = {
        f'{way}.{limit}': 1000 + at
        for at, (way, limit) in enumerate(
            (way, limit) for way in ('inbound', 'outbound') for limit in ('average', 'peak', 'burst')
        )
    }
    kit.does('set limits', lambda: domain.setInterfaceParameters(target, wanted))
    kit.does('the limits', lambda: domain.interfaceParameters(target), lambda got: wanted.items() <= got.items())
    domain.destroy()
    kit.gone()


@script('domain/202')
def numa(kit):
    domain = kit.define()
    kit.start(domain)
    strict = libvirt.VIR_DOMAIN_NUMATUNE_MEM_STRICT
    nodes = lambda flags: kit.does(
        'nodes', lambda: domain.numaParameters(flags), lambda got: got['numa_nodeset'] == '0'
    )
    mode = lambda flags: kit.does(
        'mode and nodes', lambda: domain.numaParameters(flags), lambda got: got == {'numa_nodeset': '0', 'numa_mode': strict}
    )
    for flags in (LIVE, CONFIG):
        kit.does('set nodes', lambda: domain.setNumaParameters({'numa_nodeset': '0'}, flags))
    nodes(LIVE)
    domain.destroy()
    kit.start(domain)
    nodes(LIVE)
    domain.destroy()
    kit.does('set a mode', lambda: domain.setNumaParameters({'numa_nodeset': '0', 'numa_mode': strict}, CONFIG))
    mode(CONFIG)
    kit.start(domain)
    mode(LIVE)
    domain.destroy()
    domain.undefine()
    kit.gone()


@script('qemu/110')
def scheduler(kit):
    domain = kit.define()
    kit.start(domain)
    kit.does('its kind', domain.schedulerType)
    limits = lambda *numbers: dict(zip(('cpu_shares', 'vcpu_period', 'vcpu_quota'), numbers))

    def sets(flags, wanted):
        kit.does(f'set limits ({flags})', lambda: domain.setSchedulerParametersFlags(wanted, flags))

    def has(flags, wanted):
        kit.does(
            f'the limits ({flags})',
            lambda: domain.schedulerParametersFlags(flags),
            lambda got: wanted.items() <= got.items(),
        )

    live, config, current = limits(500, 1000000, 17592186044415), limits(2, 1000, 1000), limits(3, 999999, 999999)
    kit.does('the limits', lambda: domain.schedulerParametersFlags(CURRENT))
    sets(LIVE, live)
    has(LIVE, live)
    kit.does('the persistent ones', lambda: domain.schedulerParametersFlags(CONFIG))
    for given in (limits(1, 1000, 1000), config):
        sets(CONFIG, given)
        has(CONFIG, given)
    domain.destroy()
    has(CURRENT, config)
    sets(CURRENT, current)
    kit.start(domain)
    has(CURRENT, current)
    domain.destroy()
    domain = kit.needs('it is there', lambda: kit.connection.lookupByName(kit.name))
    kit.does('no number', domain.ID, lambda number: number == -1)
    domain.undefine()
    kit.gone()


# devices that come and go


def pulls(kit, domain, xml, mark):
    """A device is pulled out; a guest on a busy host is given more time than the call waits."""
    kit.does('pull it out', lambda: domain.detachDevice(xml))
    kit.sees('it is gone', until(lambda: mark not in domain.XMLDesc()))


def comes_and_goes(kit, domain, xml, mark):
    """A device is plugged in and out: its mark is seen in between, and nothing of it is left."""
    before = domain.XMLDesc()
    kit.does('plug it in', lambda: domain.attachDevice(xml))
    kit.does('it is there', domain.XMLDesc, lambda now: mark in now, show=False)
    pulls(kit, domain, xml, mark)
    kit.does('nothing is left', domain.XMLDesc, lambda now: now == before, show=False)


def interface(mac):
    return f"<interface type='user'><mac address='{mac}'/><model type='virtio'/></interface>"


@script('domain/200')
def plug_disk(kit):
    comes_and_goes(kit, kit.booted(), kit.disk('extra.img', 'vdb'), kit.path('extra.img'))


@script('domain/207')
def change_medium(kit):
    first, second = kit.sparse('first.img'), kit.sparse('second.img')
    domain = kit.create(kit.guest().disk(kit.disk(first, 'hdc', device='cdrom')))
    for what, path, xml in [
        ('another medium', second, kit.disk(second, 'hdc', device='cdrom')),
        ('no medium', None, "<disk type='file' device='cdrom'><target dev='hdc'/></disk>"),
        ('the first medium', first, kit.disk(first, 'hdc', device='cdrom')),
    ]:
        kit.does(what, lambda: domain.attachDevice(xml))
        kit.does(
            'what is in it',
            lambda: [one.get('file') for one in found(domain.XMLDesc(), './devices/disk[@device="cdrom"]/source[@file]')],
            lambda files: files == ([path] if path else []),
        )


@script('domain/210')
def plug_interface(kit):
    comes_and_goes(kit, kit.booted(), interface('00:11:22:33:44:55'), '00:11:22:33:44:55')


@script('domain/215')
def plug_interfaces(kit):
    domain = kit.booted()
    first, second, third = (f'02:1{at}:22:33:44:55' for at in (1, 2, 3))
    before = domain.XMLDesc()

    def there(*macs):
        kit.does(
            'which are there',
            lambda: ' '.join(mac.get('address') for mac in found(domain.XMLDesc(), './devices/interface/mac')),
            lambda got: got == ' '.join(macs),
        )

    for mac in (first, second, third):
        kit.does('plug one in', lambda: domain.attachDevice(interface(mac)))
    there(first, second, third)
    pulls(kit, domain, interface(second), second)
    there(first, third)
    kit.refuses('pull it again', lambda: domain.detachDevice(interface(second)))
    pulls(kit, domain, interface(first), first)
    there(third)
    pulls(kit, domain, interface(third), third)
    there()
    kit.does('nothing is left', domain.XMLDesc, lambda now: now == before, show=False)


@script('domain/205')
def plug_disks(kit):
    """The last of those that share a guest: it keeps the disks."""
    domain = kit.booted()
    for target in ('vdb', 'sdb'):
        xml = kit.disk(f'first-{target}.img', target)
        kit.does(f'plug {target} in', lambda: domain.attachDevice(xml))
        pulls(kit, domain, xml, kit.path(f'first-{target}.img'))
    for target in ('vdb', 'sda', 'sdc', 'vdc', 'sdb'):
        xml = kit.disk(f'{target}.img', target)
        kit.does(f'plug {target} in', lambda: domain.attachDevice(xml))
    kit.does(
        'in order',
        lambda: ' '.join(target.get('dev') for target in found(domain.XMLDesc(), './devices/disk/target')),
        lambda targets: targets == 'vda vdb vdc sda sdb sdc',
    )


@script('domain/240')
def plug_usb(kit):
    domain = kit.create()
    source = "<source><vendor id='0x1234'/><product id='0xfffe'/></source>"
    kit.refuses(
        'a device that the host has not',
        lambda: domain.attachDevice(f"<hostdev mode='subsystem' type='usb'>{source}</hostdev>"),
    )


@script('domain/250')
def plug_pci(kit):
    domain = kit.create()
    source = "<source><address domain='0xfffe' bus='0' slot='7' function='0'/></source>"
    kit.refuses(
        'a device that the host has not',
        lambda: domain.attachDevice(f"<hostdev mode='subsystem' type='pci' managed='no'>{source}</hostdev>"),
    )


# guests that move


@script('domain/300')
def migrate(kit):
    if kit.other is None:
        return
    peers = libvirt.VIR_MIGRATE_PEER2PEER
    # flags of the migration; whether it makes a guest of the destination's persistent, the source's not so
    ways = [
        (libvirt.VIR_MIGRATE_LIVE, False, False),
        (libvirt.VIR_MIGRATE_PERSIST_DEST, True, False),
        (libvirt.VIR_MIGRATE_UNDEFINE_SOURCE, False, True),
        (libvirt.VIR_MIGRATE_PAUSED, False, False),
    ]
    cases = [
        (mode, state, source, destination, way)
        for mode in (0, peers, peers | libvirt.VIR_MIGRATE_TUNNELLED)
        for state in (RUNNING, PAUSED)
        for source in (False, True)
        for destination in (False, True)
        for way in ways
    ]
    for at in range(kit.moves):
        move(kit, *cases[at * len(cases) // kit.moves])


def move(kit, mode, state, on_source, on_destination, way):
    flags, persists, undefines = way
    start = libvirt.VIR_DOMAIN_START_PAUSED if state == PAUSED else 0
    guest = kit.guest().called(3)
    unsafe = libvirt.VIR_MIGRATE_UNSAFE
    if on_source:
        domain = kit.define(guest)
        kit.does('start', lambda: domain.createWithFlags(start))
    else:
        domain = kit.create(guest, start)
    if on_destination:
        kit.does('define it there', lambda: kit.other.defineXML(guest.xml))
    kit.does(
        f'migrate ({mode | flags})',
        lambda: domain.migrateToURI(kit.other_uri, mode | flags | unsafe)
        if mode
        else domain.migrate(kit.other, flags | unsafe) and None,
    )
    if on_source and not undefines:
        left = kit.needs('it is here', lambda: kit.connection.lookupByName(kit.name))
        kit.does('but does not run', left.isActive, lambda active: not active)
        kit.does('and persists', left.isPersistent)
    else:
        kit.gone()
    come = kit.needs('it is there', lambda: kit.other.lookupByName(kit.name))
    kit.does('it runs', come.isActive)
    kit.does('it persists', come.isPersistent, lambda got: got == (on_destination or persists))
    kit.does(
        'its state',
        lambda: come.state()[0],
        lambda got: got == (PAUSED if state == PAUSED or flags == libvirt.VIR_MIGRATE_PAUSED else RUNNING),
    )
    kit.reset()


@script('domain/301')
def speed(kit):
    domain = kit.create()
    kit.does('the speed', domain.migrateGetMaxSpeed)
    kit.does('set it', lambda: domain.migrateSetMaxSpeed(10000))
    kit.does('the speed', domain.migrateGetMaxSpeed, lambda got: got == 10000)
    domain.destroy()
    kit.gone()


# firmware and agents


def secure_boot(kit, guest):
    guest.type = "<type arch='x86_64' machine='q35'>hvm</type>"
    guest.features = "<acpi/><apic/><smm state='on'/>"
    return guest


@script('domain/401')
def nvram(kit):
    template = '/usr/share/OVMF/OVMF_VARS_4M.fd'
    own = kit.path('own_VARS.fd')
    guest = secure_boot(kit, kit.guest())
    guest.loader = f"""<loader readonly='yes' secure='yes' type='pflash'>/usr/share/OVMF/OVMF_CODE_4M.secboot.fd</loader>
      <nvram template='{template}'>{own}</nvram>"""
    subprocess.run(['cp', template, own], check=True)
    kit.define(guest).undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_KEEP_NVRAM)
    kit.sees('the variables are kept', os.path.exists(own))
    kit.define(guest).undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_NVRAM)
    kit.sees('they are gone', not os.path.exists(own))
    kit.gone()


@script('domain/405')
def chosen_nvram(kit):
    guest = secure_boot(kit, kit.guest())
    guest.firmware = " firmware='efi'"
    guest.loader = "<loader secure='yes'/>"
    for flags in (libvirt.VIR_DOMAIN_UNDEFINE_KEEP_NVRAM, libvirt.VIR_DOMAIN_UNDEFINE_NVRAM):
        domain = kit.define(guest)
        own = found(domain.XMLDesc(), './os/nvram')[0].text
        kit.sees('no variables yet', not os.path.exists(own))
        kit.start(domain)
        kit.does('end it', domain.destroy)
        domain = kit.needs('look it up', lambda: kit.connection.lookupByName(kit.name))
        kit.does('no number', domain.ID, lambda number: number == -1)
        kit.sees('there are variables', os.path.exists(own))
        domain.undefineFlags(flags)
        kept = flags == libvirt.VIR_DOMAIN_UNDEFINE_KEEP_NVRAM
        kit.sees('what becomes of them', os.path.exists(own) == kept)
        if kept:
            os.unlink(own)
    kit.gone()


@script('domain/500')
def agent_ends(kit):
    kit.end_system()
    domain = kit.define(kit.guest(booted=True))
    kit.start(domain)
    kit.does('how long an agent may take', lambda: domain.agentSetResponseTimeout(10, 0))
    name = lambda: domain.hostname(libvirt.VIR_DOMAIN_GET_HOSTNAME_AGENT)
    kit.sees('the agent tells a name', until(name, BOOT_LIMIT_S))
    kit.does('its name', name)
    kit.does('reboot', lambda: domain.reboot(libvirt.VIR_DOMAIN_REBOOT_GUEST_AGENT))
    kit.sees('the agent is gone', until(lambda: not answers(name)))
    kit.sees('and comes back', until(name, BOOT_LIMIT_S))
    kit.does('it runs', lambda: domain.state()[0], lambda state: state == RUNNING)
    kit.does('shut down', lambda: domain.shutdownFlags(libvirt.VIR_DOMAIN_SHUTDOWN_GUEST_AGENT))
    kit.sees('it is off', until(lambda: domain.state()[0] == SHUTOFF))


def answers(call):
    try:
        return bool(call())
    except libvirt.libvirtError:
        return False


# images


@script('qemu/100')
def encryption(kit):
    directory = kit.path('pool')
    os.mkdir(directory)
    image = os.path.join(directory, 'demo.qcow2')
    xml = f"""<secret ephemeral='no' private='no'><uuid>{kit.uuid(4)}</uuid>
      <usage type='volume'><volume>{image}</volume></usage></secret>"""
    secret = kit.needs('a secret', lambda: kit.connection.secretDefineXML(xml))
    kit.undo.append(secret.undefine)
    secret.setValue(b'Hello World')
    locked = f"<encryption format='luks'><secret type='passphrase' uuid='{secret.UUIDString()}'/></encryption>"
    xml = f"""<pool type='dir'><name>{kit.name}</name><source><dir path='{directory}'/></source>
      <target><path>{directory}</path></target></pool>"""
    pool = kit.needs('a pool', lambda: kit.connection.storagePoolCreateXML(xml))
    kit.undo.append(lambda: forget_transient_pool(pool, directory))
    xml = f"""<volume><name>demo.qcow2</name><capacity>{64 * MIB}</capacity>
      <target><format type='qcow2'/>{locked}</target></volume>"""
    kit.needs('a volume', lambda: pool.createXML(xml))
    domain = kit.define(
        kit.guest().disk(kit.disk(image, 'hdb', "<driver name='qemu' type='qcow2'/>", more=locked))
    )
    kit.start(domain)
    same = kit.needs('look it up', lambda: kit.connection.lookupByName(kit.name))
    kit.does('its number', same.ID, lambda number: number > 0, show=False)
    domain.destroy()
    domain.undefine()
    kit.gone()


def forget_transient_pool(pool, directory):
    for name in pool.listVolumes():
        pool.storageVolLookupByName(name).delete(0)
    pool.destroy()
    os.rmdir(directory)


def opens(domain):
    """Images that the guest's QEMU has open, and whether it may open others: by its files and by the DAC's owners."""
    with open(f'/run/libvirt/qemu/{domain.name()}.pid', encoding='ascii') as file:
        pid = int(file.read())
    files = {os.path.realpath(f'/proc/{pid}/fd/{number}') for number in os.listdir(f'/proc/{pid}/fd')}
    with open(f'/proc/{pid}/status', encoding='ascii') as file:
        ids = {line.split()[0]: int(line.split()[1]) for line in file if line.startswith(('Uid:', 'Gid:'))}
    return files, ids['Uid:'], ids['Gid:']


def chain(kit, images, driver, reached):
    """A guest on the last of some images: QEMU is to reach so many of them, from the top of the chain, and no others."""
    domain = kit.define(kit.guest().disk(kit.disk(images[-1], 'vdb', driver)))
    kit.start(domain)
    same = kit.needs('look it up', lambda: kit.connection.lookupByName(kit.name))
    kit.does('its number', same.ID, lambda number: number > 0, show=False)
    files, uid, gid = opens(domain)
    for at, image in enumerate(reversed(images)):
        owner = os.stat(image)
        kit.sees(f'image {at}, open', (image in files) == (at < reached))
        if at < reached:
            kit.sees(f'image {at}, its owner', (owner.st_uid, owner.st_gid) == (uid, gid))
        else:
            kit.sees(f'image {at}, its owner', uid == os.getuid() or owner.st_uid != uid)
    domain.destroy()
    domain.undefine()
    kit.gone()


@script('qemu/200')
def raw_on_top(kit):
    pool = kit.pool()
    _, back = kit.volume(pool, 'back', 'raw')
    _, main = kit.volume(pool, 'main', 'qcow2', backing=back, backing_format='raw')
    chain(kit, [back, main], "<driver name='qemu' type='raw' cache='unsafe'/>", 1)


@script('qemu/205')
def raw_in_between(kit):
    pool = kit.pool()
    _, last = kit.volume(pool, 'last', 'raw')
    _, back = kit.volume(pool, 'back', 'qcow2', backing=last, backing_format='raw')
    _, main = kit.volume(pool, 'main', 'qcow2', backing=back, backing_format='raw')
    chain(kit, [last, back, main], "<driver name='qemu' type='qcow2'/>", 2)


@script('qemu/210')
def no_format(kit):
    pool = kit.pool()
    _, last = kit.volume(pool, 'last', 'raw')
    _, back = kit.volume(pool, 'back', 'qcow2', backing=last, backing_format='raw')
    _, main = kit.volume(pool, 'main', 'qcow2', backing=back, backing_format='raw')
    chain(kit, [last, back, main], "<driver name='qemu' cache='unsafe'/>", 1)


@script('qemu/300')
def block_jobs(kit):
    pool = kit.pool()
    _, back = kit.volume(pool, 'back', 'qcow2')
    filled = kit.path('filled')
    with open(filled, 'wb') as file:
        file.write(os.urandom(50 * MIB))
    subprocess.run(['qemu-img', 'convert', '-O', 'qcow2', filled, back], check=True)
    _, main = kit.volume(pool, 'main', 'qcow2', backing=back, backing_format='qcow2')
    domain = kit.define(kit.guest().disk(kit.disk(main, 'vdb', "<driver name='qemu' type='qcow2'/>")))
    kit.start(domain)

    def goes(bandwidth, flags=0):
        kit.does(
            'how fast it goes',
            lambda: domain.blockJobInfo(main, flags)['bandwidth'],
            lambda got: got == bandwidth,
        )

    def abort():
        kit.does('abort', lambda: domain.blockJobAbort(main, 0))
        kit.does('no job', lambda: domain.blockJobInfo(main, 0), lambda info: not info)

    def pull(given, bandwidth, flags=0):
        kit.does('pull', lambda: domain.blockPull(main, given, flags))
        goes(bandwidth)

    pull(1, 1)
    abort()
    pull(1, 1)
    abort()
    pull(2 * MIB, 2, libvirt.VIR_DOMAIN_BLOCK_PULL_BANDWIDTH_BYTES)
    in_bytes = libvirt.VIR_DOMAIN_BLOCK_JOB_SPEED_BANDWIDTH_BYTES
    for given, flags, bandwidth in [(2, 0, 2), (3 * MIB, in_bytes, 3), (2, 0, 2)]:
        kit.does('another speed', lambda: domain.blockJobSetSpeed(main, given, flags))
        goes(bandwidth)
    goes(2 * MIB, libvirt.VIR_DOMAIN_BLOCK_JOB_INFO_BANDWIDTH_BYTES)
    kit.does('no limit', lambda: domain.blockJobSetSpeed(main, 0))
    kit.sees('it ends', until(lambda: not domain.blockJobInfo(main, 0)))


def main():
    options = json.loads(sys.argv[1])
    libvirt.registerErrorHandler(lambda *_: None, None)
    kit = Kit(options)
    kit.reset()
    numbers = [number for number in options.get('scripts', SCRIPTS) if number not in options.get('leave', [])]
    numbers = numbers[:: options.get('each', 1)]
    answers_of = {number: kit.run(SCRIPTS[number]) for number in numbers}
    kit.system = None
    kit.reset()
    json.dump(answers_of, sys.stdout)


main()
