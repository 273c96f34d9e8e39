"""The kernel's interfaces, ifnet(9): what the module reads itself is in memory, the rest in a dictionary."""

import struct

# struct ifnet
IF_SOFTC, IF_XNAME, IF_FLAGS, IF_TYPE, IF_LINK_STATE = 48, 88, 112, 156, 159
IF_ADDR, IF_VNET, IF_BPF, IF_LAGG, IF_OUTPUT, IF_IOCTL, IF_TRANSMIT = 488, 920, 944, 968, 1008, 1056, 1088
IFT_ETHER, LINK_STATE_DOWN, LINK_STATE_UP, IFF_UP = 6, 1, 2, 1


class Interfaces:
    """The part of the kernel that has interfaces, and cards that could be ports."""

    def k_if_alloc(self, kind):
        ifp = self.alloc(1312)
        self.write(ifp + IF_TYPE, kind, 1)
        self.write(ifp + IF_VNET, self.vnet)
        self.write(ifp + IF_BPF, self.alloc(64))
        self.interfaces[ifp] = {"index": len(self.interfaces) + 1, "mtu": 1500, "baudrate": 10**10}
        return ifp

    def k_if_initname(self, ifp, name, unit):
        self.name(ifp, f"{self.string(name)}{unit}")

    def name(self, ifp, name):
        self.uc.mem_write(ifp + IF_XNAME, name.encode().ljust(16, b"\0"))

    def k_ether_ifattach(self, ifp, address):
        """The interface gets its address, as a sockaddr_dl without a name in an ifaddr."""
        ifa, sdl = self.alloc(256), self.alloc(64)
        self.write(ifp + IF_ADDR, ifa)
        self.write(ifa, sdl)
        self.uc.mem_write(sdl + 8, bytes(self.uc.mem_read(address, 6)))
        self.interfaces[ifp]["attached"] = True

    def k_if_setlladdr(self, ifp, address, size):
        self.uc.mem_write(self.read(self.read(ifp + IF_ADDR)) + 8, bytes(self.uc.mem_read(address, 6)))

    def k_ifunit_ref(self, name):
        wanted = self.string(name)
        return next((ifp for ifp in self.interfaces if self.string(ifp + IF_XNAME) == wanted), 0)

    def k_if_try_ref(self, ifp):
        return 1

    def k_if_getaddrlen(self, ifp):
        return 6

    def k_if_getindex(self, ifp):
        return self.interfaces[ifp]["index"]

    def k_if_getmtu(self, ifp):
        return self.interfaces[ifp]["mtu"]

    def k_if_setmtu(self, ifp, mtu):
        self.interfaces[ifp]["mtu"] = mtu

    def k_if_getbaudrate(self, ifp):
        return self.interfaces[ifp]["baudrate"]

    def k_if_getlinkstate(self, ifp):
        return self.read(ifp + IF_LINK_STATE, 1)

    def k_if_getdrvflags(self, ifp):
        return self.interfaces[ifp].get("drvflags", 0)

    def k_if_setdrvflagbits(self, ifp, set_, clear):
        interface = self.interfaces[ifp]
        interface["drvflags"] = interface.get("drvflags", 0) & ~clear | set_

    def k_if_setflags(self, ifp, flags):
        self.write(ifp + IF_FLAGS, flags, 4)

    def k_if_link_state_change(self, ifp, state):
        self.write(ifp + IF_LINK_STATE, state & 255, 1)

    def k_if_getnumadomain(self, ifp):
        return self.interfaces[ifp].get("domain", 255)

    def k_if_settransmitfn(self, ifp, function):
        self.write(ifp + IF_TRANSMIT, function)

    def k_if_setioctlfn(self, ifp, function):
        self.write(ifp + IF_IOCTL, function)

    def k_port_transmit(self, ifp, m):
        """if_transmit of a port."""
        length = self.read(m + 24, 4)
        self.sent.append((ifp, bytes(self.uc.mem_read(self.read(m + 16), length))))

    def k_port_ioctl(self, ifp, command, data):
        """if_ioctl of a port: all is as it should be, with 1000baseT, full duplex."""
        if command in (0xC0306938, 0xC030698B):
            self.uc.mem_write(data + 24, struct.pack("<II", 3, 0x100030))

    def card(self, number):
        """An interface that could be a port."""
        ifp = self.k_if_alloc(IFT_ETHER)
        self.name(ifp, f"em{number}")
        address = self.alloc(8)
        self.uc.mem_write(address, bytes([2, 0, 0, 0, 1, number]))
        self.k_ether_ifattach(ifp, address)
        self.write(ifp + IF_TRANSMIT, self.stubs["port_transmit"])
        self.write(ifp + IF_IOCTL, self._symbol("port_ioctl"))
        self.write(ifp + IF_OUTPUT, self._symbol("ether_output"))
        self.write(ifp + IF_FLAGS, IFF_UP | 0x8802, 4)
        self.write(ifp + IF_LINK_STATE, LINK_STATE_UP, 1)
        self.interfaces[ifp]["drvflags"] = 0x40
        return ifp
