//! Low-rank adaptation of any model (Hu et al. 2022).
//!
//! An adapted weight is `W + scale B A` with `A` `[rank, in]` and `B` `[out, rank]`. [`Lora`] is a tree of its own that holds one
//! pair `(A, B)` per adapted weight, by the weight's path in the base model, and [`Lora::merged`] gives the model with the
//! products added, differentiably. So layers and models know nothing of it, and the base is never changed:
//!
//! ```
//! use lisse_array::{Array, DType, Stream, grad};
//! use lisse_nn::models::{Mlp, MlpConfig};
//! use lisse_nn::{Context, Lora, LoraConfig, Model};
//!
//! let base = MlpConfig::new(&[4, 8, 2]).build(&Stream::new(0));
//! let lora = LoraConfig::new(2).targets(["layers.*"])?.build(&base, &Stream::new(1))?;
//! let x = Stream::new(2).normal(&[3, 4], DType::F32);
//! let loss = |lora: &Lora| lora.merged(&base).forward(&x, &Context::eval()).square().sum_all();
//! let gradient = grad(loss)(&lora); // of the adapters alone
//! assert_eq!(gradient.adapters.len(), 2);
//! # Ok::<(), lisse_nn::lora::LoraError>(())
//! ```
//!
//! A forward pass thus costs one product `B A` per adapted weight beside the base's own, whatever the batch; dropout on the
//! adapters' input, which the separate form `W x + scale B (A x)` allows, is not offered.

use std::collections::BTreeMap;

use lisse_array::{Array, DType, Path, Stream, Tree};
use serde::{Deserialize, Serialize};

use crate::init::{fan_bound, fans, uniform};
use crate::norm::signed;

/// Adapters that cannot be made.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LoraError {
    /// A pattern that is not a glob.
    #[error("lora: the pattern `{pattern}` is not a glob: {reason}")]
    Pattern {
        /// The pattern as given.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No weight was selected.
    #[error(
        "lora: no weight of rank 2 or more matches {patterns:?}; the model's weights are {candidates:?}"
    )]
    NothingSelected {
        /// The patterns.
        patterns: Vec<String>,
        /// The first of the weights that could have been selected.
        candidates: Vec<String>,
    },
}

/// How a [`Lora`] is made.
#[derive(Clone, Debug)]
pub struct LoraConfig {
    /// Rank of the products.
    pub rank: usize,
    /// The products are scaled by `alpha / rank`; equal to the rank by default.
    pub alpha: f64,
    /// Scales by `alpha / sqrt(rank)` instead (rsLoRA, Kalajdzievski 2023); no by default.
    pub rank_stabilised: bool,
    patterns: Vec<glob::Pattern>,
}

impl LoraConfig {
    /// For every weight of rank 2 or more, scaled by one. Panics on rank zero.
    pub fn new(rank: usize) -> Self {
        assert!(rank > 0, "lora: the rank must be at least 1");
        Self { rank, alpha: rank as f64, rank_stabilised: false, patterns: Vec::new() }
    }

    /// The numerator of the scale.
    pub fn alpha(mut self, alpha: f64) -> Self {
        self.alpha = alpha;
        self
    }

    /// Scales by `alpha / sqrt(rank)`.
    pub fn rank_stabilised(mut self) -> Self {
        self.rank_stabilised = true;
        self
    }

