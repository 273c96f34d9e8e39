"""The disks that the runner makes: the payload, and the seed by which an official image is told to run it."""

import glob
import io
import os
import shlex
import struct
import subprocess
import tarfile
import tempfile

from .console import UNPACK

SECTOR = 2048
TOP = os.path.abspath(os.path.join(os.path.dirname(__file__), '..', '..', '..'))


def install(module, to):
    """What `make install` installs, with this module."""
    subprocess.run(['make', '-s', '-C', TOP, 'install', f'DESTDIR={to}', f'KO={os.path.abspath(module)}'], check=True,
                   env={**os.environ, 'MAKEFLAGS': ''}, stdout=subprocess.DEVNULL)


def payload(path, module, script, variables):
    """A tar archive, which tar(1) reads from the device itself: the script, its neighbours, the suite in ../kyua, laggstat, what was built,
    and what is installed of it."""
    exports = ''.join(f'export {name}={shlex.quote(value)}\n' for name, value in variables)
    run = f'{exports}echo VM-BEGIN\nexec /bin/sh ./{os.path.basename(script)}\n'.encode()
    directory = os.path.dirname(os.path.abspath(script))
    with tarfile.open(path, 'w', format=tarfile.USTAR_FORMAT) as tar:
        for name in sorted(os.listdir(directory)):
            if os.path.isfile(os.path.join(directory, name)) and not name.endswith('.py') and name != 'run.sh':
                tar.add(os.path.join(directory, name), name)
        suite = os.path.join(directory, '..', 'kyua')
        if os.path.isdir(suite):
            tar.add(suite, 'kyua')
        laggstat = os.path.join(directory, '..', '..', 'src', 'laggstat', 'laggstat.sh')
        if os.path.exists(laggstat):
            tar.add(laggstat, 'laggstat')
        if os.path.exists(module):
            tar.add(module, 'if_lagg_rs.ko')
            with tempfile.TemporaryDirectory() as to:
                install(module, to)
                tar.add(to, 'installed')
        for file in sorted(glob.glob(os.path.join(os.path.dirname(module), 'lagg_*'))):
            if not file.endswith('.o'):
                tar.add(file, os.path.basename(file))
        info = tarfile.TarInfo('run.sh')
        info.size, info.mode = len(run), 0o755
        tar.addfile(info, io.BytesIO(run))


def seed(path):
    """What nuageinit(7) looks for at an image's first boot: a file system named cidata. It runs a script at the end of rc(8)."""
    with open(path, 'wb') as disk:
        disk.write(iso9660('cidata', {
            'meta-data': b'instance-id: lagg\nlocal-hostname: vm\n',
            'user-data': f'#!/bin/sh\n{UNPACK}shutdown -p now\n'.encode()}))


def both(form, n):
    """A number as ISO 9660 has it: in both byte orders."""
    return struct.pack('<' + form, n) + struct.pack('>' + form, n)


def record(name, sector, size, directory=False):
    """A directory record (ECMA-119, 9.1)."""
    fixed = both('I', sector) + both('I', size) + bytes([126, 1, 1, 0, 0, 0, 0, 2 if directory else 0, 0, 0]) + both('H', 1)
    fixed += bytes([len(name)]) + name + b'\0' * (1 - len(name) % 2)
    return bytes([len(fixed) + 2, 0]) + fixed


def padded(data):
    return data + b'\0' * (-len(data) % SECTOR)


def iso9660(label, files):
    """A file system with these files, by the names that they have: Joliet's, for the plain ones know no lower case and no hyphen."""
    plain, joliet, tables, first = 19, 20, 21, 25       # sectors: the root by each kind of names, path tables, files
    places, content = [], b''
    for name, data in sorted(files.items()):
        places.append((name, first + len(content) // SECTOR, len(data)))
        content += padded(data)

    def descriptor(kind, root, table, encode, escape):
        """ECMA-119, 8.4 and 8.5: the volume's name, size, path tables and root."""
        text = lambda s, size: encode(s.ljust(size))[:size]
        return padded(b''.join([
            bytes([kind]), b'CD001\1\0', text('', 32), text(label, 32), bytes(8), both('I', first + len(content) // SECTOR),
            escape.ljust(32, b'\0'), both('H', 1), both('H', 1), both('H', SECTOR), both('I', 10),
            struct.pack('<II', table, 0), struct.pack('>II', table + 1, 0), record(b'\0', root, SECTOR, True),
            text('', 128) * 4, text('', 37) * 3, (b'0' * 16 + b'\0') * 4, b'\1\0']))

    def directory(root, names):
        entries = [record(name, at, size) for name, (_, at, size) in zip(names, places)]
        return padded(b''.join([record(b'\0', root, SECTOR, True), record(b'\1', root, SECTOR, True), *entries]))

    def path_table(root, order):
        return padded(struct.pack(order + 'BBIH', 1, 0, root, 1) + b'\0\0')

    wide = lambda s: s.encode('utf-16-be')
    return b''.join([
        bytes(16 * SECTOR),
        # The label is looked for as it is, in lower case.
        descriptor(1, plain, tables, str.encode, b''),
        descriptor(2, joliet, tables + 2, wide, b'%/E'),
        padded(b'\xffCD001\1'),
        directory(plain, [f'FILE{n}.;1'.encode() for n in range(len(places))]),
        directory(joliet, [wide(name) for name, _, _ in places]),
        *(path_table(root, order) for root in (plain, joliet) for order in '<>'),
        content])
