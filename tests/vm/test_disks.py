"""The disks that run-vm makes: python3 -m unittest discover tests/vm"""

import os
import struct
import sys
import tarfile
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from runner import console, disks  # noqa: E402
from test_run_vm import KERNEL  # noqa: E402


class Payload(unittest.TestCase):
    def test_what_is_in_it(self):
        with tempfile.TemporaryDirectory() as top:
            for name in ('vm/smoke.sh', 'vm/lib.sh', 'vm/test_x.py', 'vm/traffic/traffic.c', 'kyua/Kyuafile', 'kyua/lacp.sh',
                         'build/some.ko', 'build/lagg_a.ko', 'build/lagg_b', 'build/lagg_rs.o'):
                os.makedirs(os.path.join(top, os.path.dirname(name)), exist_ok=True)
                open(os.path.join(top, name), 'w').close()
            disk = os.path.join(top, 'disk')
            with open(os.path.join(top, 'build/some.ko'), 'wb') as module:
                module.write(KERNEL)
            disks.payload(disk, os.path.join(top, 'build/some.ko'), os.path.join(top, 'vm/smoke.sh'), [('SUITE', 'a b')])
            self.assertEqual(os.path.getsize(disk) % 512, 0)
            with tarfile.open(disk) as tar:
                installed = {name for name in tar.getnames() if name.startswith('installed') and tar.getmember(name).isfile()}
                self.assertIn('installed/boot/modules/if_lagg_rs.ko', installed)
                self.assertIn('installed/usr/local/sbin/laggstat', installed)
                others = {name for name in tar.getnames() if not name.startswith('installed')}
                self.assertEqual(others, {'run.sh', 'smoke.sh', 'lib.sh', 'if_lagg_rs.ko', 'lagg_a.ko', 'lagg_b',
                                          'kyua', 'kyua/Kyuafile', 'kyua/lacp.sh'})
                self.assertEqual(tar.extractfile('run.sh').read(), b"export SUITE='a b'\necho VM-BEGIN\nexec /bin/sh ./smoke.sh\n")


class Iso9660:
    """Reads a file system as a kernel does: by one of its two volume descriptors."""

    def __init__(self, image, sector, encoding):
        self.image = image
        descriptor = self.sector(sector)
        assert descriptor[1:6] == b'CD001'
        self.label = descriptor[40:72].decode(encoding).rstrip()
        size, = struct.unpack_from('<I', descriptor, 80)
        assert len(image) == size * 2048
        self.escape = descriptor[88:91]
        self.files = {name.decode(encoding): data for name, data in self.directory(descriptor[156:190])}

    def sector(self, n, size=2048):
        return self.image[n * 2048:n * 2048 + size]

    def place(self, record):
        little, size, = struct.unpack_from('<I4xI', record, 2)
        big, = struct.unpack_from('>I', record, 6)
        assert little == big
        return little, size

    def directory(self, record):
        data, at = self.sector(*self.place(record)), 0
        while data[at]:
            record = data[at:at + data[at]]
            name = record[33:33 + record[32]]
            if name not in (b'\0', b'\1'):
                yield name, self.sector(*self.place(record))
            at += len(record)


class Seed(unittest.TestCase):
    def test_nuageinit_finds_what_it_looks_for(self):
        with tempfile.TemporaryDirectory() as work:
            path = os.path.join(work, 'seed')
            disks.seed(path)
            with open(path, 'rb') as f:
                image = f.read()
        plain, joliet = Iso9660(image, 16, 'ascii'), Iso9660(image, 17, 'utf-16-be')
        # geom_label(4) takes it from the first.
        self.assertEqual((plain.label, joliet.label, joliet.escape), ('cidata', 'cidata', b'%/E'))
        self.assertEqual(set(joliet.files), {'meta-data', 'user-data'})
        self.assertEqual(list(plain.files.values()), list(joliet.files.values()))
        self.assertIn(b'local-hostname: ', joliet.files['meta-data'])
        first, *lines = joliet.files['user-data'].decode().splitlines()
        self.assertEqual(first, '#!/bin/sh')
        self.assertEqual(lines[0] + '\n', console.UNPACK)
        self.assertEqual(image[18 * 2048:18 * 2048 + 6], b'\xffCD001')

    def test_files_of_any_size(self):
        files = {'a': b'', 'b': b'x' * 2048, 'c': b'y' * 5000}
        self.assertEqual(Iso9660(disks.iso9660('x', files), 17, 'utf-16-be').files, files)


if __name__ == '__main__':
    unittest.main()
