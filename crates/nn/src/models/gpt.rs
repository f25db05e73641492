//! GPT-style decoder.

use lisse_array::{Array, DType, Stream, Tree};
use serde::{Deserialize, Serialize};

use super::Model;
use crate::attention::{AttentionMask, attention, join_heads, split_heads};
use crate::dropout::dropout;
use crate::init::normal;
use crate::{Context, Embedding, LayerNorm};

/// GPT-2 (Radford et al. 2019) with Hugging Face's parameters (`GPT2Model`), logits from the token table. Files saved from
/// `GPT2LMHeadModel` load with the prefix `transformer.` stripped.
#[derive(Clone, Debug, Tree, Serialize, Deserialize)]
pub struct Gpt {
    /// Token table, also the map to logits; `[vocabulary, width]`.
    pub wte: Embedding,
    /// Position table, `[context, width]`.
    pub wpe: Embedding,
    /// Blocks, from the input up.
    pub h: Vec<GptBlock>,
    /// After the last block.
    pub ln_f: LayerNorm,
    /// Probability of dropout on tokens, attention weights and the parts' outputs.
    pub dropout: f64,
}

/// Causal attention and a two-layer network, each normalised before and added to its input.
#[derive(Clone, Debug, Tree, Serialize, Deserialize)]
pub struct GptBlock {
    /// Before attention.
    pub ln_1: LayerNorm,
    /// Attention.
    pub attn: GptAttention,
    /// Before the network.
    pub ln_2: LayerNorm,
    /// The network.
    pub mlp: GptMlp,
}

/// Causal multi-head attention with one map for queries, keys and values.
#[derive(Clone, Debug, Tree, Serialize, Deserialize)]
pub struct GptAttention {
    /// Width to three widths.
    pub c_attn: Projection,
    /// Width to width.
    pub c_proj: Projection,
    /// Number of heads.
    pub heads: usize,
}

/// Two maps around the tanh form of GELU.
#[derive(Clone, Debug, Tree, Serialize, Deserialize)]
pub struct GptMlp {
    /// Up, to four widths.
    pub c_fc: Projection,
    /// Down.
    pub c_proj: Projection,
}

/// `y = x W + b`: a linear layer whose weight is stored transposed, as GPT-2's files have it.
#[derive(Clone, Debug, Tree, Serialize, Deserialize)]
pub struct Projection {
    /// `[inputs, outputs]`
    pub weight: Array,
    /// `[outputs]`
    pub bias: Array,
}

/// How a [`Gpt`] is made.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct GptConfig {
    /// Number of tokens; 50257 by default.
    pub vocabulary: usize,
    /// Longest sequence; 1024 by default.
    pub context: usize,
    /// Size of a token's vector; 768 by default.
    pub width: usize,
    /// Number of blocks; 12 by default.
    pub depth: usize,
    /// Number of heads; 12 by default.
    pub heads: usize,
    /// Probability of dropout; 0 by default (0.1 in GPT-2's own training).
    pub dropout: f64,
}

impl Default for GptConfig {
    fn default() -> Self {
        Self { vocabulary: 50257, context: 1024, width: 768, depth: 12, heads: 12, dropout: 0.0 }
    }
}

/// GPT-2's standard deviation of initial weights.
const STD: f64 = 0.02;

impl GptConfig {
    /// Draws GPT-2's initial values: normal with deviation 0.02, divided by `sqrt(2 depth)` where a part joins the residual
    /// stream. Panics unless the heads divide the width.
    pub fn build(&self, stream: &Stream) -> Gpt {
        assert!(
            self.heads > 0 && self.width.is_multiple_of(self.heads),
            "gpt: {} heads do not divide the width {}",
            self.heads,
            self.width
        );
        let table = |name: &str, count: usize| Embedding {
            weight: normal(&stream.child(name), &[count, self.width], STD),
        };
        let blocks = stream.child("h");
        Gpt {
            wte: table("wte", self.vocabulary),
            wpe: table("wpe", self.context),
            h: (0..self.depth).map(|i| self.block(&blocks.at(i as u64))).collect(),
            ln_f: LayerNorm::new(&[self.width]),
            dropout: self.dropout,
        }
    }

    fn block(&self, stream: &Stream) -> GptBlock {
        let width = self.width;
        let joining = STD / (2.0 * self.depth as f64).sqrt();
        let map = |name: &str, inputs: usize, outputs: usize, std: f64| Projection {
            weight: normal(&stream.child(name), &[inputs, outputs], std),
            bias: Array::zeros(&[outputs], DType::F32),
        };
        GptBlock {
            ln_1: LayerNorm::new(&[width]),
            attn: GptAttention {
                c_attn: map("c_attn", width, 3 * width, STD),
                c_proj: map("c_proj", width, width, joining),
                heads: self.heads,
            },
            ln_2: LayerNorm::new(&[width]),
            mlp: GptMlp {
                c_fc: map("c_fc", width, 4 * width, STD),
                c_proj: map("mlp.c_proj", 4 * width, width, joining),
            },
        }
    }
}

