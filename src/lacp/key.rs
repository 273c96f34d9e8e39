//! Operational keys: ports of the same key can be aggregated (802.1AX-2008 5.3.5).
//!
//! A key holds the lagg and a class of the link's speed, in separate bits (F-20). No key is 0, which some
//! partners take for none (F-62).

/// Bits of the class.
const CLASS: u16 = 0x001f;
/// Bits of the lagg.
const LAGG: u16 = 0x7fe0;
/// Set for a link that is not aggregated; the other bits are then the port's own.
const INDIVIDUAL: u16 = 0x8000;

/// The speed of each class, from 1 on, in megabits per second. Class 0 is for unknown speeds.
const SPEEDS: [u32; 19] = [
    0, 10, 100, 1_000, 2_500, 5_000, 10_000, 14_000, 20_000, 25_000, 28_000, 40_000, 50_000,
    56_000, 100_000, 200_000, 400_000, 800_000, 1_600_000,
];

/// The largest number of a lagg that all have different keys.
pub const LAST: u16 = LAGG >> 5;

/// The key of a link of `speed` bits per second in the lagg with this number, which is its `if_index` or is
/// set. A speed between two classes counts as the lower one.
pub fn aggregatable(lagg: u32, speed: u64) -> u16 {
    let below = SPEEDS.iter().filter(|&&known| u64::from(known) * 1_000_000 <= speed);
    let class = below.count() as u16;
    // F-20: class and lagg have separate bits
    ((lagg << 5) as u16 & LAGG) | (class & CLASS)
}

/// The key of a link that LACP does not aggregate, on the port with this `if_index`.
pub fn individual(port: u32) -> u16 {
    INDIVIDUAL | port as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No two classes of speed, laggs or individual ports share a key.
    #[test]
    fn f20_f62_keys_keep_speeds_apart_and_are_not_0() {
        let mut keys = Vec::new();
        for lagg in 0..1024 {
            for (class, &megabits) in SPEEDS.iter().enumerate() {
                let speed = u64::from(megabits) * 1_000_000;
                let key = aggregatable(lagg, speed);
                assert_eq!(aggregatable(lagg + 1024, speed), key);
                let next =
                    SPEEDS.get(class + 1).map_or(u64::MAX, |&next| u64::from(next) * 1_000_000 - 1);
                assert_eq!(aggregatable(lagg, next), key, "up to the next class");
                keys.push(key);
            }
        }
        keys.extend((0..=0x7fff).map(individual));
        let all = keys.len();
        assert_eq!(all, 1024 * 19 + 0x8000);
        assert!(!keys.contains(&0));
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), all);
    }

    #[test]
    fn f21_links_of_unknown_speed_aggregate_with_their_like() {
        assert_eq!(aggregatable(7, 0), aggregatable(7, 1));
        assert_ne!(aggregatable(7, 0), aggregatable(7, 10_000_000));
        assert_ne!(aggregatable(7, 0), aggregatable(8, 0));
        assert_eq!(individual(0x1_0203), 0x8203);
    }
}
