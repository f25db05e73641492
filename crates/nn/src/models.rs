//! Ready models, each made from a small config.
//!
//! | model | names of parameters as in |
//! |---|---|
//! | [`Mlp`] | a module with a list `layers` of linear layers |
//! | [`LeNet`] | PyTorch's tutorial: `conv1`, `conv2`, `fc1`, `fc2`, `fc3` |
//! | [`SmallConvNet`] | `conv1`, `bn1`, `conv2`, `bn2`, `fc1`, `fc2` |
//! | [`CifarResNet`] | Y. Idelbayev's `pytorch_resnet_cifar10`: `layer1.0.conv1`, ..., `linear` |
//! | [`ResNet`] | torchvision: `layer1.0.conv1`, `layer2.0.downsample.0`, ..., `fc` |
//! | [`VisionTransformer`] | timm: `patch_embed.proj`, `blocks.0.attn.qkv`, ..., `head` |
//! | [`Gpt`] | Hugging Face's GPT-2: `wte`, `h.0.attn.c_attn`, ..., `ln_f` |

mod cifar_resnet;
mod gpt;
mod lenet;
mod mlp;
mod resnet;
mod small_conv_net;
mod vision_transformer;

pub use cifar_resnet::{CifarBlock, CifarResNet, CifarResNetConfig};
pub use gpt::{Gpt, GptAttention, GptBlock, GptConfig, GptMlp, Projection};
pub use lenet::{LeNet, LeNetConfig};
pub use mlp::{Mlp, MlpConfig};
pub use resnet::{ResNet, ResNetBlock, ResNetConfig};
pub use small_conv_net::{SmallConvNet, SmallConvNetConfig};
pub use vision_transformer::{
    PatchEmbedding, VisionTransformer, VisionTransformerConfig, VitAttention, VitBlock, VitMlp,
};

use lisse_array::{Array, Tree};

use crate::Context;

/// A model of one input and one output.
pub trait Model: Tree {
    /// The output for a batch; shapes are those of the model. Panics on an input that does not fit.
    fn forward(&self, input: &Array, context: &Context) -> Array;
}
