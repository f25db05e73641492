//! Whole optimizer updates in one pass over the parameters.

use super::math::Real;
use super::parallel::{Shared, Work, in_blocks};
use super::simd::{Isa, per_isa};

/// The numbers of one Adam update.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Adam<T> {
    /// Step size.
    pub rate: T,
    pub beta1: T,
    pub beta2: T,
    pub eps: T,
    /// λ of the decay p ← p - rate λ p that AdamW takes apart from the gradient.
    pub decoupled_decay: T,
    /// λ of the decay that is added to the gradient, g ← g + λ p.
    pub decay: T,
    /// 1 - beta1ᵗ at step t, counted from 1.
    pub correction1: T,
    /// 1 - beta2ᵗ.
    pub correction2: T,
}

/// m ← β₁ m + (1 - β₁) g; v ← β₂ v + (1 - β₂) g²; p ← p - rate (m / c₁) / (sqrt(v / c₂) + eps), after the decays.
pub(crate) fn adam_update<T: Real>(
    p: &mut [T],
    m: &mut [T],
    v: &mut [T],
    g: &[T],
    options: Adam<T>,
) {
    assert!(p.len() == g.len() && m.len() == g.len() && v.len() == g.len(), "adam: lengths differ");
    let n = g.len();
    let (p, m, v) = (Shared::new(p), Shared::new(m), Shared::new(v));
    in_blocks(n, Work::Light.block(), |range| {
        // SAFETY: blocks do not overlap.
        let (p, m, v) =
            unsafe { (p.part(range.clone()), m.part(range.clone()), v.part(range.clone())) };
        adam(p, m, v, &g[range], options);
    });
}

/// The numbers of one step of gradient descent with momentum.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Momentum<T> {
    /// Step size.
    pub rate: T,
    /// μ, how much of the velocity stays.
    pub keep: T,
    /// λ of the decay that is added to the gradient, g ← g + λ p.
    pub decay: T,
    /// Whether the step looks ahead along the velocity.
    pub nesterov: bool,
}

/// u ← μ u + g; p ← p - rate u, or with Nesterov p ← p - rate (g + μ u).
pub(crate) fn momentum_update<T: Real>(p: &mut [T], u: &mut [T], g: &[T], options: Momentum<T>) {
    assert!(p.len() == g.len() && u.len() == g.len(), "momentum: lengths differ");
    let n = g.len();
    let (p, u) = (Shared::new(p), Shared::new(u));
    in_blocks(n, Work::Light.block(), |range| {
        // SAFETY: blocks do not overlap.
        let (p, u) = unsafe { (p.part(range.clone()), u.part(range.clone())) };
        momentum(p, u, &g[range], options);
    });
}

/// p ← p + step (g + λ p): gradient descent without velocity, its step below zero.
pub(crate) fn gradient_update<T: Real>(p: &mut [T], g: &[T], step: T, decay: T) {
    assert!(p.len() == g.len(), "gradient descent: lengths differ");
    let n = g.len();
    let p = Shared::new(p);
    in_blocks(n, Work::Light.block(), |range| {
        // SAFETY: blocks do not overlap.
        let p = unsafe { p.part(range.clone()) };
        descend(p, &g[range], step, decay);
    });
}

per_isa! {
    fn descend<T: Real>(p: &mut [T], g: &[T], step: T, decay: T) = descend_body
}

#[inline(always)]
fn descend_body<I: Isa, T: Real>(p: &mut [T], g: &[T], step: T, decay: T) {
    for (p, &g) in p.iter_mut().zip(g) {
        let g = decay.fma::<I>(*p, g);
        *p = step.fma::<I>(g, *p);
    }
}

per_isa! {
    fn adam<T: Real>(p: &mut [T], m: &mut [T], v: &mut [T], g: &[T], o: Adam<T>) = adam_body
}

#[inline(always)]
fn adam_body<I: Isa, T: Real>(p: &mut [T], m: &mut [T], v: &mut [T], g: &[T], o: Adam<T>) {
    let step = o.rate / o.correction1;
    let unbias = T::ONE / o.correction2.sqrt();
    let keep = T::ONE - o.rate * o.decoupled_decay;
    let (new1, new2) = (T::ONE - o.beta1, T::ONE - o.beta2);
    for (((p, m), v), &g) in p.iter_mut().zip(m).zip(v).zip(g) {
        let g = o.decay.fma::<I>(*p, g);
        *m = o.beta1.fma::<I>(*m, new1 * g);
        *v = o.beta2.fma::<I>(*v, new2 * (g * g));
        let scale = v.sqrt().fma::<I>(unbias, o.eps);
        *p = *p * keep - step * *m / scale;
    }
}

per_isa! {
    fn momentum<T: Real>(p: &mut [T], u: &mut [T], g: &[T], o: Momentum<T>) = momentum_body
}

#[inline(always)]
fn momentum_body<I: Isa, T: Real>(p: &mut [T], u: &mut [T], g: &[T], o: Momentum<T>) {
    for ((p, u), &g) in p.iter_mut().zip(u).zip(g) {
        let g = o.decay.fma::<I>(*p, g);
        *u = o.keep.fma::<I>(*u, g);
        let step = if o.nesterov { o.keep.fma::<I>(*u, g) } else { *u };
        *p = *p - o.rate * step;
    }
}
