//! Where arrays live.

use std::cell::Cell;
use std::fmt;
use std::str::FromStr;

/// A device, chosen at run time. `cpu` is always there; `cuda:N` and `wgpu:N` by cargo feature.
///
/// Every operation works on every device with the same meaning. On a GPU some run on the host: their operands are
/// copied to the processor, which waits for the GPU, and the result is copied back. These are
///
/// - of element-wise operations the gamma functions, and on integers division, remainders, powers, signs and all on bytes
/// - running products and sums of half floats, matrix products of integers (on a software rasterizer of all types)
/// - sorting, positions of extrema, one-hot, linear recurrences
/// - Fourier transforms, pooling, resizing, grid sampling, padding by a number other than zero
/// - dense and sparse linear algebra
/// - generating random numbers, so that every device gets the same ones
/// - checking the range of indices, which are therefore best kept on the processor
/// - all operations on element types that the device has no kernels for: such arrays stay in host memory. A graphics API
///   (`wgpu`) has none for f64 and often none for bf16, i64 and bytes.
///
/// A GPU rounds elementary functions more coarsely than the processor does, and one that adds floats atomically leaves
/// the order open in which [`scatter_add`](crate::Array::scatter_add), and the derivative of
/// [`gather`](crate::Array::gather), sum what meets at one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Device {
    /// The processor.
    #[default]
    Cpu,
    /// An NVIDIA GPU, by index (feature `cuda`).
    Cuda(usize),
    /// A GPU through a graphics API (Vulkan, where there is one), by index (feature `wgpu`). Software rasterizers come after
    /// real GPUs.
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
    ///
    /// ```
    /// use lisse_array::Device;
    /// assert_eq!("cpu".parse(), Ok(Device::Cpu));
    /// let error = "gpu".parse::<Device>().unwrap_err();
    /// assert_eq!(error.to_string(), "no device `gpu`: expected `cpu`, `cuda:N` or `wgpu:N`");
    /// ```
    fn from_str(name: &str) -> Result<Self, UnknownDevice> {
        let fail = |reason: String| UnknownDevice { name: name.to_string(), reason };
        let (kind, index) = name.split_once(':').unwrap_or((name, "0"));
        if !["cpu", "cuda", "wgpu"].contains(&kind) {
            return Err(fail("expected `cpu`, `cuda:N` or `wgpu:N`".into()));
        }
        let index: usize = index
            .parse()
            .map_err(|_| fail(format!("`{index}` is not a device index; write `{kind}:0`")))?;
        let device = match (kind, index) {
            ("cuda", _) => Device::Cuda(index),
            ("wgpu", _) => Device::Wgpu(index),
            (_, 0) => Device::Cpu,
            _ => return Err(fail("there is one processor; write `cpu`".into())),
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
