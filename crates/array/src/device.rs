//! Where arrays live.

use std::cell::Cell;
use std::fmt;
use std::str::FromStr;

/// A device, chosen at run time. `cpu` is always there; `cuda:N` and `wgpu:N` by cargo feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Device {
    /// The processor.
    #[default]
    Cpu,
    /// An NVIDIA GPU, by index (feature `cuda`).
    Cuda(usize),
    /// A GPU through Vulkan, by index (feature `wgpu`).
    Wgpu(usize),
}

thread_local! {
    static CURRENT: Cell<Device> = const { Cell::new(Device::Cpu) };
}

impl Device {
    /// The device on which constructors of this thread place new arrays.
    pub fn current() -> Device {
        CURRENT.get()
    }

    /// Makes `device` this thread's device for new arrays while `body` runs.
    pub fn with<R>(self, body: impl FnOnce() -> R) -> R {
        struct Restore(Device);
        impl Drop for Restore {
            fn drop(&mut self) {
                CURRENT.set(self.0);
            }
        }
        let _restore = Restore(CURRENT.replace(self));
        body()
    }

    /// Devices that this build can use, the processor first.
    pub fn available() -> Vec<Device> {
        #[allow(unused_mut)]
        let mut devices = vec![Device::Cpu];
        #[cfg(feature = "gpu")]
        devices.extend(crate::gpu::devices());
        devices
    }

    /// The element type that index arrays have on this device.
    pub(crate) fn index_dtype(self) -> crate::DType {
        match self {
            Device::Cpu => crate::DType::I64,
            Device::Cuda(_) | Device::Wgpu(_) => crate::DType::I32,
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Device::Cpu => f.write_str("cpu"),
            Device::Cuda(i) => write!(f, "cuda:{i}"),
            Device::Wgpu(i) => write!(f, "wgpu:{i}"),
        }
    }
}

/// A device's name was not understood, or this build or machine does not have it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no device `{name}`: {reason}")]
pub struct UnknownDevice {
    name: String,
    reason: String,
}

impl FromStr for Device {
    type Err = UnknownDevice;

    /// Reads `cpu`, `cuda`, `cuda:1`, `wgpu`, `wgpu:0`, and checks that the device is there.
    fn from_str(name: &str) -> Result<Self, UnknownDevice> {
        let fail = |reason: String| UnknownDevice { name: name.to_string(), reason };
        let (kind, index) = name.split_once(':').unwrap_or((name, "0"));
        let index: usize = index
            .parse()
            .map_err(|_| fail(format!("`{index}` is not a device index; write `{kind}:0`")))?;
        let device = match kind {
            "cpu" => Device::Cpu,
            "cuda" => Device::Cuda(index),
            "wgpu" => Device::Wgpu(index),
            _ => return Err(fail("expected `cpu`, `cuda:N` or `wgpu:N`".into())),
        };
        let compiled = match device {
            Device::Cpu => true,
            Device::Cuda(_) => cfg!(feature = "cuda"),
            Device::Wgpu(_) => cfg!(feature = "wgpu"),
        };
        if !compiled {
            return Err(fail(format!(
                "this build has no {kind} support; build with `--features {kind}`"
            )));
        }
        let available = Device::available();
        if !available.contains(&device) {
            let names: Vec<String> = available.iter().map(ToString::to_string).collect();
            return Err(fail(format!("this machine offers {}", names.join(", "))));
        }
        Ok(device)
    }
}
