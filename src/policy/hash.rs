//! The keyed hash of a flow.
//!
//! Folded multiplication, as in wyhash and foldhash: the halves of a 64 by 64 bit product are combined.
//! Each lagg has a random key, so that a remote host cannot aim flows at one port.

use crate::wire::flow::{Addresses, Flow, Hash};

/// A key, which makes a lagg's hash its own.
#[derive(Clone)]
pub struct Key([u64; 3]);

impl Key {
    /// A key of random bytes.
    pub fn new(random: [u8; 24]) -> Self {
        let words: [u64; 3] = zerocopy::transmute!(random);
        // Digits of pi, so that even a key of zeros mixes.
        let [a, b, c] = words.map(u64::from_le);
        Key([a ^ 0x243f_6a88_85a3_08d3, b ^ 0x1319_8a2e_0370_7344, c ^ 0xa409_3822_299f_31d0])
    }

    /// The hash of a flow. All of its bits are equally good.
    #[inline(always)]
    pub fn hash(&self, flow: &Flow) -> u32 {
        self.flow(self.link(flow.link), flow.addresses, flow.ports)
    }
}

impl Hash for &Key {
    #[inline(always)]
    fn link(self, [link, more_link]: [u64; 2]) -> u64 {
        let Key([a, b, _]) = *self;
        fold(link ^ a, more_link ^ b)
    }

    #[inline(always)]
    fn flow(self, mut state: u64, addresses: Addresses, ports: u32) -> u32 {
        let Key([_, b, c]) = *self;
        let pair = match addresses {
            Addresses::V4(pair) => pair,
            Addresses::V6([source, more_source, destination, more_destination]) => {
                state = fold(state ^ source, more_source ^ b);
                state = fold(state ^ destination, more_destination ^ c);
                0
            }
        };
        state = fold(state ^ pair, u64::from(ports) ^ c);
        // Fold once more: flows that differ in one word only still give a sequence.
        state = fold(state, 0x082e_fa98_ec4e_6c89);
        (state >> 32) as u32
    }
}

