//! Whole optimizer updates in one pass over the parameters. All leaves of a tree are given at once, so that threads are started once per update.

use super::math::Real;
use super::parallel::{Shared, Work, in_blocks_of};
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

/// What an update overwrites, what it reads and its numbers, of one leaf.
pub(crate) struct Leaf<'a, T, const N: usize, O> {
    pub state: [&'a mut [T]; N],
    pub gradient: &'a [T],
    pub options: O,
}

/// Calls `body` with parts of leaves, on several threads where there is enough to do.
fn in_parts<T: Real, const N: usize, O: Copy + Send + Sync>(
    leaves: Vec<Leaf<'_, T, N, O>>,
    body: impl Fn([&mut [T]; N], &[T], O) + Sync,
) {
    let lengths: Vec<usize> = leaves.iter().map(|leaf| leaf.gradient.len()).collect();
    let leaves: Vec<_> = leaves
        .into_iter()
        .map(|leaf| {
            let fits = leaf.state.iter().all(|part| part.len() == leaf.gradient.len());
            assert!(fits, "update: lengths differ");
            (leaf.state.map(Shared::new), leaf.gradient, leaf.options)
        })
        .collect();
    in_blocks_of(&lengths, Work::Light.block(), |leaf, range| {
        let (state, gradient, options) = &leaves[leaf];
        // SAFETY: parts do not overlap.
        let state = state.each_ref().map(|whole| unsafe { whole.part(range.clone()) });
        body(state, &gradient[range], *options);
    });
}

/// Of p, m, v: m ← β₁ m + (1 - β₁) g; v ← β₂ v + (1 - β₂) g²; p ← p - rate (m / c₁) / (sqrt(v / c₂) + eps), after the decays.
pub(crate) fn adam_update<T: Real>(leaves: Vec<Leaf<'_, T, 3, Adam<T>>>) {
    in_parts(leaves, |[p, m, v], g, options| adam(p, m, v, g, options));
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

/// Of p, u: u ← μ u + g; p ← p - rate u, or with Nesterov p ← p - rate (g + μ u).
pub(crate) fn momentum_update<T: Real>(leaves: Vec<Leaf<'_, T, 2, Momentum<T>>>) {
    in_parts(leaves, |[p, u], g, options| momentum(p, u, g, options));
}

/// The numbers of one step of gradient descent without velocity.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Descent<T> {
    /// Step size.
    pub rate: T,
    /// λ of the decay that is added to the gradient, g ← g + λ p.
    pub decay: T,
}

/// Of p: p ← p - rate (g + λ p).
pub(crate) fn gradient_update<T: Real>(leaves: Vec<Leaf<'_, T, 1, Descent<T>>>) {
    in_parts(leaves, |[p], g, options| descend(p, g, -options.rate, options.decay));
}

/// Of e, with a point x in place of the gradient: e ← x + factor e.
pub(crate) fn displacement<T: Real>(leaves: Vec<Leaf<'_, T, 1, T>>) {
    in_parts(leaves, |[e], x, factor| displace(e, x, factor));
}

per_isa! {
    fn displace<T: Real>(e: &mut [T], x: &[T], factor: T) = displace_body
}

#[inline(always)]
fn displace_body<I: Isa, T: Real>(e: &mut [T], x: &[T], factor: T) {
    for (e, &x) in e.iter_mut().zip(x) {
        *e = x + *e * factor;
    }
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