    /// Only weights whose path matches one of these globs, with or without its `.weight`: `*` stands for anything, dots too
    /// (`h.*.attn.c_attn`, `*.q_proj`).
    pub fn targets<'p>(
        mut self,
        patterns: impl IntoIterator<Item = &'p str>,
    ) -> Result<Self, LoraError> {
        for pattern in patterns {
            let parsed = glob::Pattern::new(pattern).map_err(|error| LoraError::Pattern {
                pattern: pattern.to_string(),
                reason: error.to_string(),
            })?;
            self.patterns.push(parsed);
        }
        Ok(self)
    }

    fn selects(&self, path: &str) -> bool {
        self.patterns.is_empty()
            || self.patterns.iter().any(|p| p.matches(path) || p.matches(module(path)))
    }

    /// Adapters for the selected weights of `base`: `A` uniform as PyTorch's linear weights, `B` zero, so that the merged model
    /// starts as the base.
    pub fn build<M: Tree>(&self, base: &M, stream: &Stream) -> Result<Lora, LoraError> {
        self.build_where(base, |path| self.selects(path), stream)
    }

    /// As [`build`](Self::build), for the weights whose path the predicate accepts, whatever the patterns.
    pub fn build_where<M: Tree>(
        &self,
        base: &M,
        predicate: impl Fn(&str) -> bool,
        stream: &Stream,
    ) -> Result<Lora, LoraError> {
        let mut adapters = BTreeMap::new();
        let mut candidates = Vec::new();
        base.visit(&mut Path::root(), &mut |path: &Path, leaf: &Array| {
            if leaf.rank() < 2 || !leaf.dtype().is_float() || path.is_buffer() {
                return;
            }
            let path = path.to_string();
            if predicate(&path) {
                let adapter = self.adapter(leaf, &stream.child(&path));
                adapters.insert(module(&path).to_string(), adapter);
            } else if candidates.len() < 20 {
                candidates.push(path);
            }
        });
        if adapters.is_empty() {
            let patterns = self.patterns.iter().map(|p| p.as_str().to_string()).collect();
            return Err(LoraError::NothingSelected { patterns, candidates });
        }
        let divisor =
            if self.rank_stabilised { (self.rank as f64).sqrt() } else { self.rank as f64 };
        Ok(Lora { adapters, scale: self.alpha / divisor })
    }

    fn adapter(&self, weight: &Array, stream: &Stream) -> Adapter {
        let (inputs, outputs) = (fans(weight.shape()).0, weight.dim(0));
        // PEFT's shapes: the first map of a convolution has its kernel, the second a kernel of one.
        let mut a: Vec<usize> = weight.shape().to_vec();
        a[0] = self.rank;
        let mut b = vec![1; weight.rank()];
        (b[0], b[1]) = (outputs, self.rank);
        let draw = uniform(stream, &[self.rank, inputs], fan_bound(&[self.rank, inputs]));
        let place = |x: Array| x.cast(weight.dtype()).to_device(weight.device());
        Adapter {
            lora_a: Map { weight: place(draw.reshape(&signed(&a))) },
            lora_b: Map { weight: place(Array::zeros(&b, DType::F32)) },
        }
    }
}

/// The path of the module that holds a weight: what comes before `.weight`.
fn module(path: &str) -> &str {
    path.strip_suffix(".weight").unwrap_or(path)
}

/// One map of an adapter; a struct so that its path ends in `.weight`, as in PEFT.
#[derive(Clone, Debug, Tree, Serialize, Deserialize)]
pub struct Map {
    /// The map's weight.
    pub weight: Array,
}

/// The pair of maps of one adapted weight.
#[derive(Clone, Debug, Tree, Serialize, Deserialize)]
pub struct Adapter {
    /// `A`, `[rank, in]` or `[rank, in, kernel...]`
    #[tree(rename = "lora_A")]
    pub lora_a: Map,
    /// `B`, `[out, rank]` or `[out, rank, 1, ...]`
    #[tree(rename = "lora_B")]
    pub lora_b: Map,
}

/// Adapters by the path of the module they belong to; see the [module](self). Leaves are named as by PEFT, less its prefix
/// `base_model.model.`: `h.0.attn.c_attn.lora_A.weight`.
#[derive(Clone, Debug, Tree, Serialize, Deserialize)]
pub struct Lora {
    /// By path in the base model, without `.weight`.
    #[tree(flatten)]
    pub adapters: BTreeMap<String, Adapter>,
    /// Factor on every product.
    pub scale: f64,
}

