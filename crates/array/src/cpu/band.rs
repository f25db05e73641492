//! Which elements have a magnitude within a band, in one pass.
//!
//! Magnitudes are compared as the bits of their representation without the sign, which are ordered as they are. Where the band is
//! narrow nearly every group of elements lies outside: groups are first tried as a whole, in vectors, and only those that
//! touch the band are looked at one by one.

use super::simd::{Isa, per_isa};

/// Elements that are tried together.
const GROUP: usize = 16;
/// Elements whose groups are tried before the groups that touch the band are gone through: a little less than the first-level
/// cache, so that their elements are still there.
const BLOCK: usize = 1024;
/// Room for what a block has within the band, and one more place: what is not within is written too, and written over. A power of two.
const KEPT: usize = 2 * BLOCK;

/// A float whose magnitude is ordered as an integer.
pub(crate) trait Magnitude: bytemuck::Pod {
    /// A signed integer: instruction sets have no comparison of unsigned ones.
    type Bits: bytemuck::Pod + Ord;
    const ONE: Self::Bits;
    const INFINITE: Self::Bits;
    fn magnitude(self) -> Self::Bits;
    fn value(bits: Self::Bits) -> f64;
    fn of(value: f64) -> Self;
    /// Whether `low <= bits <= high`, for `low <= high`.
    fn within(bits: Self::Bits, low: Self::Bits, high: Self::Bits) -> bool;
    fn plus(a: Self::Bits, b: Self::Bits) -> Self::Bits;
    fn count(bits: Self::Bits) -> usize;
}

macro_rules! magnitude {
    ($float:ty, $bits:ty, $unsigned:ty) => {
        impl Magnitude for $float {
            type Bits = $bits;
            const ONE: $bits = 1;
            const INFINITE: $bits = <$float>::INFINITY.to_bits() as $bits;
            #[inline(always)]
            fn magnitude(self) -> $bits {
                self.to_bits() as $bits & <$bits>::MAX
            }
            fn value(bits: $bits) -> f64 {
                f64::from(<$float>::from_bits(bits as _))
            }
            fn of(value: f64) -> $float {
                value as $float
            }
            #[inline(always)]
            fn within(bits: $bits, low: $bits, high: $bits) -> bool {
                // What is below wraps around to far above: one comparison instead of two.
                (bits.wrapping_sub(low) as $unsigned) <= (high.wrapping_sub(low) as $unsigned)
            }
            #[inline(always)]
            fn plus(a: $bits, b: $bits) -> $bits {
                a + b
            }
            fn count(bits: $bits) -> usize {
                bits as usize
            }
        }
    };
}
magnitude!(f32, i32, u32);
magnitude!(f64, i64, u64);

/// What a pass has found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Band {
    /// Elements whose magnitude is above the band, NaN among them.
    pub above: usize,
    /// Magnitudes within the band, its ends included, in the elements' order.
    pub within: Vec<f64>,
    /// Whether an element is infinite or NaN.
    pub infinite: bool,
}

/// The elements of `x` by a band from `low` to `high`, which are not negative.
pub(crate) fn band<T: Magnitude>(x: &[T], low: f64, high: f64) -> Band {
    let mut found = Band::default();
    let (low, high) = (T::of(low).magnitude(), T::of(high).magnitude());
    assert!(low <= high, "band: its ends are in the wrong order");
    // Kept between blocks, so that it is cleared once.
    let mut kept = [bytemuck::Zeroable::zeroed(); KEPT];
    for block in x.chunks(BLOCK) {
        band_of_block(block, low, high, &mut kept, &mut found);
    }
    found
}

/// The magnitude of every `stride`-th element.
pub(crate) fn sample<T: Magnitude>(x: &[T], stride: usize) -> Vec<f64> {
    x.iter().step_by(stride).map(|x| T::value(x.magnitude())).collect()
}

per_isa! {
    fn band_of_block<T: Magnitude>(x: &[T], low: T::Bits, high: T::Bits, kept: &mut [T::Bits; KEPT], found: &mut Band) = block_body
}

