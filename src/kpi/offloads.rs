//! What an interface's hardware does for the stack.

/// Capabilities by their number (IFCAP_B_*), as far as the driver distinguishes them.
pub mod capability {
    /// The interface counts bytes and packets itself.
    pub const HWSTATS: u64 = 1 << 23;
    /// netmap(4) has the interface.
    pub const NETMAP: u64 = 1 << 20;
    /// IPsec is done inline.
    pub const IPSEC_OFFLOAD: u64 = 1 << 34;
}

/// Capabilities and limits of an interface.
///
/// Capabilities are sets of IFCAP_B_* numbers: the kernel's first words (`if_capabilities`,
/// `if_capenable`) are the lower half, the second ones the upper.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Offloads {
    /// What it can do.
    pub capabilities: u64,
    /// What is enabled.
    pub enabled: u64,
    /// What it does for packets that it sends (CSUM_*).
    pub hwassist: u64,
    /// The largest TSO burst: bytes, segments, bytes of a segment; 0 is no limit.
    pub tso: [u32; 3],
}

impl Offloads {
    /// What both can do.
    pub fn common(self, other: Offloads) -> Offloads {
        let limit = |a: u32, b: u32| if a == 0 || b == 0 { a | b } else { a.min(b) };
        let ([bytes, segments, size], [b, s, z]) = (self.tso, other.tso);
        Offloads {
            capabilities: self.capabilities & other.capabilities,
            enabled: self.enabled & other.enabled,
            hwassist: self.hwassist & other.hwassist,
            tso: [limit(bytes, b), limit(segments, s), limit(size, z)],
        }
    }
}
