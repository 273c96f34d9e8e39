"""QEMU: the command of a machine, and how it is interrupted."""

import os
import platform
import socket

PROGRAMS = {'amd64': 'qemu-system-x86_64', 'arm64': 'qemu-system-aarch64'}
PACKAGES = {'amd64': 'qemu-system-x86', 'arm64': 'qemu-system-arm'}
# How long the kernel may be silent where KVM may not be up to it, and where everything is emulated.
KVM_PATIENCE, PATIENCE = 30, 300
# EDK II for arm64, which has no firmware of its own
FIRMWARE = ('/usr/share/qemu-efi-aarch64/QEMU_EFI.fd', '/usr/share/qemu/edk2-aarch64-code.fd',
            '/usr/local/share/qemu/edk2-aarch64-code.fd', '/opt/homebrew/share/qemu/edk2-aarch64-code.fd')

# Cards that cards.sh tries, in its order
MODELS = 'e1000', 'e1000e', 'vmxnet3', 'rtl8139', 'virtio-net-pci'


def program(env, arch):
    return env.get('QEMU') or PROGRAMS[arch]


def firmware(env):
    return env.get('FIRMWARE') or next((f for f in FIRMWARE if os.path.exists(f)), None)


def accelerators(env, arch):
    """What to try, one after the other. /dev/kvm may be there and not up to FreeBSD."""
    if env.get('VM_ACCEL'):
        return [env['VM_ACCEL']]
    if env.get('VM_ICOUNT'):
        return ['tcg']
    same = {'x86_64': 'amd64', 'aarch64': 'arm64'}.get(platform.machine()) == arch
    return ['kvm', 'tcg'] if same and os.access('/dev/kvm', os.R_OK | os.W_OK) else ['tcg']


def image_format(path):
    """raw or qcow2."""
    with open(path, 'rb') as image:
        return 'qcow2' if image.read(4) == b'QFI\xfb' else 'raw'


class Machine:
    def __init__(self, env, arch, disks, work, accelerator):
        """`disks`: the payload, and perhaps a seed."""
        self.name = {'kvm': 'QEMU with KVM', 'tcg': 'QEMU without hardware acceleration (TCG): expect a tenth of the speed'}.get(
            accelerator, f'QEMU with {accelerator}')
        self.patience = KVM_PATIENCE if accelerator == 'kvm' else PATIENCE
        self.monitor = os.path.join(work, 'monitor')
        processor = 'host' if accelerator == 'kvm' else {'amd64': 'max', 'arm64': 'cortex-a57'}[arch]
        self.command = [
            program(env, arch), '-M', {'amd64': 'pc', 'arm64': 'virt'}[arch],
            *clock(env, accelerator), '-cpu', processor,
            '-smp', env.get('VM_SMP') or '2', '-m', env.get('VM_MEM') or '1024',
            '-display', 'none', '-nic', 'none', '-serial', 'stdio', '-monitor', f'unix:{self.monitor},server=on,wait=off',
            *(boot_image(env, arch) if env.get('IMAGE') else boot_kernel(env, arch)),
            # The suite that looks at how a machine starts starts it again.
            *([] if 'loader' in suites(env) else ['-no-reboot']),
            *(argument for disk in disks for argument in ('-drive', f'file={disk},if=virtio,format=raw,readonly=on')),
            *cards((env.get('VM_LINKS') or '').split()), *(argument for suite in suites(env) for argument in OF_SUITE.get(suite, tuple)())]

    def interrupt(self):
        """Into the kernel's debugger, if it has one."""
        self.ask('nmi')

    def link(self, card, state):
        """Has a card notice that its cable is there (on), or not (off). Frames do not come through then."""
        self.ask(f'set_link {card} {state}')

    def ask(self, command):
        """Of the monitor, which prompts before and after."""
        said = b''
        try:
            with socket.socket(socket.AF_UNIX) as s:
                s.settimeout(5)
                s.connect(self.monitor)
                s.sendall(f'{command}\n'.encode())
                while said.count(b'(qemu) ') < 2:
                    more = s.recv(4096)
                    if not more:
                        break
                    said += more
        except OSError:
            pass

    def end(self):
        pass


def clock(env, accelerator):
    if env.get('VM_ICOUNT'):
        # QEMU takes the binary logarithm.
        return ['-accel', 'tcg,thread=single', '-icount', f'shift={int(env["VM_ICOUNT"]).bit_length() - 1},sleep=off']
    return ['-accel', 'tcg,thread=multi' if accelerator == 'tcg' else accelerator]


def boot_image(env, arch):
    image = env['IMAGE']
    loader = ['-bios', firmware(env)] if arch == 'arm64' else []
    return [*loader, '-drive', f'file={image},if=virtio,format={image_format(image)},snapshot=on']


def boot_kernel(env, arch):
    # A kernel without a loader has no device hints: the console's are given here. The root's disk is the first.
    # An NMI asks a hung kernel where it is: with this it gets to the debugger. KASAN reports all that it finds.
    kenv = 'vfs.root.mountfrom=ufs:/dev/vtbd0 debug.debugger_on_panic=1 debug.kasan.panic_on_violation=0 boot_serial=YES'
    if arch == 'amd64':
        kenv += ' console=comconsole hint.uart.0.at=acpi hint.uart.0.port=0x3F8 hint.uart.0.flags=0x10'
    else:
        # By this word it knows that the line is meant for it.
        kenv = 'FreeBSD:' + kenv
    return ['-kernel', env['KERNEL'], '-append', kenv, '-drive', f'file={env["ROOT"]},if=virtio,format=raw,snapshot=on']


def cards(links):
    """Datagrams: neither machine has to be there first, and what is sent to one that is not there is lost, as on a cable."""
    for n, link in enumerate(links):
        address, here, there = link.split(',')
        yield from ('-netdev', f'dgram,id=link{n},local.type=unix,local.path={here},remote.type=unix,remote.path={there}',
                    '-device', f'virtio-net-pci,netdev=link{n},mac={address}')


def suites(env):
    """Those that cards may be for."""
    return (env.get('VM_SUITE') or ('' if env.get('SCRIPT') else 'fuzz')).split()


def modelled():
    """Those of cards.sh: four of each model. Two are ours and two are the jail's, and of each two one is on each hub. A hub is QEMU's only
    link within one machine that has more than two ends."""
    for n, model in enumerate(MODELS):
        for end in range(4):
            yield from ('-netdev', f'hubport,id=card{n}{end},hubid={end % 2}',
                        '-device', f'{model},netdev=card{n}{end},mac=02:00:5e:00:54:{n}{end}')


def pulled():
    """Those of the fuzzer, which has their drivers detach: vtnet0 and vtnet1, where fuzz/devices.c looks for them."""
    for n in range(2):
        yield from ('-netdev', f'hubport,id=pulled{n},hubid=2', '-device', f'virtio-net-pci,netdev=pulled{n},addr={26 + n:#x}')


OF_SUITE = {'cards': modelled, 'fuzz': pulled}
