//! The innermost loops, compiled once for AVX2 with FMA and once for what the build guarantees.
//!
//! These loops are all that a solve spends its time in, and the widest instructions that every x86-64 processor has move only two numbers. Calling a
//! function that was compiled for more than the build's target is `unsafe`; it happens here alone, after asking the processor.

// A body that is not inlined into the function with the wider instructions would be compiled without them.
#![allow(clippy::inline_always)]

/// Declares `$name`, whose body runs compiled for this processor.
macro_rules! widest {
    ($(#[$meta:meta])* fn $name:ident($($arg:ident : $ty:ty),*) $(-> $out:ty)? = $body:ident) => {
        $(#[$meta])*
        #[inline]
        pub(super) fn $name($($arg: $ty),*) $(-> $out)? {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2,fma")]
                fn wide($($arg: $ty),*) $(-> $out)? {
                    $body::<true>($($arg),*)
                }
                if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                    // SAFETY: the processor has these features, as just asked.
                    return unsafe { wide($($arg),*) };
                }
            }
            $body::<false>($($arg),*)
        }
    };
}

/// Numbers that are added up side by side.
const LANES: usize = 16;

#[inline(always)]
fn fma<const FMA: bool>(a: f64, b: f64, c: f64) -> f64 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

widest! {
    /// `x . y`
    fn dot(x: &[f64], y: &[f64]) -> f64 = dot_body
}

#[inline(always)]
fn dot_body<const FMA: bool>(x: &[f64], y: &[f64]) -> f64 {
    let (x, x_rest) = x.as_chunks::<LANES>();
    let (y, y_rest) = y.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for (x, y) in x.iter().zip(y) {
        for l in 0..LANES {
            sums[l] = fma::<FMA>(x[l], y[l], sums[l]);
        }
    }
    let rest: f64 = x_rest.iter().zip(y_rest).map(|(a, b)| a * b).sum();
    total(&sums) + rest
}

#[inline(always)]
fn total(sums: &[f64; LANES]) -> f64 {
    let mut width = LANES / 2;
    let mut sums = *sums;
    while width > 0 {
        for l in 0..width {
            sums[l] += sums[l + width];
        }
        width /= 2;
    }
    sums[0]
}

widest! {
    /// `y += factor x`
    fn axpy(factor: f64, x: &[f64], y: &mut [f64]) = axpy_body
}

#[inline(always)]
fn axpy_body<const FMA: bool>(factor: f64, x: &[f64], y: &mut [f64]) {
    for (y, &x) in y.iter_mut().zip(x) {
        *y = fma::<FMA>(factor, x, *y);
    }
}

widest! {
    /// Largest of `x - c`; `-inf` for nothing.
    fn max_difference(x: &[f64], c: &[f64]) -> f64 = max_difference_body
}

#[inline(always)]
fn max_difference_body<const FMA: bool>(x: &[f64], c: &[f64]) -> f64 {
    let (x, x_rest) = x.as_chunks::<LANES>();
    let (c, c_rest) = c.as_chunks::<LANES>();
    let mut most = [f64::NEG_INFINITY; LANES];
    for (x, c) in x.iter().zip(c) {
        for l in 0..LANES {
            let s = x[l] - c[l];
            most[l] = if s > most[l] { s } else { most[l] };
        }
    }
    let rest = x_rest.iter().zip(c_rest).map(|(x, c)| x - c);
    most.into_iter().chain(rest).fold(f64::NEG_INFINITY, f64::max)
}

widest! {
    /// Appends `(x_i - c_i - cut, i)` for every `i` where that is above 0.
    fn above(x: &[f64], c: &[f64], cut: f64, found: &mut Vec<(f64, u32)>) = above_body
}

#[inline(always)]
fn above_body<const FMA: bool>(x: &[f64], c: &[f64], cut: f64, found: &mut Vec<(f64, u32)>) {
    let (chunks, x_rest) = x.as_chunks::<LANES>();
    let (c_chunks, c_rest) = c.as_chunks::<LANES>();
    let mut push = |start: usize, x: &[f64], c: &[f64]| {
        for (i, (x, c)) in x.iter().zip(c).enumerate() {
            let s = x - c - cut;
            if s > 0.0 {
                found.push((s, (start + i) as u32));
            }
        }
    };
    for (block, (x, c)) in chunks.iter().zip(c_chunks).enumerate() {
        // Entries of a sparse plan are rare: look at sixteen at a time.
        let mut any = false;
        for l in 0..LANES {
            any |= x[l] - c[l] - cut > 0.0;
        }
        if any {
            push(block * LANES, x, c);
        }
    }
    push(chunks.len() * LANES, x_rest, c_rest);
}

