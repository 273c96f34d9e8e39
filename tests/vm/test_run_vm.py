"""run-vm and peers against a QEMU that only replays a console: python3 -m unittest discover tests/vm"""

import importlib.machinery
import importlib.util
import io
import os
import stat
import tarfile
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))


def program(name):
    loader = importlib.machinery.SourceFileLoader(name.replace('-', '_'), os.path.join(HERE, name))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


run_vm = program('run-vm')
peers = program('peers')
run_vm.GRACE = 1

BOOT = 'FreeBSD 15.1-RELEASE VMTEST amd64\r\nTrying to mount root from ufs:/dev/vtbd0 [rw]...\r\n'
PASS = 'ok create\r\n1 passed, 0 failed\r\nVM-VERDICT: 0\r\n'
PANIC = """lagg0: link state changed to UP\r
panic: mtx lagg not owned at /src/lagg.c:12\r
cpuid = 1\r
time = 1\r
KDB: stack backtrace:\r
db_trace_self_wrapper() at db_trace_self_wrapper+0x2b/frame 0xfffffe00\r
lagg_transmit() at lagg_transmit+0x10/frame 0xfffffe01\r
"""
LOR = """lock order reversal:\r
 1st 0xfffff80003a5f428 %s (%s, sx) @ /src/a.c:1\r
 2nd 0xffffffff82a3d2c0 vlan_sx (vlan_sx, sx) @ /src/if_vlan.c:2\r
lock order vlan_sx -> %s established at:\r
#0 0xffffffff80c2f4ed at witness_checkorder+0x32d\r
VM-NOTE: on we go\r
"""
LEAK = 'Warning: memory type lagg leaked memory on destroy (1 allocations, 64 bytes leaked).\r\n'


