//! Philox4x32-10 (Salmon, Moraes, Dror & Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011): a bijection of
//! 128-bit counters chosen by a 64-bit key, which passes BigCrush.
//!
//! Written here and not taken from a crate because draws run it over whole batches of counters in vector registers, and
//! because its values are part of this crate's promise: they may never change.

const MULTIPLIERS: [u64; 2] = [0xD251_1F53, 0xCD9E_8D57];
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
const ROUNDS: usize = 10;
const LOW: u64 = 0xFFFF_FFFF;

/// The block of `counter` under `key`, as two 64-bit words (each the low and high 32-bit words of the original).
///
/// `counter` is two 64-bit words too, low first. Lanes are kept in 64 bits, with garbage above bit 31 between rounds, as
/// the vector unit's 32 x 32 -> 64 multiplication wants them.
#[inline(always)]
pub(super) fn block(key: [u32; 2], counter: [u64; 2]) -> [u64; 2] {
    let mut x = [counter[0], counter[0] >> 32, counter[1], counter[1] >> 32];
    let [mut k0, mut k1] = key;
    for _ in 0..ROUNDS {
        let p0 = MULTIPLIERS[0].wrapping_mul(x[0] & LOW);
        let p1 = MULTIPLIERS[1].wrapping_mul(x[2] & LOW);
        x = [(p1 >> 32) ^ x[1] ^ u64::from(k0), p1, (p0 >> 32) ^ x[3] ^ u64::from(k1), p0];
        k0 = k0.wrapping_add(WEYL[0]);
        k1 = k1.wrapping_add(WEYL[1]);
    }
    [(x[0] & LOW) | (x[1] << 32), (x[2] & LOW) | (x[3] << 32)]
}

#[cfg(test)]
mod tests {
    use super::block;

    /// The known answers published with Random123 (`kat_vectors`, philox4x32 10).
    #[test]
    fn gives_the_published_answers() {
        let cases: [([u32; 4], [u32; 2], [u32; 4]); 3] = [
            ([0; 4], [0; 2], [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]),
            ([u32::MAX; 4], [u32::MAX; 2], [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd]),
            (
                [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
                [0xa4093822, 0x299f31d0],
                [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
            ),
        ];
        let pair = |w: [u32; 4]| {
            [u64::from(w[0]) | u64::from(w[1]) << 32, u64::from(w[2]) | u64::from(w[3]) << 32]
        };
        for (counter, key, answer) in cases {
            assert_eq!(block(key, pair(counter)), pair(answer));
        }
    }
}
