"""What losses measures: machines with LACP over two cards, whose cables lead to taps here."""

import fcntl
import os
import selectors
import signal
import socket
import struct
import subprocess
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
QEMU = 'qemu-system-x86_64'
LIMIT = 300
FLOWS = 8
LINKS = 1, 2        # 0 is for commands
PARTNER = '192.0.2.1'


def address(flow):
    return f'192.0.2.{11 + flow}'


def mac(end, link):
    return f'02:00:5e:00:53:{end}{link}'


def run(*command):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f'{command}: {done.stdout}{done.stderr}')
    return done.stdout


def until(what, seen, limit=LIMIT):
    end = time.monotonic() + limit
    while not seen():
        if time.monotonic() > end:
            raise RuntimeError(f'in vain: {what}')
        time.sleep(0.05)


class Cables(threading.Thread):
    """Each between a tap here and a socket of QEMU's. What is silent loses all, and neither end notices."""

    def __init__(self, work):
        super().__init__(daemon=True)
        self.silent, self.work, self.selector = set(), work, selectors.DefaultSelector()
        # A machine that is late loses nothing.
        with open('/proc/sys/net/unix/max_dgram_qlen', 'w') as f:
            f.write('4000')
        for link in (0, *LINKS):
            tap = os.open('/dev/net/tun', os.O_RDWR | os.O_NONBLOCK)
            fcntl.ioctl(tap, 0x400454ca, struct.pack('16sH22x', f'em{link}'.encode(), 0x1002))      # TUNSETIFF, TAP without a header
            run('ip', 'link', 'set', f'em{link}', 'address', mac(0, link), 'up')
            card = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            card.setblocking(False)
            card.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 22)
            card.bind(f'{work}/here{link}')
            there = f'{work}/there{link}'
            self.selector.register(tap, selectors.EVENT_READ, (link, lambda t=tap: os.read(t, 65536), lambda f, c=card, t=there: c.sendto(f, t)))
            self.selector.register(card, selectors.EVENT_READ, (link, lambda c=card: c.recv(65536), lambda f, t=tap: os.write(t, f)))
        run('ip', 'addr', 'add', '198.51.100.1/24', 'dev', 'em0')
        self.start()

    def run(self):
        while True:
            for key, _ in self.selector.select():
                link, take, give = key.data
                try:
                    frame = take()
                    if link not in self.silent:
                        give(frame)
                except OSError:
                    pass        # an end is not there, down, or full

    def options(self):
        """QEMU's."""
        for link in (0, *LINKS):
            ends = f'local.type=unix,local.path={self.work}/there{link},remote.type=unix,remote.path={self.work}/here{link}'
            yield from ('-netdev', f'dgram,id=link{link},{ends}')
            yield from ('-device', f'virtio-net-pci,netdev=link{link},mac={mac(9, link)},speed=1000,duplex=full')


class Machine:
    """One that is measured; its commands are in a shell of its own."""

    def monitored(self):
        """QEMU's options."""
        return '-monitor', f'unix:{self.work}/monitor,server=on,wait=off'

    def monitor(self, command):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(30)
            s.connect(f'{self.work}/monitor')
            s.sendall(f'{command}\n'.encode())
            said = b''
            while said.count(b'(qemu) ') < 2:
                said += s.recv(4096)

    def carrier(self, link, state):
        self.monitor(f'set_link link{link} {state}')
        run('ip', 'link', 'set', f'em{link}', 'carrier', state)

    def end(self):
        os.killpg(self.process.pid, signal.SIGTERM)
        self.process.wait()