class Replayed(unittest.TestCase):
    """The whole runner; only QEMU is fake."""

    def setUp(self):
        self.dir = tempfile.TemporaryDirectory()
        self.addCleanup(self.dir.cleanup)
        self.env = {'PATH': os.environ['PATH'], 'TIMEOUT': '30', 'KO': self.file('if_lagg_rs.ko', 'ELF')}
        self.env.update(KERNEL=self.file('kernel', ''), ROOT=self.file('root', ''), SCRIPT=self.file('smoke.sh', 'true'))

    def file(self, name, text):
        path = os.path.join(self.dir.name, name)
        with open(path, 'w', newline='') as f:
            f.write(text)
        return path

    def run_vm(self, *says, then='exit 0', **env):
        """Each of `says` is printed; between two of them a typed line is awaited, and kept in the file `typed`."""
        program = '#!/bin/sh\n'
        for n, text in enumerate(says):
            program += 'read line; echo "$line" >>"$0.typed"\n' if n else ''
            program += f"cat '{self.file(f'say{n}', text)}'\n"
        path = self.file('qemu', program + then + '\n')
        os.chmod(path, stat.S_IRWXU)
        out = io.StringIO()
        status = run_vm.main([], {**self.env, 'QEMU': path, **env}, out)
        self.typed = ''
        if os.path.exists(path + '.typed'):
            with open(path + '.typed') as f:
                self.typed = f.read()
        return status, out.getvalue()

    def test_pass(self):
        status, out = self.run_vm(BOOT + PASS)
        self.assertEqual(status, 0)
        self.assertIn('1 passed, 0 failed', out)
        self.assertIn('TCG', out)

    def test_pass_of_a_machine_that_does_not_power_off(self):
        self.assertEqual(self.run_vm(BOOT + PASS, then='exec sleep 60')[0], 0)

    def test_failure(self):
        status, out = self.run_vm(BOOT + 'FAIL create: no lagg0\r\nVM-VERDICT: 1\r\n')
        self.assertEqual(status, 1)
        self.assertIn('FAILED: the script exited with 1', out)

    def test_panic(self):
        status, out = self.run_vm(BOOT + PANIC)
        self.assertEqual(status, 3)
        self.assertEqual(out.count('lagg_transmit+0x10'), 2)

    def test_panic_that_stays_in_the_debugger(self):
        status, _ = self.run_vm(BOOT + PANIC + '[ thread pid 1 tid 1 ]\r\ndb> ', 'Tracing pid 1\r\n')
        self.assertEqual(status, 3)
        self.assertIn('set $lines=0', self.typed)

    def test_panic_after_the_verdict(self):
        self.assertEqual(self.run_vm(BOOT + PASS + PANIC)[0], 3)

    def test_hang(self):
        status, out = self.run_vm(BOOT, then='exec sleep 60', QUIET='1')
        self.assertEqual(status, 4)
        self.assertIn('silent for 1 s', out)

    def test_time_limit(self):
        status, out = self.run_vm(BOOT, then='while sleep 0.1; do echo .; done', TIMEOUT='1')
        self.assertEqual(status, 4)
        self.assertIn('no verdict in 1 s', out)

    def test_no_verdict(self):
        self.assertEqual(self.run_vm(BOOT + 'Uptime: 1s\r\n')[0], 5)

    def test_witness(self):
        status, out = self.run_vm(BOOT + LOR % (('lagg token',) * 3) + PASS)
        self.assertEqual(status, 6)
        self.assertIn('    lock order reversal', out)

    def test_witness_of_others(self):
        self.assertEqual(self.run_vm(BOOT + LOR % (('bpf global lock',) * 3) + 'lagg0: up\r\n' + PASS)[0], 0)

    def test_witness_of_c_lagg(self):
        report = (LOR % (('if_lagg sx',) * 3)).replace('/src/a.c', '/src/if_lagg.c')
        self.assertEqual(self.run_vm(BOOT + report + PASS)[0], 0)

    def test_leak(self):
        self.assertEqual(self.run_vm(BOOT + PASS + LEAK)[0], 6)

    def test_login(self):
        status, _ = self.run_vm(BOOT + 'FreeBSD/amd64 (Amnesiac) (ttyu0)\r\n\r\nlogin: ', 'root\r\nroot@:~ # ', PASS)
        self.assertEqual(status, 0)
        self.assertIn('root\n' + run_vm.UNPACK, self.typed)

    def test_single_user(self):
        status, _ = self.run_vm(BOOT + 'Enter full pathname of shell or RETURN for /bin/sh: ', '# ',
                                run_vm.UNPACK.replace('\n', '\r\n') + PASS)
        self.assertEqual(status, 0)
        self.assertIn('/bin/sh\n' + run_vm.UNPACK, self.typed)

    def test_what_is_missing(self):
        for name, value, told in (('QEMU', '/nonexistent/qemu', 'apt-get install'), ('KERNEL', '', 'KERNEL='), ('ROOT', '/nonexistent', 'makefs'),
                                  ('SCRIPT', '', 'tests/vm/all.sh'), ('KO', '/nonexistent', 'make builds it'), ('ARCH', 'arm64', 'only amd64')):
            out = io.StringIO()
            self.assertEqual(run_vm.main([], {**self.env, 'QEMU': '/bin/sh', name: value}, out), 2, name)
            self.assertIn(told, out.getvalue())
            self.assertEqual(out.getvalue().count('\n'), 1)


