//! Grouped-query attention with rotary position embedding, as in Llama-style decoders.

use lisse_array::{Array, Stream, Tree};
use serde::{Deserialize, Serialize};

use crate::Context;
use crate::attention::{AttentionMask, attention, join_heads, split_heads};
use crate::linear::{Linear, LinearConfig};

/// Rotary position embedding (Su et al. 2021) in the half-split layout of Hugging Face: coordinates `i` and `i + width/2`
/// are turned by the angle `position * base^(-2i/width)`.
#[derive(Clone, Copy, Debug, PartialEq, Tree, Serialize, Deserialize)]
pub struct Rotary {
    /// Base of the frequencies (`rope_theta`); 10000 by default.
    pub base: f64,
}

impl Default for Rotary {
    fn default() -> Self {
        Rotary { base: 10000.0 }
    }
}

impl Rotary {
    /// Turns `x` `[..., time, width]`, whose first step has position `offset`. Panics on an odd width.
    #[track_caller]
    pub fn apply(&self, x: &Array, offset: usize) -> Array {
        let (time, width) = (x.dim(-2), x.dim(-1));
        assert!(
            width.is_multiple_of(2),
            "rotary: the width must be even, the input is {:?}",
            x.shape()
        );
        let half = width / 2;
        let angle = |position: usize, i: usize| {
            position as f64 * self.base.powf(-2.0 * i as f64 / width as f64)
        };
        let table = |f: fn(f64) -> f64| {
            let values =
                (0..time).flat_map(|t| (0..half).map(move |i| f(angle(offset + t, i)))).collect();
            let table = Array::from_vec::<f64>(values, &[time, half]);
            table.cast(x.dtype()).to_device(x.device())
        };
        let (cos, sin) = (table(f64::cos), table(f64::sin));
        let (first, second) = (x.narrow(-1, 0, half), x.narrow(-1, half, half));
        Array::cat(&[&(&first * &cos - &second * &sin), &(&second * &cos + &first * &sin)], -1)
    }
}

/// Causal self-attention where groups of query heads share a key and value head (Ainslie et al. 2023).
#[derive(Clone, Debug, Tree, Serialize, Deserialize)]
pub struct GroupedQueryAttention {
    /// `[heads * head width, width]`
    pub q_proj: Linear,
    /// `[key heads * head width, width]`
    pub k_proj: Linear,
    /// `[key heads * head width, width]`
    pub v_proj: Linear,
    /// `[width, heads * head width]`
    pub o_proj: Linear,
    /// Number of query heads.
    pub heads: usize,
    /// Number of key and value heads.
    pub key_heads: usize,
    /// Positions; none for no rotation.
    pub rotary: Option<Rotary>,
    /// Probability that an attention weight is dropped.
    pub dropout: f64,
}

/// How a [`GroupedQueryAttention`] is made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GroupedQueryConfig {
    /// Size of the last axis of input and output.
    pub width: usize,
    /// Number of query heads.
    pub heads: usize,
    /// Number of key and value heads; must divide the query heads.
    pub key_heads: usize,
    /// Size of one head; `width / heads` by default.
    pub head_width: usize,
    /// Whether query, key and value maps have offsets; no by default.
    pub bias: bool,
    /// Positions; base 10000 by default.
    pub rotary: Option<Rotary>,
    /// Probability that an attention weight is dropped; 0 by default.
    pub dropout: f64,
}

impl GroupedQueryConfig {
    /// Rotary positions, no offsets, no dropout.
    pub fn new(width: usize, heads: usize, key_heads: usize) -> Self {
        Self {
            width,
            heads,
            key_heads,
            head_width: width / heads.max(1),
            bias: false,
            rotary: Some(Rotary::default()),
            dropout: 0.0,
        }
    }

    /// Draws the initial values. Panics unless the key heads divide the query heads.
    pub fn build(&self, stream: &Stream) -> GroupedQueryAttention {
        assert!(
            self.key_heads > 0 && self.heads.is_multiple_of(self.key_heads),
            "grouped_query: {} key heads do not divide {} query heads",
            self.key_heads,
            self.heads
        );
        let map = |name: &str, inputs: usize, outputs: usize, bias: bool| {
            LinearConfig::new(inputs, outputs).bias(bias).build(&stream.child(name))
        };
        let (queries, keys) = (self.heads * self.head_width, self.key_heads * self.head_width);
        GroupedQueryAttention {
            q_proj: map("q_proj", self.width, queries, self.bias),
            k_proj: map("k_proj", self.width, keys, self.bias),
            v_proj: map("v_proj", self.width, keys, self.bias),
            o_proj: map("o_proj", queries, self.width, false),
            heads: self.heads,
            key_heads: self.key_heads,
            rotary: self.rotary,
            dropout: self.dropout,
        }
    }
}

impl GroupedQueryAttention {
    /// `[batch, time, width]`; the shape stays. The first step has position zero.
    #[track_caller]
    pub fn forward(&self, x: &Array, mask: &AttentionMask<'_>, context: &Context) -> Array {
        let turn = |x: Array| self.rotary.map_or(x.clone(), |rotary| rotary.apply(&x, 0));
        let q = turn(split_heads(&self.q_proj.forward(x), self.heads));
        let k = turn(split_heads(&self.k_proj.forward(x), self.key_heads));
        let v = split_heads(&self.v_proj.forward(x), self.key_heads);
        self.o_proj.forward(&join_heads(&attention(&q, &k, &v, mask, self.dropout, context)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::to_dtype;
    use lisse_array::{DType, check};

    #[test]
    fn derivatives_of_input_and_parameters() {
        let layer = GroupedQueryConfig::new(8, 4, 2).build(&Stream::new(0));
        let x = Stream::new(1).normal(&[1, 3, 8], DType::F64);
        let f = |(l, x): &(GroupedQueryAttention, Array)| {
            l.forward(x, &AttentionMask::causal(), &Context::eval())
        };
        check::gradient(f, &(to_dtype(&layer, DType::F64), x), 2).unwrap();
    }

    #[test]
    fn scores_depend_on_the_distance_only() {
        let (q, k) = (
            Stream::new(1).normal(&[1, 6], DType::F64),
            Stream::new(2).normal(&[1, 6], DType::F64),
        );
        let rotary = Rotary { base: 100.0 };
        let score =
            |i: usize, j: usize| (rotary.apply(&q, i) * rotary.apply(&k, j)).sum_all().item();
        assert!((score(3, 1) - score(12, 10)).abs() < 1e-12);
        assert!((score(3, 1) - score(3, 2)).abs() > 1e-3);
        assert!((score(5, 5) - (&q * &k).sum_all().item()).abs() < 1e-12);
    }
}
