"""run-vm against a QEMU that only replays a console: python3 -m unittest discover tests/vm"""

import importlib.machinery
import importlib.util
import io
import os
import shutil
import socket
import stat
import struct
import subprocess
import tarfile
import tempfile
import threading
import unittest
from unittest import mock

HERE = os.path.dirname(os.path.abspath(__file__))


def program(name):
    loader = importlib.machinery.SourceFileLoader(name.replace('-', '_'), os.path.join(HERE, name))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


run_vm = program('run-vm')
from runner import bhyve, console, qemu, verdict, watch  # noqa: E402: run-vm has made it known

watch.GRACE = 1

KERNEL = b'\x7fELF\2\1\1'.ljust(18, b'\0') + struct.pack('<H', 62)
ARM64_KERNEL = bytes(56) + b'ARMd' + bytes(4)
LOADER = 'FreeBSD/x86 bootstrap loader, Revision 3.0\r\nLoading kernel...\r\n'
BOOT = '---<<BOOT>>---\r\nFreeBSD 15.1-RELEASE VMTEST amd64\r\nTrying to mount root from ufs:/dev/vtbd0 [rw]...\r\n'
PASS = 'VM-BEGIN\r\nok create\r\n1 passed, 0 failed\r\nVM-VERDICT: 0\r\n'
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
ASAN = """ASan: Invalid access, 4-byte read at 0xfffffe0048c8a280, UMAUseAfterFree(fd)\r
#0 0xffffffff808acb35 at __asan_unpoison_memory_region+0x45\r
#1 0xffffffff8265a458 at %s+0xd8\r
VM-NOTE: on we go\r
"""
CSAN = ('CSan: Racy Access [Cpu1 Write Addr=0xffffffff81245740 Size=4 PC=0xffffffff80863b88<%s>] '
        '[Cpu0 Atomic Read Addr=0xffffffff81245740 Size=4 PC=0xffffffff80863b88<%s>]\r\n')
SEND = '_RNvNtCs1234_7lagg_rs6driver4send'
LEAK = 'Warning: memory type lagg leaked memory on destroy (1 allocations, 64 bytes leaked).\r\n'


