//! The machine, the build, and what a run has used of them.

use std::time::Instant;

use serde::{Deserialize, Serialize};

/// Where a run took place, for its summary and for `lisse doctor`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Environment {
    /// Version of Lisse.
    pub version: String,
    /// Operating system and architecture: `linux x86_64`.
    pub system: String,
    /// Model of the processor, where the system tells.
    pub processor: String,
    /// Threads that the process may use.
    pub threads: usize,
    /// Devices that this build can use.
    pub devices: Vec<String>,
    /// Cargo features of this crate that are on.
    pub features: Vec<String>,
}

impl Environment {
    /// This machine and this build.
    pub fn here() -> Environment {
        let features = [("mpi", cfg!(feature = "mpi")), ("parquet", cfg!(feature = "parquet"))];
        Environment {
            version: env!("CARGO_PKG_VERSION").into(),
            system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            processor: processor().unwrap_or_else(|| "unknown".into()),
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            devices: lisse_array::Device::available().iter().map(ToString::to_string).collect(),
            features: features
                .iter()
                .filter(|(_, on)| *on)
                .map(|(name, _)| (*name).to_owned())
                .collect(),
        }
    }
}

fn processor() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// Wall and processor time since a start.
pub(crate) struct Clock {
    wall: Instant,
    cpu_secs: f64,
}

impl Clock {
    pub(crate) fn start() -> Clock {
        Clock { wall: Instant::now(), cpu_secs: cpu_secs() }
    }

    pub(crate) fn wall_secs(&self) -> f64 {
        self.wall.elapsed().as_secs_f64()
    }

    pub(crate) fn cpu_secs(&self) -> f64 {
        cpu_secs() - self.cpu_secs
    }
}

/// Processor seconds of this process, all threads together; 0 where the system does not tell.
#[cfg(unix)]
fn cpu_secs() -> f64 {
    use nix::sys::resource::{UsageWho, getrusage};
    use nix::sys::time::TimeValLike;
    getrusage(UsageWho::RUSAGE_SELF).map_or(0.0, |usage| {
        (usage.user_time() + usage.system_time()).num_microseconds() as f64 * 1e-6
    })
}

/// The most memory that this process has had in use, in bytes; 0 where the system does not tell.
#[cfg(unix)]
pub(crate) fn peak_memory_bytes() -> u64 {
    use nix::sys::resource::{UsageWho, getrusage};
    // Linux counts in KiB, Apple in bytes.
    let unit = if cfg!(target_vendor = "apple") { 1 } else { 1024 };
    getrusage(UsageWho::RUSAGE_SELF).map_or(0, |usage| usage.max_rss() as u64 * unit)
}

#[cfg(not(unix))]
fn cpu_secs() -> f64 {
    0.0
}

#[cfg(not(unix))]
pub(crate) fn peak_memory_bytes() -> u64 {
    0
}