impl Lora {
    /// `base` with `scale B A` added to each adapted weight; differentiable in the adapters (and in the base).
    ///
    /// Panics if an adapter has no weight in `base` or does not fit it.
    pub fn merged<M: Tree>(&self, base: &M) -> M {
        let mut used = 0;
        let model = base.map_named(|path, leaf| {
            let path = path.to_string();
            match self.adapters.get(module(&path)) {
                // A bias lies at `module.bias`, so only the weight itself shares the key.
                Some(adapter) if leaf.rank() >= 2 => {
                    used += 1;
                    leaf + self.product(&path, adapter, leaf)
                }
                _ => leaf.clone(),
            }
        });
        assert!(
            used == self.adapters.len(),
            "lora: {} adapters, but the model has weights for {used} of them",
            self.adapters.len()
        );
        model
    }

    fn product(&self, path: &str, adapter: &Adapter, weight: &Array) -> Array {
        let (a, b) = (&adapter.lora_a.weight, &adapter.lora_b.weight);
        let rank = a.dim(0);
        assert!(
            a.shape()[1..] == weight.shape()[1..] && b.dim(0) == weight.dim(0) && b.dim(1) == rank,
            "lora: the adapter {:?}, {:?} does not fit `{path}` {:?}",
            a.shape(),
            b.shape(),
            weight.shape()
        );
        let product = b.reshape(&[-1, rank as isize]).matmul(&a.reshape(&[rank as isize, -1]));
        product.reshape(&signed(weight.shape())) * self.scale
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::{Mlp, MlpConfig, SmallConvNetConfig};
    use crate::{Context, Model, to_dtype};
    use lisse_array::{check, grad};

    fn base() -> Mlp {
        to_dtype(&MlpConfig::new(&[3, 5, 2]).build(&Stream::new(0)), DType::F64)
    }

    #[test]
    fn the_merged_model_starts_as_the_base_and_trains_the_adapters() {
        let lora = LoraConfig::new(2).alpha(4.0).build(&base(), &Stream::new(1)).unwrap();
        assert_eq!(lora.scale, 2.0);
        let names: Vec<String> = lora.named_leaves().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names[..2], ["layers.0.lora_A.weight", "layers.0.lora_B.weight"]);
        let merged = lora.merged(&base());
        assert_eq!(
            merged.layers[0].weight.to_vec::<f64>(),
            base().layers[0].weight.to_vec::<f64>()
        );
        let x = Stream::new(2).normal(&[4, 3], DType::F64);
        let loss = |l: &Lora| l.merged(&base()).forward(&x, &Context::eval()).square().sum_all();
        let g = grad(loss)(&lora);
        assert!(g.adapters["layers.1"].lora_b.weight.abs().max_all().item() > 0.0);
        let moved = lora.map(|leaf| leaf + 0.1);
        check::gradient(loss, &moved, 2).unwrap();
    }

    #[test]
    fn convolutions_are_adapted_by_path() {
        let net = SmallConvNetConfig::default().build(&Stream::new(0));
        let config = LoraConfig::new(3).targets(["conv*"]).unwrap();
        let lora = config.build(&net, &Stream::new(1)).unwrap();
        assert_eq!(lora.adapters.keys().collect::<Vec<_>>(), ["conv1", "conv2"]);
        let adapter = &lora.adapters["conv2"];
        assert_eq!(adapter.lora_a.weight.shape()[2..], net.conv2.weight.shape()[2..]);
        assert_eq!(adapter.lora_b.weight.shape(), [net.conv2.weight.dim(0), 3, 1, 1]);
        let moved = lora.map(|leaf| leaf + 0.1);
        assert_ne!(
            moved.merged(&net).conv1.weight.to_vec::<f32>(),
            net.conv1.weight.to_vec::<f32>()
        );
        assert_eq!(moved.merged(&net).fc1.weight.to_vec::<f32>(), net.fc1.weight.to_vec::<f32>());
    }

    #[test]
    fn a_pattern_without_a_weight_is_an_error() {
        let config = LoraConfig::new(2).targets(["attention.*"]).unwrap();
        let error = config.build(&base(), &Stream::new(1)).unwrap_err().to_string();
        assert!(error.contains("attention.*") && error.contains("layers.0.weight"), "{error}");
        let error = LoraConfig::new(2).targets(["a[b"]).unwrap_err().to_string();
        assert!(error.contains("the pattern `a[b` is not a glob"), "{error}");
    }
}