class FreeBSD(Machine):
    def __init__(self, work, cables, module):
        self.work = work
        with open(f'{work}/qemu', 'w') as f:
            more = ' '.join((*cables.options(), *self.monitored()))
            f.write(f'#!/bin/sh\nexec {os.environ.get("QEMU") or QEMU} "$@" {more}\n')
        os.chmod(f'{work}/qemu', 0o755)
        env = {**os.environ, 'QEMU': f'{work}/qemu', 'SCRIPT': f'{HERE}/peer.sh', 'VM_ACCEL': 'tcg', 'VM_SMP': '1',
               'VM_ENV': 'ROLE=theirs' + (f' LAGG_KO={module}' if module else '')}
        self.process = subprocess.Popen([f'{HERE}/run-vm'], env=env, start_new_session=True, stdin=subprocess.DEVNULL,
                                        stdout=open(f'{work}/log', 'w'), stderr=subprocess.STDOUT)

    def boot(self):
        self.shell('sysctl net.inet.icmp.icmplim=0; for n in 1 2; do ifconfig vtnet$n up; done')

    def shell(self, line):
        end = time.monotonic() + LIMIT
        while True:
            try:
                with socket.create_connection(('198.51.100.2', 7), 60) as s:
                    s.sendall(f'{line}\n'.encode())
                    said = b''
                    while more := s.recv(4096):
                        said += more
                if b'status ' in said:
                    break
            except OSError:
                pass
            if time.monotonic() > end or self.process.poll() is not None:
                raise RuntimeError(f'no answer: {line}')
            time.sleep(0.2)
        if not said.endswith(b'status 0\n'):
            raise RuntimeError(f'{line}: {said.decode()}')

    def create(self, fast):
        aliases = '; '.join(f'ifc lagg0 inet {address(flow)}/32 alias' for flow in range(1, FLOWS))
        # F-18: C lagg forgets it for later ports
        fast = 'lacp_fast_timeout' if fast else ''
        self.shell(f'ifc lagg0 create laggproto lacp laggport vtnet1 laggport vtnet2 {fast} {address(0)}/24 up; {aliases}')

    def destroy(self):
        self.shell('ifc lagg0 destroy')

    def leave(self, link):
        self.shell(f'ifc lagg0 -laggport vtnet{link}')

    def join(self, link):
        self.shell(f'ifc lagg0 laggport vtnet{link}')

    def change_protocol(self):
        self.shell('ifc lagg0 laggproto loadbalance; ifc lagg0 laggproto lacp; ifc lagg0 lacp_fast_timeout')


class Ours(FreeBSD):
    name = 'if_lagg_rs.ko'

    def __init__(self, work, cables):
        super().__init__(work, cables, None)

    def set(self, setting, value):
        self.shell(f'sysctl net.link.lagg.iface.lagg0.{setting}="{value}"')


class C(FreeBSD):
    name = 'if_lagg.ko'

    def __init__(self, work, cables):
        super().__init__(work, cables, os.environ.get('THEIR_KO') or '/boot/kernel/if_lagg.ko')


class Bonding(Machine):
    name = 'bonding'

    def __init__(self, work, cables):
        self.work = work
        kernel = next(f'{TOP}/build/linux/boot/{name}' for name in os.listdir(f'{TOP}/build/linux/boot') if name.startswith('vmlinuz'))
        run(f'{TOP}/tests/partners/initramfs.sh', f'{TOP}/build/linux', f'{work}/initramfs')
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(f'{work}/console')
        self.listener.listen()
        self.listener.settimeout(LIMIT)
        self.process = subprocess.Popen([
            QEMU, '-nodefaults', '-no-user-config', '-display', 'none', '-accel', 'tcg', '-cpu', 'max', '-m', '192',
            '-kernel', kernel, '-initrd', f'{work}/initramfs', '-append', 'console=ttyS0 quiet no_timer_check ipv6.disable=1',
            '-serial', f'file:{work}/log', '-chardev', f'socket,id=console,path={work}/console',
            '-device', 'virtio-serial-pci', '-device', 'virtserialport,chardev=console', *self.monitored(), *cables.options()],
            start_new_session=True, stdin=subprocess.DEVNULL)

    def boot(self):
        connection, _ = self.listener.accept()
        connection.settimeout(LIMIT)
        self.console = connection.makefile('rw')
        until('it has booted', lambda: self.console.readline() == 'ready\n')

    def shell(self, line):
        self.console.write(f'{line}\n')
        self.console.flush()
        said = ''
        while not (answer := self.console.readline()).startswith('= '):
            said += answer
        if answer != '= 0\n':
            raise RuntimeError(f'{line}: {said}')

    def create(self, fast):
        self.shell('ip link add agg0 type bond mode 802.3ad miimon 100 xmit_hash_policy layer2+3 lacp_rate ' + ('fast' if fast else 'slow'))
        for link in LINKS:
            self.join(link)
        addresses = '; '.join(f'ip addr add {address(flow)}/24 dev agg0' for flow in range(FLOWS))
        self.shell(f'ip link set agg0 up; {addresses}; ip neigh replace {PARTNER} lladdr {mac(0, 1)} dev agg0 nud permanent')

    def destroy(self):
        self.shell('ip link del agg0')

    def leave(self, link):
        self.shell(f'ip link set eth{link} nomaster')

    def join(self, link):
        self.shell(f'ip link set eth{link} down; ip link set eth{link} master agg0')

    def change_protocol(self):
        """Which it does only without ports."""
        to = lambda mode: ('ip link set agg0 down; for n in 1 2; do ip link set eth$n nomaster; done; '
                           f'ip link set agg0 type bond mode {mode}; '
                           'for n in 1 2; do ip link set eth$n down; ip link set eth$n master agg0; done; ip link set agg0 up')
        keeps = f'ip neigh replace {PARTNER} lladdr {mac(0, 1)} dev agg0 nud permanent'
        self.shell(f'{to("balance-xor")}; {to("802.3ad lacp_rate fast")}; {keeps}')
