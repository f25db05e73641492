//! Scaled dot-product attention and the multi-head layer of PyTorch.

use lisse_array::{Array, DType, Stream, Tree};
use serde::{Deserialize, Serialize};

use crate::Context;
use crate::dropout::dropout;
use crate::init::Init;
use crate::linear::{Linear, LinearConfig, linear};

/// Which keys a query may see.
///
/// A query that may see nothing attends to every key alike, instead of giving NaN.
#[derive(Clone, Copy, Debug, Default)]
pub struct AttentionMask<'a> {
    /// Query `i` of `n` sees key `j` of `m` only where `j <= i + m - n`: the last query sees every key.
    pub causal: bool,
    /// bool `[batch, keys]`, true where a key is padding and seen by nobody (PyTorch's `key_padding_mask`).
    pub padding: Option<&'a Array>,
    /// Added to the scores; broadcasts to `[batch, heads, queries, keys]`.
    pub bias: Option<&'a Array>,
}

impl<'a> AttentionMask<'a> {
    /// Every query sees every key.
    pub fn none() -> Self {
        Self::default()
    }

    /// No query sees a later key.
    pub fn causal() -> Self {
        Self { causal: true, ..Self::default() }
    }

    /// Leaves out padding; see [`padding`](Self::padding).
    pub fn with_padding(mut self, padding: &'a Array) -> Self {
        self.padding = Some(padding);
        self
    }

    /// Adds to the scores; see [`bias`](Self::bias).
    pub fn with_bias(mut self, bias: &'a Array) -> Self {
        self.bias = Some(bias);
        self
    }

    /// True where a key is hidden, broadcasting to `[batch, heads, queries, keys]`.
    fn hidden(&self, queries: usize, keys: usize) -> Option<Array> {
        let causal = self.causal.then(|| {
            let sees = |i: usize, j: usize| j + queries <= i + keys;
            let hidden = (0..queries).flat_map(|i| (0..keys).map(move |j| !sees(i, j)));
            Array::from_vec(hidden.collect::<Vec<bool>>(), &[queries, keys])
        });
        let padding = self.padding.map(|p| {
            assert!(
                p.dtype() == DType::Bool && p.rank() == 2 && p.dim(1) == keys,
                "attention: the padding mask must be bool [batch, {keys}], got {} {:?}",
                p.dtype(),
                p.shape()
            );
            p.unsqueeze(1).unsqueeze(1)
        });
        match (causal, padding) {
            (Some(a), Some(b)) => Some(a.to_device(b.device()).or(&b)),
            (a, b) => a.or(b),
        }
    }
}

/// `softmax(q k^T / sqrt(width) + mask) v` for `q` `[batch, heads, queries, width]`, `k` `[batch, groups, keys, width]` and `v`
/// `[batch, groups, keys, value width]`, where each group of keys serves `heads / groups` heads in a row. Dropout falls on
/// the attention weights.
#[track_caller]
pub fn attention(
    q: &Array,
    k: &Array,
    v: &Array,
    mask: &AttentionMask<'_>,
    dropout_probability: f64,
    context: &Context,
) -> Array {
    assert!(
        q.rank() == 4
            && k.rank() == 4
            && v.rank() == 4
            && q.dim(0) == k.dim(0)
            && q.dim(3) == k.dim(3)
            && k.shape()[..3] == v.shape()[..3]
            && q.dim(1).is_multiple_of(k.dim(1)),
        "attention: queries {:?}, keys {:?} and values {:?} do not fit",
        q.shape(),
        k.shape(),
        v.shape()
    );
    let [batch, heads, queries, width] = [0, 1, 2, 3].map(|axis| q.dim(axis));
    let (groups, keys) = (k.dim(1), k.dim(2));
    let scale = 1.0 / (width as f64).sqrt();
    let grouped = |x: &Array, per_group: usize, length: usize| {
        x.reshape(&[batch as isize, groups as isize, per_group as isize, length as isize, -1])
    };
    let scores = if heads == groups {
        (q * scale).matmul(&k.t())
    } else {
        // The heads of a group share its keys by broadcasting.
        let scores =
            grouped(&(q * scale), heads / groups, queries).matmul(&grouped(k, 1, keys).t());
        scores.reshape(&[batch as isize, heads as isize, queries as isize, keys as isize])
    };
    let weights = dropout(&masked(scores, mask).softmax(-1), dropout_probability, context);
    if heads == groups {
        return weights.matmul(v);
    }
    let mixed = grouped(&weights, heads / groups, queries).matmul(&grouped(v, 1, keys));
    mixed.reshape(&[batch as isize, heads as isize, queries as isize, -1])
}

