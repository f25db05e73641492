//! Vision transformer.

use lisse_array::{Array, Stream, Tree};
use serde::{Deserialize, Serialize};

use super::Model;
use crate::attention::{AttentionMask, attention, join_heads, split_heads};
use crate::dropout::dropout;
use crate::{Context, Conv2d, ConvConfig, Init, LayerNorm, Linear, LinearConfig};

/// The vision transformer (Dosovitskiy et al. 2021) with timm's parameters (`vit_*_patch*`): a class token, learned positions,
/// normalisation before each part, GELU, logits from the class token.
#[derive(Clone, Debug, Tree, Serialize, Deserialize)]
pub struct VisionTransformer {
    /// `[1, 1, width]`
    pub cls_token: Array,
    /// `[1, 1 + patches, width]`
    pub pos_embed: Array,
    /// Images to patches.
    pub patch_embed: PatchEmbedding,
    /// From the input up.
    pub blocks: Vec<VitBlock>,
    /// After the last block.
    pub norm: LayerNorm,
    /// To the classes.
    pub head: Linear,
    /// Probability of dropout on positions, attention maps' outputs and hidden layers.
    pub dropout: f64,
}

/// Cuts images into patches and maps each to a vector.
#[derive(Clone, Debug, Tree, Serialize, Deserialize)]
pub struct PatchEmbedding {
    /// A convolution whose stride is its kernel.
    pub proj: Conv2d,
}

/// Attention and a two-layer network, each normalised before and added to its input.
#[derive(Clone, Debug, Tree, Serialize, Deserialize)]
pub struct VitBlock {
    /// Before attention.
    pub norm1: LayerNorm,
    /// Attention.
    pub attn: VitAttention,
    /// Before the network.
    pub norm2: LayerNorm,
    /// The network.
    pub mlp: VitMlp,
}

/// Multi-head attention with one map for queries, keys and values.
#[derive(Clone, Debug, Tree, Serialize, Deserialize)]
pub struct VitAttention {
    /// `[3 width, width]`
    pub qkv: Linear,
    /// `[width, width]`
    pub proj: Linear,
    /// Number of heads.
    pub heads: usize,
}

/// Two linear layers around a GELU.
#[derive(Clone, Debug, Tree, Serialize, Deserialize)]
pub struct VitMlp {
    /// Up.
    pub fc1: Linear,
    /// Down.
    pub fc2: Linear,
}

/// How a [`VisionTransformer`] is made.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct VisionTransformerConfig {
    /// Height and width of the images; 224 by default.
    pub size: usize,
    /// Height and width of a patch; 16 by default.
    pub patch: usize,
    /// Channels of the images; 3 by default.
    pub channels: usize,
    /// Number of classes; 1000 by default.
    pub classes: usize,
    /// Size of a token; 192 by default (ViT-Ti; 384 for S, 768 for B).
    pub width: usize,
    /// Number of blocks; 12 by default.
    pub depth: usize,
    /// Number of heads; 3 by default (6 for S, 12 for B).
    pub heads: usize,
    /// Hidden size of the blocks' networks as a multiple of the width; 4 by default.
    pub mlp_ratio: usize,
    /// Probability of dropout; 0 by default.
    pub dropout: f64,
}

impl Default for VisionTransformerConfig {
    fn default() -> Self {
        Self {
            size: 224,
            patch: 16,
            channels: 3,
            classes: 1000,
            width: 192,
            depth: 12,
            heads: 3,
            mlp_ratio: 4,
            dropout: 0.0,
        }
    }
}

/// timm's `trunc_normal_`.
const INIT: Init = Init::TruncatedNormal { std: 0.02, bound: 2.0 };
/// timm's, ten times below PyTorch's default.
const EPS: f64 = 1e-6;

impl VisionTransformerConfig {
    /// Draws the initial values: normal with deviation 0.02, offsets zero. Panics unless patches divide the images and heads the
    /// width.
    pub fn build(&self, stream: &Stream) -> VisionTransformer {
        assert!(
            self.patch > 0 && self.size.is_multiple_of(self.patch),
            "vit: patches of {} do not divide images of {}",
            self.patch,
            self.size
        );
        assert!(
            self.heads > 0 && self.width.is_multiple_of(self.heads),
            "vit: {} heads do not divide the width {}",
            self.heads,
            self.width
        );
        let tokens = 1 + (self.size / self.patch).pow(2);
        let s = |name: &str| stream.child(name);
        let proj = ConvConfig::new(self.channels, self.width, self.patch).stride(self.patch);
        let blocks = s("blocks");
        VisionTransformer {
            cls_token: Init::Normal { std: 1e-6 }.weight(&s("cls_token"), &[1, 1, self.width]),
            pos_embed: INIT.weight(&s("pos_embed"), &[1, tokens, self.width]),
            patch_embed: PatchEmbedding { proj: proj.build(&s("patch_embed")) },
            blocks: (0..self.depth).map(|i| self.block(&blocks.at(i as u64))).collect(),
            norm: LayerNorm::new(&[self.width]).eps(EPS),
            head: linear(self.width, self.classes, &s("head")),
            dropout: self.dropout,
        }
    }