#[inline(always)]
fn block_body<I: Isa, T: Magnitude>(
    x: &[T],
    low: T::Bits,
    high: T::Bits,
    kept: &mut [T::Bits; KEPT],
    found: &mut Band,
) {
    let zero = bytemuck::Zeroable::zeroed();
    let within = |bits: T::Bits| T::within(bits, low, high);
    let (groups, rest) = x.as_chunks::<GROUP>();
    let (mut above, mut most) = ([zero; GROUP], [zero; GROUP]);
    let (mut touching, mut touches) = ([0u16; BLOCK / GROUP], 0);
    for (i, group) in groups.iter().enumerate() {
        let mut touched = zero;
        for ((x, above), most) in group.iter().zip(&mut above).zip(&mut most) {
            let bits = x.magnitude();
            let one = |condition| if condition { T::ONE } else { zero };
            *above = T::plus(*above, one(bits > high));
            *most = (*most).max(bits);
            touched = touched.max(one(within(bits)));
        }
        // Without a branch: which groups touch the band is anyone's guess.
        touching[touches] = i as u16;
        touches += usize::from(touched > zero);
    }
    let mut count = 0;
    let mut keep = |x: T| {
        let bits = x.magnitude();
        // Never beyond the end; the remainder spares the check.
        kept[count % KEPT] = bits;
        count += usize::from(within(bits));
    };
    for &i in &touching[..touches] {
        groups[usize::from(i)].iter().copied().for_each(&mut keep);
    }
    rest.iter().copied().for_each(&mut keep);
    found.within.extend(kept[..count].iter().map(|&bits| T::value(bits)));
    found.above += above.into_iter().map(T::count).sum::<usize>();
    found.above += rest.iter().filter(|x| x.magnitude() > high).count();
    found.infinite |= most.iter().any(|&bits| bits >= T::INFINITE);
    found.infinite |= rest.iter().any(|x| x.magnitude() >= T::INFINITE);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DType, Stream};

    /// One element after another.
    fn plain(x: &[f64], low: f64, high: f64) -> Band {
        let magnitudes = || x.iter().map(|x| x.abs());
        Band {
            above: magnitudes().filter(|&m| m > high || m.is_nan()).count(),
            within: magnitudes().filter(|&m| m >= low && m <= high).collect(),
            infinite: magnitudes().any(|m| !m.is_finite()),
        }
    }

    #[test]
    fn groups_find_what_one_after_another_does() {
        for (len, decimals) in [(0, 1.0), (1, 1.0), (15, 8.0), (16, 8.0), (2047, 64.0), (5000, 1e6)]
        {
            // Rounded, so that many magnitudes are equal, some of them to the ends of the band.
            let x = Stream::new(len).normal(&[len as usize], DType::F32) * decimals;
            let x: Vec<f32> =
                x.to_vec::<f32>().iter().map(|v| v.round() / decimals as f32).collect();
            let wide: Vec<f64> = x.iter().map(|&v| f64::from(v)).collect();
            for (low, high) in
                [(0.0, f64::INFINITY), (0.5, 0.5), (0.0, 0.0), (1.0, 1.25), (0.5, 3.0), (9.0, 10.0)]
            {
                assert_eq!(band(&x, low, high), plain(&wide, low, high), "{len} {low} {high}");
                assert_eq!(band(&wide, low, high), plain(&wide, low, high), "{len} {low} {high}");
            }
        }
    }

    #[test]
    fn what_is_not_finite_is_seen_wherever_it_is() {
        for bad in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for place in [0, 100, 2047, 2048, 4999] {
                let mut x = vec![-0.5f32; 5000];
                x[place] = bad;
                let found = band(&x, 1.0, 2.0);
                assert!(found.infinite && found.above == 1 && found.within.is_empty());
                let wide: Vec<f64> = x.iter().map(|&v| f64::from(v)).collect();
                assert_eq!(band(&wide, 1.0, 2.0), found);
            }
        }
    }
}
