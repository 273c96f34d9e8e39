"""tests/count/run c-hash OBJECT...: counts what C lagg's hash of a flow costs, the kernel's own `m_ether_tcpip_hash`, for the packets that
tests/count/run counts. OBJECT is uipc_mbufhash.o of a build of FreeBSD's kernel for amd64, with its options.

58 instructions are added, which C lagg's loadbalance adds to its hash: `make vm-bench` has 220 for UDP, of which the hash is 162.
"""

import sys

from kernel import Kernel
from scenes import FLOWS, UDP, ipv4

AROUND = 58
# MBUF_HASHFLAG_L2, L3, L4
LAYERS = {"all layers": 28, "l3,l4": 24}


def main(path):
    kernel = Kernel("amd64", path)
    hash_ = kernel.symbols["m_ether_tcpip_hash"]
    print(f"{'':16} {'  '.join(LAYERS)}")
    for name, frame in {"UDP": ipv4(UDP), **FLOWS}.items():
        counts = [kernel.count(hash_, flags, kernel.packet(frame), 1)[0] + AROUND for flags in LAYERS.values()]
        print(f"{name:16} {'  '.join(f'{count:10}' for count in counts)}")


for argument in sys.argv[1:]:
    main(argument)