/// Both halves of the product.
#[inline(always)]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use zerocopy::FromZeros;

    use super::*;
    use crate::policy::buckets::{Homes, Table};
    use crate::slots::SlotSet;

    const FLOWS: u32 = 65_536;

    /// The chi-square distribution's critical values at 0.1 %, for 1 to 31 degrees of freedom.
    const CRITICAL: [f64; 31] = [
        10.828, 13.816, 16.266, 18.467, 20.515, 22.458, 24.322, 26.124, 27.877, 29.588, 31.264,
        32.909, 34.528, 36.123, 37.697, 39.252, 40.790, 42.312, 43.820, 45.315, 46.797, 48.268,
        49.728, 51.179, 52.620, 54.052, 55.476, 56.892, 58.301, 59.703, 61.098,
    ];

    const HOSTS: [u64; 2] = [0x0002_0000_0a00_0001, 0xa1b2_c3d4];

    fn key(seed: u32) -> Key {
        let mut state = u64::from(seed) + 1;
        Key::new(std::array::from_fn(|_| {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            (state >> 56) as u8
        }))
    }

    fn v4(source: [u8; 4], destination: [u8; 4], ports: [u16; 2]) -> Flow {
        let ([a, b, c, d], [e, f, g, h]) = (source, destination);
        Flow {
            link: HOSTS,
            addresses: Addresses::V4(u64::from_le_bytes([a, b, c, d, e, f, g, h])),
            ports: u32::from(ports[0].swap_bytes()) | u32::from(ports[1].swap_bytes()) << 16,
        }
    }

    fn addresses(flow: &mut Flow) -> &mut [u64] {
        match &mut flow.addresses {
            Addresses::V4(pair) => std::slice::from_mut(pair),
            Addresses::V6(words) => words,
        }
    }

    /// A kind of traffic: its flow of each number.
    type Traffic = (&'static str, fn(u32) -> Flow);

    const TRAFFIC: [Traffic; 8] = [
        ("random", |number| {
            let mut state = u64::from(number);
            let mut random = || {
                // splitmix64
                state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                let mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
                mixed ^ mixed >> 31
            };
            Flow {
                link: [random(), random() >> 32],
                addresses: Addresses::V4(random()),
                ports: random() as u32,
            }
        }),
        ("sequential source ports", |number| {
            v4([10, 0, 0, 1], [192, 0, 2, 80], [number as u16, 443])
        }),
        ("sequential destination ports", |number| {
            v4([10, 0, 0, 1], [192, 0, 2, 80], [40_000, number as u16])
        }),
        ("single subnet, sources", |number| {
            let [.., high, low] = number.to_be_bytes();
            v4([10, 0, high, low], [192, 0, 2, 80], [40_000, 443])
        }),
        ("single subnet, destinations", |number| {
            let [.., high, low] = number.to_be_bytes();
            v4([192, 0, 2, 80], [10, 0, high, low], [40_000, 443])
        }),
        ("single /24, both ends", |number| {
            let [.., high, low] = number.to_be_bytes();
            v4([10, 0, 0, high], [10, 0, 0, low], [5001, 5001])
        }),
        ("IPv6, single subnet", |number| {
            let host = u64::from(number).swap_bytes();
            let subnet = 0xb80d_0120;
            Flow {
                addresses: Addresses::V6([subnet, host, subnet, 1 << 56]),
                ..v4([0; 4], [0; 4], [0; 2])
            }
        }),
        ("Ethernet alone", |number| Flow {
            link: [HOSTS[0], u64::from(number.swap_bytes())],
            addresses: Addresses::V4(0),
            ports: 0,
        }),
    ];

    /// The chi-square statistic of the spread of these flows over the ports. A port's expected share is
    /// that of its buckets, not 1/n. If n does not divide 1,024, the shares differ by a bucket. For that
    /// reason alone, about 1.3 % of tests against 1/n would exceed a critical value of 0.1 %, however good
    /// the hash.
    fn distance(table: &Table, ports: u8, hashes: &[u32]) -> f64 {
        let mut expected = vec![0.0; ports.into()];
        for bucket in 0..1024 {
            expected[usize::from(table.first(bucket).unwrap().number())] +=
                hashes.len() as f64 / 1024.0;
        }
        let mut counts = vec![0.0; ports.into()];
        for &hash in hashes {
            counts[usize::from(table.first(hash).unwrap().number())] += 1.0;
        }
        let squares = |(count, expected): (&f64, &f64)| (count - expected).powi(2) / expected;
        counts.iter().zip(&expected).map(squares).sum()
    }

    /// The tests that exceed the critical value, by key.
    fn excesses(keys: impl Iterator<Item = u32>) -> (Vec<String>, u32) {
        let (mut past, mut tests) = (Vec::new(), 0);
        for seed in keys {
            let key = key(seed);
            for (name, flow) in TRAFFIC {
                let (mut table, mut homes) = (Table::new_zeroed(), Homes::new_zeroed());
                let hashes: Vec<_> = (0..FLOWS).map(|number| key.hash(&flow(number))).collect();
                for ports in 2..=32 {
                    let members = u32::MAX >> (32 - ports);
                    let members = SlotSet::from_bits(members);
                    table.rebuild(&mut homes, members, members);
                    let distance = distance(&table, ports, &hashes);
                    tests += 1;
                    if distance > CRITICAL[usize::from(ports) - 2] {
                        past.push(format!("key {seed}, {name}, {ports} ports: {distance}"));
                    }
                }
            }
        }
        (past, tests)
    }

    /// These keys were chosen so that none of the tests fails by chance, as one in a thousand does.
    #[test]
    fn spreads_flows_as_chance_would() {
        let (past, _) = excesses(10..13);
        assert!(past.is_empty(), "{past:#?}");
    }

    /// With a hundred keys, no more tests exceed the critical value than its 0.1 %.
    #[test]
    #[ignore = "takes a minute"]
    fn spreads_flows_with_any_key() {
        let (past, tests) = excesses(0..100);
        println!("{} of {tests}: {past:#?}", past.len());
        assert!((past.len() as f64) < f64::from(tests) * 0.002);
    }

    #[test]
    fn each_bit_of_a_flow_changes_half_of_the_hash() {
        let ipv4 = v4([10, 0, 0, 1], [192, 0, 2, 80], [40_000, 443]);
        let ipv6 =
            Flow { addresses: Addresses::V6([0xb80d_0120, 3, 0xb80d_0120, 1 << 56]), ..ipv4 };
        for flow in [ipv4, ipv6] {
            for bit in 0..160 + 64 * addresses(&mut { flow }).len() {
                let mut other = flow;
                let mut changed = 0;
                match bit {
                    0..128 => other.link[bit / 64] ^= 1 << (bit % 64),
                    128..160 => other.ports ^= 1 << (bit - 128),
                    _ => addresses(&mut other)[(bit - 160) / 64] ^= 1 << ((bit - 160) % 64),
                }
                for seed in 0..=255 {
                    changed += (key(seed).hash(&flow) ^ key(seed).hash(&other)).count_ones();
                }
                let share = f64::from(changed) / (256.0 * 32.0);
                assert!((0.45..0.55).contains(&share), "{flow:?}, bit {bit}: {share}");
            }
        }
    }

    /// A key of zeros, and flows without words.
    #[test]
    fn never_falls_apart() {
        let key = Key::new([0; 24]);
        let nothing = Flow { link: [0; 2], addresses: Addresses::V4(0), ports: 0 };
        let mut hashes: Vec<_> =
            (0..1000).map(|ports| key.hash(&Flow { ports, ..nothing })).collect();
        hashes.sort_unstable();
        hashes.dedup();
        assert!(hashes.len() > 990);
    }
}
