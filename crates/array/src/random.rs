//! Random streams.
use serde::{Deserialize, Serialize};

/// Placeholder until the streams land.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stream(u64);