widest! {
    /// `out_i = exp((x_i - c_i + shift) scale)`; the results below 1e-300 are 0. Arguments must not exceed 700.
    fn exp_difference(x: &[f64], c: &[f64], shift: f64, scale: f64, out: &mut [f64]) = exp_difference_body
}

#[inline(always)]
fn exp_difference_body<const FMA: bool>(
    x: &[f64],
    c: &[f64],
    shift: f64,
    scale: f64,
    out: &mut [f64],
) {
    for ((out, &x), &c) in out.iter_mut().zip(x).zip(c) {
        *out = exp::<FMA>((x - c + shift) * scale);
    }
}

/// `exp x` for `x` up to 700, 0 below -690; relative error below 3e-16.
#[inline(always)]
fn exp<const FMA: bool>(x: f64) -> f64 {
    // Adding it rounds to a whole number, which then stands in the low bits.
    const ROUNDER: f64 = 6755399441055744.0;
    const LN2_HIGH: f64 = 6.931_471_803_691_238e-1;
    const LN2_LOW: f64 = 1.908_214_929_270_587_7e-10;
    // (e^r - 1 - r) / r^2 on |r| <= ln(2) / 2, by Chebyshev interpolation.
    const REST: [f64; 10] = [
        0.5000000000000006,
        0.16666666666666685,
        0.04166666666657269,
        0.008333333333314387,
        0.0013888888932751685,
        0.00019841269903572646,
        2.4801503940008167e-5,
        2.755722739760157e-6,
        2.762654591871477e-7,
        2.511466830025644e-8,
    ];
    let capped = if x > -690.0 { x } else { -690.0 };
    let shifted = fma::<FMA>(capped, std::f64::consts::LOG2_E, ROUNDER);
    let n = shifted - ROUNDER;
    let r = fma::<FMA>(n, -LN2_LOW, fma::<FMA>(n, -LN2_HIGH, capped));
    let mut p = REST[9];
    for coefficient in REST[..9].iter().rev() {
        p = fma::<FMA>(p, r, *coefficient);
    }
    let value = 1.0 + fma::<FMA>(r * r, p, r);
    // The exponent: the whole number shifted into place.
    let power = f64::from_bits((shifted.to_bits().wrapping_add(1023)) << 52);
    let small = if x > -690.0 { 1.0 } else { 0.0 };
    value * power * small
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_and_maxima_agree_with_plain_loops() {
        for len in [0, 1, 15, 16, 17, 100] {
            let x: Vec<f64> = (0..len).map(|i| f64::from(i).sin()).collect();
            let y: Vec<f64> = (0..len).map(|i| (f64::from(i) * 1.3).cos()).collect();
            let plain: f64 = x.iter().zip(&y).map(|(a, b)| a * b).sum();
            assert!((dot(&x, &y) - plain).abs() < 1e-13);
            let most = x.iter().zip(&y).map(|(a, b)| a - b).fold(f64::NEG_INFINITY, f64::max);
            assert_eq!(max_difference(&x, &y), most);
            let mut found = Vec::new();
            above(&x, &y, 0.25, &mut found);
            let wanted: Vec<u32> =
                (0..len as u32).filter(|&i| x[i as usize] - y[i as usize] - 0.25 > 0.0).collect();
            assert_eq!(found.iter().map(|f| f.1).collect::<Vec<_>>(), wanted);
            let mut z = y.clone();
            axpy(-2.0, &x, &mut z);
            assert!(
                z.iter().zip(x.iter().zip(&y)).all(|(z, (x, y))| (z - (y - 2.0 * x)).abs() < 1e-15)
            );
        }
    }

    #[test]
    fn exponentials_are_those_of_the_library() {
        let x: Vec<f64> = (-6900..7000).map(|i| f64::from(i) * 0.1 + 0.037).collect();
        let zeros = vec![0.0; x.len()];
        let mut out = zeros.clone();
        exp_difference(&x, &zeros, 0.0, 1.0, &mut out);
        for (x, y) in x.iter().zip(&out) {
            assert!((y / x.exp() - 1.0).abs() < 5e-16, "exp {x} = {y}, not {}", x.exp());
        }
        let mut far = [1.0; 2];
        exp_difference(&[0.0, -800.0], &[f64::INFINITY, 0.0], 0.0, 1.0, &mut far);
        assert_eq!(far, [0.0, 0.0]);
    }
}
