"""What is counted: packets through a lagg of two ports, in the states that are usual."""

import struct

from interfaces import IF_BPF, IF_FLAGS, IF_LINK_STATE, IF_TRANSMIT, LINK_STATE_DOWN

SET_PORT, SET_PROTOCOL, SET_FLAGS, SET_HASH, SET_OPTION = 0x8048698D, 0x80506990, 0x80206910, 0x80146992, 0x80286999
PROTOCOLS = {"none": 0, "roundrobin": 1, "failover": 2, "loadbalance": 3, "lacp": 4, "broadcast": 5}
TO, FROM = bytes([2, 0, 0, 0, 0, 200]), bytes([2, 0, 0, 0, 0, 100])
PARTNER = bytes([2, 0, 0, 0, 0, 9])


def ethernet(kind, payload):
    return TO + FROM + struct.pack("!H", kind) + payload


def ipv4(protocol, payload=bytes(26), options=b"", fragment=0):
    header = struct.pack("!BBHHHBBH", 0x45 + len(options) // 4, 0, 20 + len(options) + len(payload), 0, fragment, 64, protocol, 0)
    return ethernet(0x0800, header + bytes([192, 0, 2, 1, 192, 0, 2, 2]) + options + payload)


def ipv6(protocol, payload=bytes(26)):
    address = bytes.fromhex("20010db8") + bytes(11)
    return ethernet(0x86DD, struct.pack("!IHBB", 0x60000000, len(payload), protocol, 64) + address + b"\1" + address + b"\2" + payload)


UDP, TCP, ICMP, ESP, GRE, ICMPV6 = 17, 6, 1, 50, 47, 58


class Lagg:
    """A lagg with ports that are up, and for LACP a partner that agrees to all."""

    def __init__(self, kernel, protocol, ports=2, options=(), domains=()):
        self.kernel = kernel
        self.ports = [kernel.card(n) for n in range(ports)]
        for port, domain in zip(self.ports, domains):
            kernel.interfaces[port]["domain"] = domain
        self.ifp = kernel.lagg()
        self.name = kernel.string(self.ifp + 88).encode()
        self.set(SET_PROTOCOL, PROTOCOLS[protocol], 80)
        for port in self.ports:
            kernel.ioctl(self.ifp, SET_PORT, struct.pack("16s16s40x", self.name, kernel.string(port + 88).encode()))
        for command, value in options:
            self.set(command, value, 40 if command == SET_OPTION else 20)
        kernel.write(self.ifp + IF_FLAGS, kernel.read(self.ifp + IF_FLAGS, 4) | 1, 4)
        kernel.ioctl(self.ifp, SET_FLAGS, struct.pack("16sH14x", self.name, 1))
        for _ in range(80 if protocol == "lacp" else 4):
            kernel.sleep(100)
            self.answer()
        kernel.sent.clear()

    def set(self, command, value, size):
        self.kernel.ioctl(self.ifp, command, struct.pack(f"16si{size - 20}x", self.name, value))

    def answer(self):
        """The partner's answers to what was sent."""
        sent, self.kernel.sent = self.kernel.sent, []
        for port, frame in sent:
            if frame[12:14] != b"\x88\x09":
                continue
            number = self.ports.index(port) + 1
            if frame[14] == 1:
                actor = struct.pack("!BBH6sHHHB3x", 1, 20, 32768, PARTNER, 1, 32768, number, 0x3D)
                reply = frame[:6] + PARTNER + b"\x88\x09\1\1" + actor + b"\2\x14" + frame[18:36] + frame[56:]
            else:
                reply = frame[:6] + PARTNER + frame[12:16] + b"\2" + frame[17:]
            self.kernel.call(self.kernel.symbols["lagg_rs_input"], port, self.kernel.packet(reply, multicast=True))
            self.kernel.settle()

    def link(self, number, state):
        """The link of a port changes, and the stack tells the module."""
        self.kernel.write(self.ports[number] + IF_LINK_STATE, state, 1)
        self.kernel.call(self.kernel.read(self.kernel.stubs["lagg_linkstate_p"]), self.ports[number], 0)
        self.kernel.settle()

    def cut(self, port):
        """The link of a port is down, and the stack has not told the module yet."""
        self.kernel.write(port + IF_LINK_STATE, LINK_STATE_DOWN, 1)

    def port_of(self, frame):
        """The port that a frame is sent on."""
        self.kernel.sent.clear()
        self.transmit(frame)
        return self.kernel.sent[0][0]

    def listen(self, ifp):
        """A bpf(4) listener on an interface."""
        self.kernel.write(self.kernel.read(ifp + IF_BPF) + 16, 1)

    def transmit(self, frame):
        return self.kernel.count(self.kernel.read(self.ifp + IF_TRANSMIT), self.ifp, self.kernel.packet(frame))

    def receive(self, number, frame, multicast=False):
        return self.kernel.count(self.kernel.symbols["lagg_rs_input"], self.ports[number], self.kernel.packet(frame, multicast))


def hashes(value):
    return ((SET_HASH, value),)


def scenes(make):
    """Each scene's name, and what was counted in it. `make` makes a lagg in a kernel of its own."""
    lagg = make("failover")
    yield "transmit failover", lagg.transmit(ipv4(UDP))
    yield "receive failover", lagg.receive(0, ipv4(UDP))
    lagg.listen(lagg.ifp)
    yield "transmit failover, bpf reader", lagg.transmit(ipv4(UDP))
    yield "receive failover, bpf reader", lagg.receive(0, ipv4(UDP))

    lagg = make("failover")
    lagg.link(0, LINK_STATE_DOWN)
    yield "transmit failover, primary down", lagg.transmit(ipv4(UDP))
    yield "receive failover, on the port that stands in", lagg.receive(1, ipv4(UDP))

    for protocol in ("roundrobin", "loadbalance", "broadcast", "lacp"):
        lagg = make(protocol)
        yield f"receive {protocol}", lagg.receive(0, ipv4(UDP))
        if protocol == "lacp":
            yield "receive lacp, multicast", lagg.receive(0, ipv4(UDP), multicast=True)
        yield f"transmit {protocol}, UDP", lagg.transmit(ipv4(UDP))
        if protocol in ("roundrobin", "broadcast"):
            continue
        for name, frame in FLOWS.items():
            yield f"transmit {protocol}, {name}", lagg.transmit(frame)
        lagg.listen(lagg.ifp)
        yield f"transmit {protocol}, bpf reader", lagg.transmit(ipv4(TCP))
        lagg = make(protocol)
        lagg.cut(lagg.port_of(ipv4(TCP)))
        yield f"transmit {protocol}, its port is down, TCP", lagg.transmit(ipv4(TCP))
        lagg = make(protocol, domains=(0, 1))
        yield f"transmit {protocol}, two NUMA domains, TCP", lagg.transmit(ipv4(TCP))

    for value in range(1, 7):
        lagg = make("loadbalance", options=hashes(value))
        layers = ",".join(f"l{n}" for n in (2, 3, 4) if value & 1 << n - 2)
        yield f"transmit loadbalance, lagghash {layers}, TCP", lagg.transmit(ipv4(TCP))


FLOWS = {
    "TCP": ipv4(TCP),
    "ICMP": ipv4(ICMP),
    "ESP": ipv4(ESP),
    "GRE": ipv4(GRE),
    "IPv4 options": ipv4(TCP, options=bytes(4)),
    "fragment": ipv4(UDP, fragment=0x2000),
    "IPv6 TCP": ipv6(TCP),
    "ICMPv6": ipv6(ICMPV6),
    "VLAN, TCP": TO + FROM + b"\x81\0\0\x64" + ipv4(TCP)[12:],
    "two tags, TCP": TO + FROM + b"\x88\xa8\0\x64\x81\0\0\x64" + ipv4(TCP)[12:],
    "PPPoE": ethernet(0x8864, bytes(46)),
    "MPLS": ethernet(0x8847, bytes(46)),
    "cut in IPv4": ipv4(TCP)[:30],
}
