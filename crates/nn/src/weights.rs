//! Weight files in the safetensors format, whole or sharded as Hugging Face does it.
//!
//! A leaf's path is its name in the file, so a PyTorch `state_dict` saved with `safetensors.torch.save_file` loads into a
//! model of the same architecture.
//!
//! ```
//! use lisse_array::Stream;
//! use lisse_nn::{Linear, weights};
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("model.safetensors");
//! let trained = Linear::new(2, 3, &Stream::new(0));
//! weights::save(&path, &trained)?;
//! let (loaded, report) = weights::load_into(&path, &Linear::new(2, 3, &Stream::new(1)))?;
//! assert!(report.is_complete());
//! assert_eq!(loaded.weight.to_vec::<f32>(), trained.weight.to_vec::<f32>());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod error;
mod file;
mod load;
mod report;
mod save;

pub use error::WeightError;
pub use load::{LoadOptions, load_into, read};
pub use report::{LoadReport, Mismatch, Missing};
pub use save::{SaveOptions, save};