fn masked(scores: Array, mask: &AttentionMask<'_>) -> Array {
    let scores = match mask.bias {
        Some(bias) => scores + bias,
        None => scores,
    };
    let Some(hidden) = mask.hidden(scores.dim(2), scores.dim(3)) else { return scores };
    // Far below any score, but finite: a row of nothing else has a softmax.
    let lowest = if scores.dtype() == DType::F16 { -65504.0 } else { -1e30 };
    let lowest = Array::full(&[], lowest, scores.dtype()).to_device(scores.device());
    Array::select(&hidden.to_device(scores.device()), &lowest, &scores)
}

/// `[batch, time, heads * width]` to `[batch, heads, time, width]`.
pub(crate) fn split_heads(x: &Array, heads: usize) -> Array {
    x.reshape(&[x.dim(0) as isize, x.dim(1) as isize, heads as isize, -1]).swap_axes(1, 2)
}

/// The inverse of [`split_heads`].
pub(crate) fn join_heads(x: &Array) -> Array {
    x.swap_axes(1, 2).reshape(&[x.dim(0) as isize, x.dim(2) as isize, -1])
}

/// Multi-head attention with the parameters of `torch.nn.MultiheadAttention(batch_first=True)` (Vaswani et al. 2017).
#[derive(Clone, Debug, Tree, Serialize, Deserialize)]
pub struct MultiHeadAttention {
    /// Query, key and value maps one above the other, `[3 width, width]`.
    pub in_proj_weight: Array,
    /// `[3 width]`
    pub in_proj_bias: Option<Array>,
    /// Map of the joined heads, `[width, width]`.
    pub out_proj: Linear,
    /// Number of heads.
    pub heads: usize,
    /// Probability that an attention weight is dropped.
    pub dropout: f64,
}

/// How a [`MultiHeadAttention`] is made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MultiHeadAttentionConfig {
    /// Size of the last axis of input and output.
    pub width: usize,
    /// Number of heads; must divide the width.
    pub heads: usize,
    /// Whether the maps have offsets; yes by default.
    pub bias: bool,
    /// Probability that an attention weight is dropped; 0 by default.
    pub dropout: f64,
}

impl MultiHeadAttentionConfig {
    /// With offsets and without dropout.
    pub fn new(width: usize, heads: usize) -> Self {
        Self { width, heads, bias: true, dropout: 0.0 }
    }

    /// Whether the maps have offsets.
    pub fn bias(mut self, bias: bool) -> Self {
        self.bias = bias;
        self
    }

    /// Probability that an attention weight is dropped.
    pub fn dropout(mut self, probability: f64) -> Self {
        self.dropout = probability;
        self
    }

    /// PyTorch's initial values: Xavier uniform for the inner map, offsets zero. Panics unless the heads divide the width.
    pub fn build(&self, stream: &Stream) -> MultiHeadAttention {
        let (width, heads) = (self.width, self.heads);
        assert!(
            heads > 0 && width.is_multiple_of(heads),
            "multi_head_attention: {heads} heads do not divide the width {width}"
        );
        let init = Init::XavierUniform { gain: 1.0 };
        let mut out_proj =
            LinearConfig::new(width, width).bias(self.bias).build(&stream.child("out_proj"));
        out_proj.bias = out_proj.bias.map(|bias| bias.zeros_like());
        MultiHeadAttention {
            in_proj_weight: init.weight(&stream.child("in_proj_weight"), &[3 * width, width]),
            in_proj_bias: self.bias.then(|| Array::zeros(&[3 * width], DType::F32)),
            out_proj,
            heads,
            dropout: self.dropout,
        }
    }
}

impl MultiHeadAttention {
    /// Attention of a sequence to itself: `[batch, time, width]`; the shape stays.
    #[track_caller]
    pub fn self_attention(&self, x: &Array, mask: &AttentionMask<'_>, context: &Context) -> Array {
        let width = self.out_proj.weight.dim(0);
        let all = linear(x, &self.in_proj_weight, self.in_proj_bias.as_ref());
        let part = |i: usize| all.narrow(-1, i * width, width);
        self.attend(&part(0), &part(1), &part(2), mask, context)
    }

