"""bhyve(8), on FreeBSD: the commands of a machine, and how it is interrupted. It cannot be told to write elsewhere than into the root
disk, and reads raw images alone: the machine gets a copy."""

import os
import shlex
import shutil
import subprocess

PROGRAMS = 'bhyveload', 'bhyve', 'bhyvectl'
PATIENCE = 60


class Machine:
    def __init__(self, env, disks, work, boot='/boot'):
        """`disks`: the payload, and perhaps a seed. `boot`: the host's, with the loader's scripts."""
        self.name = 'bhyve'
        self.patience = PATIENCE
        self.vm = f'lagg{os.getpid()}'
        root = os.path.join(work, 'root')
        shutil.copyfile(env.get('IMAGE') or env['ROOT'], root)
        source = ['-d', root] if env.get('IMAGE') else ['-h', loader(env, work, boot)]
        memory = f'{env.get("VM_MEM") or "1024"}M'
        load = ['bhyveload', '-c', 'stdio', '-m', memory, *source, self.vm]
        slots = ['0,hostbridge', '1,lpc', f'2,virtio-blk,{root}',
                 *(f'{slot},virtio-blk,{disk},ro' for slot, disk in enumerate(disks, 3))]
        run = ['bhyve', '-c', env.get('VM_SMP') or '2', '-m', memory, '-H', '-P', '-l', 'com1,stdio',
               *(argument for slot in slots for argument in ('-s', slot)), self.vm]
        self.command = ['/bin/sh', '-c', f'{shlex.join(load)} && exec {shlex.join(run)}']

    def interrupt(self):
        """Into the kernel's debugger, if it has one."""
        subprocess.run(['bhyvectl', f'--vm={self.vm}', '--inject-nmi'], stderr=subprocess.DEVNULL)

    def link(self, card, state):
        """It cannot take a cable out of a card."""

    def end(self):
        subprocess.run(['bhyvectl', f'--vm={self.vm}', '--destroy'], stderr=subprocess.DEVNULL)


def loader(env, work, boot):
    """A directory for bhyveload to boot from, where the kernel is a file of the host's: with the loader's own scripts."""
    top = os.path.join(work, 'host')
    to = os.path.join(top, 'boot')
    os.makedirs(os.path.join(to, 'kernel'))
    shutil.copyfile(env['KERNEL'], os.path.join(to, 'kernel', 'kernel'))
    for name in 'lua', 'defaults':
        shutil.copytree(os.path.join(boot, name), os.path.join(to, name))
    if os.path.exists(os.path.join(boot, 'device.hints')):
        shutil.copy(os.path.join(boot, 'device.hints'), to)
    with open(os.path.join(to, 'loader.conf'), 'w') as f:
        f.write('autoboot_delay="-1"\nbeastie_disable="YES"\nvfs.root.mountfrom="ufs:/dev/vtbd0"\n'
                'boot_serial="YES"\ndebug.debugger_on_panic="1"\n')
    return top