class Replayed(unittest.TestCase):
    """The whole runner; only QEMU is fake."""

    def setUp(self):
        self.dir = tempfile.TemporaryDirectory()
        self.addCleanup(self.dir.cleanup)
        self.env = {'PATH': os.environ['PATH'], 'VM_ACCEL': 'tcg', 'VM_BOOT': '30', 'VM_START': '30', 'TIMEOUT': '30', 'QUIET': '30',
                    'KO': self.file('if_lagg_rs.ko', KERNEL)}
        self.env.update(KERNEL=self.file('kernel', KERNEL), ROOT=self.file('root', ''), SCRIPT=self.file('smoke.sh', 'true'))

    def file(self, name, content):
        path = os.path.join(self.dir.name, name)
        with open(path, 'wb') as f:
            f.write(content if isinstance(content, bytes) else content.encode())
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
        self.assertIn('run-vm: QEMU without hardware acceleration (TCG)', out)

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

    def test_time_limits(self):
        """Of each step, and of no step after it."""
        for said, limit, told in ((LOADER, 'VM_BOOT', 'no word of the kernel in 1 s (VM_BOOT)'),
                                  (LOADER + BOOT, 'VM_START', 'the system was not up in 1 s (VM_START)'),
                                  (BOOT + 'VM-BEGIN\r\n', 'TIMEOUT', 'no verdict in 1 s (TIMEOUT)')):
            status, out = self.run_vm(said, then='while sleep 0.1; do echo .; done', **{limit: '1'})
            self.assertEqual(status, 4)
            self.assertIn('FAILED: ' + told, out)

    def test_links(self):
        """What scripts want of cards' links, and nothing that only looks like it, as the echo of a command does."""
        asks = 'VM-LINK: h0 off\r\n+ echo VM-LINK: h1 off >/dev/console\r\nVM-LINK: h0 on\r\n'
        with mock.patch.object(qemu.Machine, 'link') as link:
            self.assertEqual(self.run_vm(BOOT + asks + PASS)[0], 0)
        self.assertEqual([call[0] for call in link.call_args_list], [('h0', 'off'), ('h0', 'on')])

    def test_kvm_that_is_not_up_to_it(self):
        """It ends at once, or says nothing: on without it. What fails once the kernel runs does not begin again."""
        with mock.patch.object(qemu, 'accelerators', return_value=['kvm', 'tcg']):
            for fails in 'exit 1', 'exec sleep 60':
                then = f'case "$*" in *kvm*) {fails} ;; esac\ncat {self.file("boot", BOOT + PASS)}'
                status, out = self.run_vm('', then=then, VM_BOOT='1')
                self.assertEqual(status, 0)
                self.assertIn('QEMU with KVM does not run this kernel', out)
                self.assertIn('(TCG)', out)
            status, out = self.run_vm(BOOT + PANIC)
            self.assertEqual(status, 3)
            self.assertNotIn('TCG', out)

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

    def test_sanitizers(self):
        """What they find is ours if it names the module, and is not done on purpose; so is what KASAN finds in the kernel."""
        status, out = self.run_vm(BOOT + ASAN % SEND + PASS)
        self.assertEqual(status, 6)
        self.assertIn('    #1 0xffffffff8265a458', out)
        self.assertEqual(self.run_vm(BOOT + CSAN % ('witness_lock', SEND) + PASS)[0], 6)
        self.assertEqual(self.run_vm(BOOT + ASAN % 'ether_output' + PASS)[0], 6)
        for others in ASAN % 'lagg_rs_mistake_freed', ASAN % 'lagg_transmit', CSAN % (('witness_lock',) * 2), CSAN % (('lagg_c_mistake_race',) * 2):
            self.assertEqual(self.run_vm(BOOT + others + PASS)[0], 0)

    def test_leak(self):
        self.assertEqual(self.run_vm(BOOT + PASS + LEAK)[0], 6)
        status, out = self.run_vm(BOOT + PASS + LEAK, VM_ENV='LAGG_KO=/boot/kernel/if_lagg.ko')
        self.assertEqual(status, 0)
        self.assertIn('    ' + LEAK.strip(), out)

    def test_login(self):
        status, _ = self.run_vm(BOOT + 'FreeBSD/amd64 (Amnesiac) (ttyu0)\r\n\r\nlogin: ', 'root\r\nroot@:~ # ', PASS)
        self.assertEqual(status, 0)
        self.assertIn('root\n' + console.TYPED, self.typed)

    def test_single_user(self):
        status, _ = self.run_vm(BOOT + 'Enter full pathname of shell or RETURN for /bin/sh: ', '# ',
                                console.TYPED.replace('\n', '\r\n') + PASS)
        self.assertEqual(status, 0)
        self.assertIn('/bin/sh\n' + console.TYPED, self.typed)

    def test_an_image_gets_a_seed(self):
        status, out = self.run_vm(LOADER + BOOT, then='echo "$*"', IMAGE=self.file('image', b'QFI\xfb'), KERNEL='', ROOT='')
        self.assertEqual(status, 5)
        self.assertIn(f'file={self.dir.name}/image,if=virtio,format=qcow2,snapshot=on', out)
        self.assertRegex(out, 'file=[^ ]*/payload,if=virtio,format=raw,readonly=on -drive file=[^ ]*/seed,if=virtio,format=raw,readonly=on')

    def test_suite(self):
        """Without a script it is all.sh's."""
        with mock.patch.object(run_vm.disks, 'payload') as payload:
            self.assertEqual(self.run_vm(BOOT + PASS, SCRIPT='', VM_SUITE='smoke lacp', SOAK='60', VM_ENV="ROUNDS=5 WORDS='a b'")[0], 0)
        _, module, script, variables = payload.call_args[0]
        self.assertEqual((module, script), (self.env['KO'], os.path.join(HERE, 'all.sh')))
        self.assertEqual(variables, [['ROUNDS', '5'], ['WORDS', 'a b'], ['SUITE', 'smoke lacp'], ['SOAK', '60']])

    def lacks(self, told, **env):
        """One line says what is missing."""
        out = io.StringIO()
        self.assertEqual(run_vm.main([], {**self.env, 'QEMU': '/bin/sh', **env}, out), 2, env)
        self.assertIn(told, out.getvalue())
        self.assertEqual(out.getvalue().count('\n'), 1)

    def test_what_is_missing(self):
        nothing = {'KERNEL': '', 'ROOT': ''}
        self.lacks('BASIC-CLOUDINIT', **nothing)
        self.lacks('no such file', **nothing, IMAGE='/nonexistent')
        self.lacks('unpack it', **nothing, IMAGE=self.file('image.xz', b'\xfd7zXZ\0'))
        self.lacks('KERNEL= is not given', KERNEL='')
        self.lacks('is no ELF kernel for amd64', KERNEL=self.file('kernel.bin', ARM64_KERNEL))
        self.lacks('arm64 boots kernel.bin', ARCH='arm64')
        self.lacks('makefs', ROOT='/nonexistent')
        self.lacks('apt-get install qemu-system-x86', QEMU='/nonexistent/qemu')
        self.lacks('qemu-efi-aarch64', **nothing, ARCH='arm64', IMAGE=self.env['ROOT'], FIRMWARE='/nonexistent')
        self.lacks('tests/vm/smoke.sh', SCRIPT='/nonexistent')
        self.lacks('make builds it', KO='/nonexistent')
        self.lacks('amd64 and arm64', ARCH='i386')
        self.assertEqual(self.run_vm(BOOT + PASS, KO='/nonexistent', VM_ENV='LAGG_KO=/boot/kernel/if_lagg.ko')[0], 0)

    def test_what_bhyve_lacks(self):
        def lack(env, programs=True, root=True):
            with mock.patch.object(run_vm, 'uses_bhyve', return_value=True), mock.patch('os.geteuid', return_value=0 if root else 1), \
                    mock.patch('shutil.which', return_value='/x' if programs else None), mock.patch('os.path.exists', return_value=root):
                return run_vm.missing_machine(env, 'amd64')
        self.assertIn('no bhyveload', lack({}, programs=False))
        self.assertIn('kldload vmm', lack({}, root=False))
        self.assertIn('raw images alone', lack({'IMAGE': self.file('image', b'QFI\xfb')}))
        self.assertIn('QEMU=qemu-system-x86_64', lack({'VM_LINKS': 'a,b,c'}))
        self.assertIn('starts again', lack({'VM_SUITE': 'loader'}))
        self.assertIsNone(lack({'IMAGE': self.file('image', 'raw')}))
        for system, arch, env, wanted in (('FreeBSD', 'amd64', {}, True), ('FreeBSD', 'arm64', {}, False), ('Linux', 'amd64', {}, False),
                                          ('FreeBSD', 'amd64', {'QEMU': 'qemu-system-x86_64'}, False)):
            self.assertEqual(run_vm.uses_bhyve(env, arch, system), wanted)

    def test_names_of_a_panic(self):
        """A backtrace's names of ours, as they are in the source."""
        compiler, linker = verdict.tool('clang'), verdict.tool('ld.lld')
        source = self.file('source.c', f'int send(int n) __asm__("{SEND}"); int send(int n) {{ return n + 1; }}')
        module = os.path.join(self.dir.name, 'module.ko')
        subprocess.run([compiler, '--target=x86_64-unknown-freebsd15', '-ffreestanding', '-c', '-o', module + '.o', source], check=True)
        subprocess.run([linker, '-m', 'elf_x86_64', '-r', '-o', module, module + '.o'], check=True)
        frame = f'{SEND}() at {SEND}+0x1/frame 0xfffffe00\r\n'
        status, out = self.run_vm(BOOT + PANIC + frame + frame, KO=module)
        self.assertEqual(status, 3)
        self.assertEqual(out.count('run-vm: of ours: lagg_rs::driver::send+0x1\n'), 1)
        status, out = self.run_vm(BOOT + CSAN % ('witness_lock', SEND) + PASS, KO=module)
        self.assertEqual(status, 6)
        self.assertEqual(out.count('run-vm: of ours: lagg_rs::driver::send\n'), 1)