    /// Attention of `query` `[batch, queries, width]` to `key` and `value` `[batch, keys, width]`, to the shape of `query`.
    #[track_caller]
    pub fn forward(
        &self,
        query: &Array,
        key: &Array,
        value: &Array,
        mask: &AttentionMask<'_>,
        context: &Context,
    ) -> Array {
        let width = self.out_proj.weight.dim(0);
        let project = |x: &Array, i: usize| {
            let weight = self.in_proj_weight.narrow(0, i * width, width);
            let bias = self.in_proj_bias.as_ref().map(|b| b.narrow(0, i * width, width));
            linear(x, &weight, bias.as_ref())
        };
        self.attend(&project(query, 0), &project(key, 1), &project(value, 2), mask, context)
    }

    fn attend(
        &self,
        q: &Array,
        k: &Array,
        v: &Array,
        mask: &AttentionMask<'_>,
        context: &Context,
    ) -> Array {
        let [q, k, v] = [q, k, v].map(|x| split_heads(x, self.heads));
        self.out_proj.forward(&join_heads(&attention(&q, &k, &v, mask, self.dropout, context)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::to_dtype;
    use lisse_array::check;

    fn layer() -> MultiHeadAttention {
        to_dtype(&MultiHeadAttentionConfig::new(4, 2).build(&Stream::new(0)), DType::F64)
    }

    fn input(seed: u64, shape: &[usize]) -> Array {
        Stream::new(seed).normal(shape, DType::F64)
    }

    #[test]
    fn derivatives_under_every_mask() {
        let x = input(1, &[2, 3, 4]);
        let padding = Array::from_slice(&[false, false, true, false, false, false], &[2, 3]);
        for mask in [
            AttentionMask::none(),
            AttentionMask::causal(),
            AttentionMask::causal().with_padding(&padding),
        ] {
            let f =
                |(l, x): &(MultiHeadAttention, Array)| l.self_attention(x, &mask, &Context::eval());
            check::gradient(f, &(layer(), x.clone()), 2).unwrap();
        }
    }

    #[test]
    fn self_attention_is_cross_attention_with_itself() {
        let x = input(1, &[2, 5, 4]);
        let (mask, context) = (AttentionMask::causal(), Context::eval());
        let a = layer().self_attention(&x, &mask, &context);
        let b = layer().forward(&x, &x, &x, &mask, &context);
        assert!((a - b).abs().max_all().item() < 1e-14);
    }

    #[test]
    fn causal_outputs_do_not_depend_on_later_inputs() {
        let (x, mask, context) = (input(1, &[1, 5, 4]), AttentionMask::causal(), Context::eval());
        let later = Array::cat(&[&x.narrow(1, 0, 3), &input(2, &[1, 2, 4])], 1);
        let first = |x: &Array| layer().self_attention(x, &mask, &context).narrow(1, 0, 3);
        assert_eq!(first(&x).to_vec::<f64>(), first(&later).to_vec::<f64>());
    }

    #[test]
    fn a_query_that_sees_nothing_gets_the_mean() {
        let v = input(3, &[1, 1, 2, 4]);
        let padding = Array::from_slice(&[true, true], &[1, 2]);
        let mask = AttentionMask::none().with_padding(&padding);
        let y = attention(&input(1, &[1, 1, 1, 4]), &v, &v, &mask, 0.0, &Context::eval());
        assert!((y - v.mean_keep(&[2])).abs().max_all().item() < 1e-14);
    }

    #[test]
    fn groups_share_keys() {
        let q = input(1, &[2, 4, 3, 5]);
        let (k, v) = (input(2, &[2, 2, 6, 5]), input(3, &[2, 2, 6, 5]));
        let twice = |x: &Array| Array::stack(&[x, x], 2).reshape(&[2, 4, 6, 5]);
        let (mask, context) = (AttentionMask::causal(), Context::eval());
        let grouped = attention(&q, &k, &v, &mask, 0.0, &context);
        let plain = attention(&q, &twice(&k), &twice(&v), &mask, 0.0, &context);
        assert!((grouped - plain).abs().max_all().item() < 1e-14);
    }

    #[test]
    #[should_panic(expected = "the padding mask must be bool [batch, 3], got bool [2, 4]")]
    fn a_padding_mask_of_another_length_is_named() {
        let padding = Array::zeros(&[2, 4], DType::Bool);
        let mask = AttentionMask::none().with_padding(&padding);
        layer().self_attention(&input(1, &[2, 3, 4]), &mask, &Context::eval());
    }
}