impl Projection {
    /// `[..., inputs]` to `[..., outputs]`
    pub fn forward(&self, x: &Array) -> Array {
        x.matmul(&self.weight) + &self.bias
    }
}

impl GptAttention {
    /// `[batch, time, width]`; dropout falls on the attention weights.
    pub fn forward(&self, x: &Array, probability: f64, context: &Context) -> Array {
        let (all, width) = (self.c_attn.forward(x), x.dim(-1));
        let part = |i: usize| split_heads(&all.narrow(-1, i * width, width), self.heads);
        let mask = AttentionMask::causal();
        let mixed = attention(&part(0), &part(1), &part(2), &mask, probability, context);
        self.c_proj.forward(&join_heads(&mixed))
    }
}

impl GptBlock {
    /// `[batch, time, width]`
    pub fn forward(&self, x: &Array, probability: f64, context: &Context) -> Array {
        let drop = |x: &Array| dropout(x, probability, context);
        let x = x + drop(&self.attn.forward(&self.ln_1.forward(x), probability, context));
        let hidden = self.mlp.c_fc.forward(&self.ln_2.forward(&x)).gelu_tanh();
        &x + drop(&self.mlp.c_proj.forward(&hidden))
    }
}

impl Gpt {
    /// The vectors after the last normalisation, `[batch, time, width]`, for tokens `[batch, time]`.
    pub fn hidden(&self, tokens: &Array, context: &Context) -> Array {
        assert!(
            tokens.rank() == 2 && tokens.dim(1) <= self.wpe.weight.dim(0),
            "gpt: needs tokens [batch, time] of at most {} steps, got {:?}",
            self.wpe.weight.dim(0),
            tokens.shape()
        );
        self.hidden_from(&self.wte.forward(tokens), context)
    }

    /// As [`hidden`](Self::hidden), from vectors `[batch, time, width]` in place of tokens: for soft prompts and attacks.
    pub fn hidden_from(&self, embedded: &Array, context: &Context) -> Array {
        let positions = self.wpe.weight.narrow(0, 0, embedded.dim(1));
        let mut x = dropout(&(embedded + positions), self.dropout, context);
        for block in &self.h {
            x = block.forward(&x, self.dropout, context);
        }
        self.ln_f.forward(&x)
    }

    /// Logits `[..., vocabulary]` of vectors `[..., width]`.
    pub fn logits(&self, hidden: &Array) -> Array {
        hidden.matmul(&self.wte.weight.t())
    }
}

impl Model for Gpt {
    /// Integer tokens `[batch, time]` to logits of the next token `[batch, time, vocabulary]`.
    fn forward(&self, input: &Array, context: &Context) -> Array {
        self.logits(&self.hidden(input, context))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::losses::cross_entropy;
    use crate::{summary, to_dtype};
    use lisse_array::check;

    fn tiny() -> Gpt {
        let config =
            GptConfig { vocabulary: 7, context: 4, width: 4, depth: 1, heads: 2, dropout: 0.0 };
        to_dtype(&config.build(&Stream::new(0)), DType::F64)
    }

    #[test]
    fn the_small_model_has_124_million_parameters() {
        // Counted, not drawn: the tables and twelve blocks of the default.
        let c = GptConfig { vocabulary: 11, context: 5, ..GptConfig::default() };
        let rest = summary(&c.build(&Stream::new(0))).parameters() - 16 * 768;
        assert_eq!(rest + (50257 + 1024) * 768, 124_439_808);
    }

    #[test]
    fn derivatives_of_the_training_loss_to_the_second_order() {
        let tokens = Array::from_slice(&[1i64, 5, 2, 6, 0, 3], &[2, 3]);
        let next = Array::from_slice(&[5i64, 2, 4, 0, 3, 1], &[2, 3]);
        // Larger weights than the initial ones: normalising small vectors bends too much for finite differences.
        let model = tiny().map(|leaf| if leaf.rank() == 2 { leaf * 25.0 } else { leaf + 0.1 });
        let loss = |m: &Gpt| cross_entropy(&m.forward(&tokens, &Context::eval()).t(), &next);
        check::gradient(loss, &model, 2).unwrap();
    }

    #[test]
    #[should_panic(expected = "needs tokens [batch, time] of at most 4 steps, got [1, 5]")]
    fn sequences_that_are_too_long_are_named() {
        tiny().forward(&Array::zeros(&[1, 5], DType::I64), &Context::eval());
    }
}