class Machines(unittest.TestCase):
    """Their command lines."""

    def qemu(self, arch='amd64', accelerator='tcg', **env):
        return qemu.Machine({'KERNEL': 'k', 'ROOT': 'r.img', **env}, arch, ['payload'], 'w', accelerator).command

    def test_the_system_is_never_written_to(self):
        command = self.qemu(VM_SUITE='smoke')
        self.assertIn('file=r.img,if=virtio,format=raw,snapshot=on', command)
        self.assertIn('file=payload,if=virtio,format=raw,readonly=on', command)
        self.assertNotIn('-netdev', command)

    def test_size(self):
        command = ' '.join(self.qemu(VM_SMP='4', VM_MEM='2048'))
        self.assertIn('-smp 4 -m 2048', command)
        self.assertIn('-smp 2 -m 1024', ' '.join(self.qemu()))

    def test_clock_of_instructions(self):
        self.assertNotIn('-icount', self.qemu())
        command = ' '.join(self.qemu(VM_ICOUNT='1'))
        self.assertIn('-accel tcg,thread=single -icount shift=0,', command)
        self.assertIn('-icount shift=3,', ' '.join(self.qemu(VM_ICOUNT='8')))
        with mock.patch('os.access', return_value=True):
            self.assertEqual(qemu.accelerators({'VM_ICOUNT': '1'}, 'amd64'), ['tcg'])

    def test_accelerator(self):
        self.assertIn('-accel tcg,thread=multi -cpu max', ' '.join(self.qemu()))
        self.assertIn('-accel kvm -cpu host', ' '.join(self.qemu(accelerator='kvm')))
        for machine, device, arch, wanted in (('x86_64', True, 'amd64', ['kvm', 'tcg']), ('x86_64', False, 'amd64', ['tcg']),
                                              ('x86_64', True, 'arm64', ['tcg']), ('aarch64', True, 'arm64', ['kvm', 'tcg'])):
            with mock.patch('platform.machine', return_value=machine), mock.patch('os.access', return_value=device):
                self.assertEqual(qemu.accelerators({}, arch), wanted)
                self.assertEqual(qemu.accelerators({'VM_ACCEL': 'hvf'}, arch), ['hvf'])

    def test_arm64(self):
        command = ' '.join(self.qemu('arm64'))
        self.assertTrue(command.startswith('qemu-system-aarch64 -M virt '))
        self.assertIn('-kernel k -append FreeBSD:vfs.root.mountfrom=ufs:/dev/vtbd0 ', command)
        with tempfile.NamedTemporaryFile() as image:
            command = ' '.join(self.qemu('arm64', IMAGE=image.name, FIRMWARE='fw'))
            self.assertIn(f'-bios fw -drive file={image.name},if=virtio,format=raw,snapshot=on', command)
            self.assertNotIn('-kernel', command)

    def test_a_cable_is_cut(self):
        """The monitor gets a command, and is not left before it has prompted for another."""
        with tempfile.TemporaryDirectory() as work, socket.socket(socket.AF_UNIX) as listener:
            machine = qemu.Machine({'KERNEL': 'k', 'ROOT': 'r.img'}, 'amd64', [], work, 'tcg')
            listener.bind(machine.monitor)
            listener.listen()
            asking = threading.Thread(target=machine.link, args=('h0', 'off'))
            asking.start()
            with listener.accept()[0] as monitor:
                monitor.sendall(b'QEMU 7.2 monitor\r\n(qemu) ')
                self.assertEqual(monitor.recv(64), b'set_link h0 off\n')
                self.assertTrue(asking.is_alive())
                monitor.sendall(b'set_link h0 off\r\n(qemu) ')
                asking.join(5)
            self.assertFalse(asking.is_alive())

    def test_cards(self):
        """Of each model two here and two there, on two hubs; none for other scripts."""
        command = ' '.join(self.qemu(VM_SUITE='smoke cards'))
        self.assertEqual(command.count('hubport'), 20)
        self.assertIn('-netdev hubport,id=card23,hubid=1 -device vmxnet3,netdev=card23,mac=02:00:5e:00:54:23', command)
        self.assertNotIn('hubport', ' '.join(self.qemu(VM_SUITE='smoke')))

    def test_which_machine_starts_again(self):
        self.assertIn('-no-reboot', self.qemu(VM_SUITE='smoke'))
        self.assertNotIn('-no-reboot', self.qemu(VM_SUITE='loader'))

    def test_cards_of_the_fuzzer(self):
        for env in {}, {'VM_SUITE': 'fuzz'}:
            self.assertIn('-device virtio-net-pci,netdev=pulled1,addr=0x1b', ' '.join(self.qemu(**env)))
        for env in {'SCRIPT': 'bench.sh'}, {'VM_SUITE': 'smoke'}:
            self.assertNotIn('pulled', ' '.join(self.qemu(**env)))

    def test_links(self):
        command = self.qemu(SCRIPT='peer.sh', VM_LINKS='02:00:5e:00:53:10,a0,b0 02:00:5e:00:53:11,a1,b1')
        self.assertEqual(command[-8:], [
            '-netdev', 'dgram,id=link0,local.type=unix,local.path=a0,remote.type=unix,remote.path=b0',
            '-device', 'virtio-net-pci,netdev=link0,mac=02:00:5e:00:53:10',
            '-netdev', 'dgram,id=link1,local.type=unix,local.path=a1,remote.type=unix,remote.path=b1',
            '-device', 'virtio-net-pci,netdev=link1,mac=02:00:5e:00:53:11'])

    def test_bhyve(self):
        with tempfile.TemporaryDirectory() as top:
            work, boot = os.path.join(top, 'work'), os.path.join(top, 'boot')
            for directory in work, os.path.join(boot, 'lua'), os.path.join(boot, 'defaults'):
                os.makedirs(directory)
            given = {name: os.path.join(top, name) for name in ('IMAGE', 'KERNEL', 'ROOT')}
            for path in *given.values(), os.path.join(boot, 'lua', 'loader.lua'), os.path.join(boot, 'device.hints'):
                with open(path, 'w') as f:
                    f.write(path)
            root = os.path.join(work, 'root')

            image = bhyve.Machine({'IMAGE': given['IMAGE'], 'VM_SMP': '4', 'VM_MEM': '2048'}, ['payload', 'seed'], work, boot)
            self.assertEqual(image.command[:2], ['/bin/sh', '-c'])
            self.assertEqual(
                image.command[2],
                f'bhyveload -c stdio -m 2048M -d {root} {image.vm} && exec bhyve -c 4 -m 2048M -H -P -l com1,stdio -s 0,hostbridge -s 1,lpc'
                f' -s 2,virtio-blk,{root} -s 3,virtio-blk,payload,ro -s 4,virtio-blk,seed,ro {image.vm}')
            with open(root) as f:
                self.assertEqual(f.read(), given['IMAGE'], 'the machine has a copy')

            kernel = bhyve.Machine({'KERNEL': given['KERNEL'], 'ROOT': given['ROOT']}, ['payload'], work, boot)
            host = os.path.join(work, 'host')
            self.assertIn(f'bhyveload -c stdio -m 1024M -h {host} {kernel.vm} && exec bhyve -c 2 -m 1024M ', kernel.command[2])
            with open(os.path.join(host, 'boot/kernel/kernel')) as f:
                self.assertEqual(f.read(), given['KERNEL'])
            with open(os.path.join(host, 'boot/loader.conf')) as f:
                self.assertIn('vfs.root.mountfrom="ufs:/dev/vtbd0"\n', f.read())
            for file in 'lua/loader.lua', 'device.hints':
                self.assertTrue(os.path.exists(os.path.join(host, 'boot', file)))

    def test_bhyve_is_interrupted_and_ended(self):
        with mock.patch('subprocess.run') as run, mock.patch('shutil.copyfile'):
            machine = bhyve.Machine({'IMAGE': 'i'}, [], 'w')
            machine.interrupt()
            machine.end()
        self.assertEqual([call[0][0] for call in run.call_args_list],
                         [['bhyvectl', f'--vm={machine.vm}', '--inject-nmi'], ['bhyvectl', f'--vm={machine.vm}', '--destroy']])
