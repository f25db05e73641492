//! Data for Lisse, from a file to the arrays of a training step.
//!
//! ```
//! use lisse_array::Stream;
//! use lisse_data::{Batches, Dataset, Loader};
//!
//! let stream = Stream::new(0);
//! let (train, test) = Dataset::bundled("digits")?.train_test(0.25, &stream.child("split"))?;
//! let batches = Batches::new(train.len(), 32)?.shuffled(&stream);
//! let loader = Loader::new(train, batches)?;
//! for batch in loader.prefetch(0..2, 2) {
//!     assert_eq!(batch.inputs.shape(), [32, 1, 8, 8]);
//! }
//! # Ok::<(), lisse_data::DataError>(())
//! ```
//!
//! Every random choice draws from a [`lisse_array::Stream`] and depends on its seed and the thing chosen for (a step, an
//! example), so results change neither with batch size nor with threads, and a resumed run goes on as if uninterrupted.

// Data sets: bundled ones, and how any is made.
mod bundled;
mod dataset;
pub use bundled::{BUNDLED, Bundled};
pub use dataset::Dataset;

// Text.
mod text;
pub use text::{TEXTS, Text, Windows};

// Files.
mod file;
mod idx;
#[cfg(feature = "images")]
mod images;
mod jsonl;
mod npy;
mod table;
pub use idx::{Mnist, mnist, read_idx};
#[cfg(feature = "images")]
pub use images::{ImageFolder, ImageOptions};
pub use jsonl::{read_jsonl, read_jsonl_text};
pub use npy::{read_npy, read_npz, take_array};
pub use table::{Column, CsvOptions, Kind, Missing, Table};

// Preparing: parts, labels, scale.
mod labels;
mod split;
mod standardize;
pub use labels::{NoisyLabels, label_noise, one_hot};
pub use split::{Split, k_fold, split, stratified_split};
pub use standardize::Standardizer;

// Training: batches, augmentation, a thread that works ahead.
mod augment;
mod batches;
mod gather;
mod growing;
mod loader;
mod prefetch;
pub use augment::{Augmentation, Fill};
pub use batches::{Batches, Selection};
pub use growing::{GrowingBatches, Position};
pub use loader::{Batch, Loader};
pub use prefetch::Prefetch;

// What can be wrong.
mod error;
mod nearest;
pub use error::{DataError, Place};
pub use nearest::nearest;