class Peers(unittest.TestCase):
    """Two whole runners; only QEMU is fake: it prints its command line and does what `then` says of the role in it."""

    def peers(self, then):
        with tempfile.TemporaryDirectory() as work:
            env = {'PATH': os.environ['PATH'], 'KERNEL': __file__, 'ROOT': __file__, 'KO': __file__, 'QEMU': os.path.join(work, 'qemu')}
            with open(env['QEMU'], 'w') as f:
                f.write('#!/bin/sh\necho "$*"\ncase "$*" in *path=*/ours0,remote*) role=ours ;; *) role=theirs ;; esac\n' + then)
            os.chmod(env['QEMU'], stat.S_IRWXU)
            out = io.StringIO()
            return peers.main([], env, out), out.getvalue()

    def test_pass(self):
        status, out = self.peers('echo VM-VERDICT: 0')
        self.assertEqual(status, 0)
        for here, there, address in ('ours', 'theirs', '02:00:5e:00:53:13'), ('theirs', 'ours', '02:00:5e:00:53:23'):
            command = [line for line in out.splitlines() if line.startswith(f'{here:6} ') and '-netdev' in line]
            self.assertEqual(len(command), 1)
            self.assertEqual(command[0].count('-netdev dgram'), 4)
            self.assertRegex(command[0], f'local.path=(/.*)/{here}3,remote.type=unix,remote.path=\\1/{there}3 .*mac={address}')

    def test_the_first_that_fails_ends_the_other(self):
        for role in 'ours', 'theirs':
            status, out = self.peers(f'[ $role = {role} ] || exec sleep 60\necho VM-VERDICT: 7')
            self.assertEqual(status, 7)

    def test_variables(self):
        ours, theirs = (peers.environment({'VM_ENV': "SUITE='a b'"}, 'w', *side) for side in (('ours', 'theirs', 1), ('theirs', 'ours', 2)))
        self.assertEqual(ours['VM_ENV'], "SUITE='a b' ROLE=ours")
        self.assertEqual(theirs['VM_ENV'], "SUITE='a b' ROLE=theirs LAGG_KO=/boot/kernel/if_lagg.ko")
        self.assertEqual(peers.environment({'THEIR_KO': 'x'}, 'w', 'theirs', 'ours', 2)['VM_ENV'], 'ROLE=theirs LAGG_KO=x')


class Parts(unittest.TestCase):
    def test_disk(self):
        with tempfile.TemporaryDirectory() as work:
            built = os.path.join(work, 'build')
            os.mkdir(built)
            for name in ('smoke.sh', 'lib.sh', 'test_x.py', 'build/some.ko', 'build/lagg_a.ko', 'build/lagg_b'):
                open(os.path.join(work, name), 'w').close()
            disk = os.path.join(work, 'disk')
            run_vm.payload(disk, os.path.join(built, 'some.ko'), os.path.join(work, 'smoke.sh'), [('SUITE', 'a b')])
            self.assertEqual(os.path.getsize(disk) % 512, 0)
            with tarfile.open(disk) as tar:
                names = {'run.sh', 'smoke.sh', 'lib.sh', 'if_lagg_rs.ko', 'lagg_a.ko', 'lagg_b'}
                self.assertLessEqual(names, set(tar.getnames()))
                self.assertNotIn('test_x.py', tar.getnames())
                self.assertEqual(tar.extractfile('run.sh').read(), b"export SUITE='a b'\nexec /bin/sh ./smoke.sh\n")

    def test_root_is_never_written_to(self):
        command = run_vm.qemu({'KERNEL': 'k', 'ROOT': 'r.img'}, 'd', 'm')
        self.assertIn('file=r.img,if=virtio,format=raw,snapshot=on', command)
        self.assertNotIn('-netdev', command)

    def test_clock_of_instructions(self):
        files = {'KERNEL': 'k', 'ROOT': 'r.img'}
        self.assertNotIn('-icount', run_vm.qemu(files, 'd', 'm'))
        command = run_vm.qemu({**files, 'VM_ICOUNT': '1'}, 'd', 'm')
        self.assertIn('-icount shift=0', ' '.join(command))
        self.assertIn('tcg,thread=single', command)

    def test_links(self):
        links = '02:00:5e:00:53:10,a0,b0 02:00:5e:00:53:11,a1,b1'
        command = run_vm.qemu({'KERNEL': 'k', 'ROOT': 'r.img', 'VM_LINKS': links}, 'd', 'm')
        self.assertEqual(command[-8:], [
            '-netdev', 'dgram,id=link0,local.type=unix,local.path=a0,remote.type=unix,remote.path=b0',
            '-device', 'virtio-net-pci,netdev=link0,mac=02:00:5e:00:53:10',
            '-netdev', 'dgram,id=link1,local.type=unix,local.path=a1,remote.type=unix,remote.path=b1',
            '-device', 'virtio-net-pci,netdev=link1,mac=02:00:5e:00:53:11'])


if __name__ == '__main__':
    unittest.main()
