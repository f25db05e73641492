//! Neural networks on [`lisse_array`]: layers, losses, initialisers, weight files, ready models.
//!
//! A layer is a plain struct of arrays that derives [`Tree`], with the names PyTorch gives its
//! parameters, so that a `state_dict` saved as safetensors loads by name ([`weights`]). There are no hidden parameters and
//! no global mode: `forward` is a method on `&self`, and what differs between training and evaluation travels in a
//! [`Context`].
//!
//! ```
//! use lisse_array::{Array, DType, Stream, value_and_grad};
//! use lisse_nn::losses::cross_entropy;
//! use lisse_nn::models::{Mlp, MlpConfig};
//! use lisse_nn::{Context, Model};
//!
//! let model = MlpConfig::new(&[4, 16, 3]).build(&Stream::new(0));
//! let x = Stream::new(1).normal(&[8, 4], DType::F32);
//! let y = Array::from_slice(&[0i64, 1, 2, 0, 1, 2, 0, 1], &[8]);
//! let context = Context::eval();
//! let (loss, gradient) = value_and_grad(|m: &Mlp| cross_entropy(&m.forward(&x, &context), &y))(&model);
//! assert!(loss.item() > 0.0 && gradient.layers.len() == 2);
//! ```
//!
//! - layers: [`linear`], [`conv`], [`embedding`], [`norm`], [`batch_norm`], [`dropout`], [`attention`],
//!   [`grouped_query`], [`recurrent`], [`pool`], [`activation`]
//! - [`losses`], [`init`], [`ema`], [`lora`], [`weights`], [`summary`](mod@summary)
//! - [`models`]: MLP, LeNet, small conv net, CIFAR and ImageNet ResNets, vision transformer, GPT decoder

pub mod activation;
pub mod attention;
pub mod batch_norm;
mod context;
pub mod conv;
pub mod dropout;
pub mod ema;
pub mod embedding;
pub mod grouped_query;
pub mod init;
pub mod linear;
pub mod lora;
pub mod losses;
pub mod models;
pub mod norm;
pub mod pool;
pub mod recurrent;
pub mod summary;
pub mod weights;

pub use activation::Activation;
pub use attention::{AttentionMask, MultiHeadAttention, MultiHeadAttentionConfig};
pub use batch_norm::BatchNorm;
pub use context::Context;
pub use conv::{
    Conv1d, Conv2d, Conv3d, ConvConfig, ConvTranspose1d, ConvTranspose2d, ConvTransposeConfig,
};
pub use dropout::Dropout;
pub use ema::Ema;
pub use embedding::Embedding;
pub use grouped_query::{GroupedQueryAttention, GroupedQueryConfig, Rotary};
pub use init::Init;
pub use linear::{Linear, LinearConfig};
pub use lora::{Lora, LoraConfig};
pub use models::Model;
pub use norm::{GroupNorm, LayerNorm, RmsNorm};
pub use recurrent::{Gru, Lstm, RecurrentConfig};
pub use summary::summary;

use lisse_array::{DType, Tree};

/// The same tree with every float leaf in `dtype`: models are built in f32, the rest is a conversion away.
///
/// ```
/// use lisse_array::{DType, Stream};
/// let layer = lisse_nn::Linear::new(2, 3, &Stream::new(0));
/// assert_eq!(lisse_nn::to_dtype(&layer, DType::F64).weight.dtype(), DType::F64);
/// ```
pub fn to_dtype<T: Tree>(tree: &T, dtype: DType) -> T {
    tree.map(|leaf| if leaf.dtype().is_float() { leaf.cast(dtype) } else { leaf.clone() })
}