    fn block(&self, stream: &Stream) -> VitBlock {
        let (width, hidden) = (self.width, self.width * self.mlp_ratio);
        let s = |name: &str| stream.child(name);
        VitBlock {
            norm1: LayerNorm::new(&[width]).eps(EPS),
            attn: VitAttention {
                qkv: linear(width, 3 * width, &s("qkv")),
                proj: linear(width, width, &s("proj")),
                heads: self.heads,
            },
            norm2: LayerNorm::new(&[width]).eps(EPS),
            mlp: VitMlp {
                fc1: linear(width, hidden, &s("fc1")),
                fc2: linear(hidden, width, &s("fc2")),
            },
        }
    }
}

fn linear(inputs: usize, outputs: usize, stream: &Stream) -> Linear {
    LinearConfig::new(inputs, outputs).init(INIT).build(stream)
}

impl VitAttention {
    /// `[batch, tokens, width]`
    pub fn forward(&self, x: &Array, context: &Context) -> Array {
        let (all, width) = (self.qkv.forward(x), x.dim(-1));
        let part = |i: usize| split_heads(&all.narrow(-1, i * width, width), self.heads);
        let mask = AttentionMask::none();
        let mixed = attention(&part(0), &part(1), &part(2), &mask, 0.0, context);
        self.proj.forward(&join_heads(&mixed))
    }
}

impl VitBlock {
    /// `[batch, tokens, width]`; dropout falls on both parts and on the hidden layer.
    pub fn forward(&self, x: &Array, probability: f64, context: &Context) -> Array {
        let drop = |x: &Array| dropout(x, probability, context);
        let x = x + drop(&self.attn.forward(&self.norm1.forward(x), context));
        let hidden = drop(&self.mlp.fc1.forward(&self.norm2.forward(&x)).gelu());
        &x + drop(&self.mlp.fc2.forward(&hidden))
    }
}

impl VisionTransformer {
    /// The tokens after the last normalisation, `[batch, 1 + patches, width]`, the class token first.
    pub fn tokens(&self, input: &Array, context: &Context) -> Array {
        let patches = self.patch_embed.proj.forward(input);
        let (batch, width) = (patches.dim(0), patches.dim(1));
        let patches = patches.reshape(&[batch as isize, width as isize, -1]).t();
        assert!(
            patches.dim(1) + 1 == self.pos_embed.dim(1),
            "vit: images {:?} give {} patches, the model has positions for {}",
            input.shape(),
            patches.dim(1),
            self.pos_embed.dim(1) - 1
        );
        let class = self.cls_token.expand(&[batch, 1, width]);
        let x = Array::cat(&[&class, &patches], 1) + &self.pos_embed;
        let mut x = dropout(&x, self.dropout, context);
        for block in &self.blocks {
            x = block.forward(&x, self.dropout, context);
        }
        self.norm.forward(&x)
    }
}

impl Model for VisionTransformer {
    /// `[batch, channels, size, size]` to logits `[batch, classes]`.
    fn forward(&self, input: &Array, context: &Context) -> Array {
        self.head.forward(&self.tokens(input, context).index(1, 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::summary;
    use lisse_array::DType;

    #[test]
    fn the_tiny_model_is_that_of_timm() {
        let model = VisionTransformerConfig::default().build(&Stream::new(0));
        let table = summary(&model);
        assert_eq!(table.parameters(), 5_717_416);
        let names: Vec<&str> = table.rows.iter().map(|row| row.path.as_str()).collect();
        for name in
            ["cls_token", "patch_embed.proj.weight", "blocks.11.attn.qkv.bias", "head.weight"]
        {
            assert!(names.contains(&name), "{name}");
        }
    }

    #[test]
    #[should_panic(expected = "give 16 patches, the model has positions for 4")]
    fn images_of_another_size_are_named() {
        let config = VisionTransformerConfig {
            size: 8,
            patch: 4,
            width: 8,
            heads: 2,
            depth: 1,
            ..VisionTransformerConfig::default()
        };
        let x = Array::zeros(&[1, 3, 16, 16], DType::F32);
        config.build(&Stream::new(0)).forward(&x, &Context::eval());
    }
}
