//! The GPUs of this machine, and what their kernels can work on.

use std::sync::OnceLock;

use burn_backend::{Backend, BoolDType};
use burn_dispatch::{Dispatch, DispatchDevice};

use crate::{DType, Device};

/// One GPU: its name in Lisse, Burn's handle, and the element types it computes with.
struct Entry {
    device: Device,
    handle: DispatchDevice,
    /// Whether the processor plays the GPU.
    software: bool,
    /// Found on first use, because asking opens the device.
    dtypes: OnceLock<Vec<DType>>,
}

/// All GPUs that this build and this machine have; looked up once.
fn table() -> &'static [Entry] {
    static TABLE: OnceLock<Vec<Entry>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let cuda = handles_cuda().into_iter().enumerate().map(|(i, h)| (Device::Cuda(i), h));
        let wgpu = handles_wgpu().into_iter().enumerate().map(|(i, h)| (Device::Wgpu(i), h));
        let entry = |(device, handle)| {
            let software = is_software(&handle);
            Entry { device, handle, software, dtypes: OnceLock::new() }
        };
        cuda.chain(wgpu).map(entry).collect()
    })
}

#[cfg(feature = "cuda")]
fn handles_cuda() -> Vec<DispatchDevice> {
    Dispatch::enumerate_cube(burn_dispatch::devices::RuntimeId::Cuda)
}

#[cfg(not(feature = "cuda"))]
fn handles_cuda() -> Vec<DispatchDevice> {
    Vec::new()
}

/// Devices of the graphics API, software rasterizers last so that `wgpu` means a real GPU where there is one.
#[cfg(feature = "wgpu")]
fn handles_wgpu() -> Vec<DispatchDevice> {
    let mut handles = Dispatch::enumerate_cube(burn_dispatch::devices::RuntimeId::Wgpu);
    handles.sort_by_key(is_software);
    handles
}

#[cfg(feature = "wgpu")]
fn is_software(handle: &DispatchDevice) -> bool {
    use burn_dispatch::devices::{CubeDevice, WgpuDeviceKind};
    let DispatchDevice::Cube(CubeDevice::Wgpu(device)) = handle else { return false };
    device.kind == WgpuDeviceKind::Cpu
}

#[cfg(not(feature = "wgpu"))]
fn is_software(_: &DispatchDevice) -> bool {
    false
}

#[cfg(not(feature = "wgpu"))]
fn handles_wgpu() -> Vec<DispatchDevice> {
    Vec::new()
}

/// The GPUs that this build and this machine have.
pub(crate) fn devices() -> Vec<Device> {
    table().iter().map(|entry| entry.device).collect()
}

fn entry(device: Device) -> &'static Entry {
    table().iter().find(|entry| entry.device == device).unwrap_or_else(|| {
        let names: Vec<String> = Device::available().iter().map(ToString::to_string).collect();
        panic!("no device `{device}`: this build finds {} on this machine", names.join(", "))
    })
}

/// Burn's handle of a device. Panics if there is no such device.
pub(super) fn handle(device: Device) -> &'static DispatchDevice {
    &entry(device).handle
}

/// Whether `device` runs Burn's kernels of matrix products. Mesa 22.3's software rasterizer crashes as it compiles them;
/// where the processor plays the GPU, its own kernels are faster anyway.
pub(super) fn multiplies(device: Device) -> bool {
    !entry(device).software
}

/// Whether the kernels of `device` compute with elements of this type.
pub(super) fn computes(device: Device, dtype: DType) -> bool {
    entry(device)
        .dtypes
        .get_or_init(|| DType::ALL.into_iter().filter(|&dtype| supports(device, dtype)).collect())
        .contains(&dtype)
}

fn supports(device: Device, dtype: DType) -> bool {
    match dtype {
        DType::F32 | DType::I32 | DType::Bool => true,
        // Vulkan has doubles on some devices, but no exp, ln or sin of them.
        DType::F64 if matches!(device, Device::Wgpu(_)) => false,
        _ => Dispatch::supports_dtype(handle(device), dtype.to_burn()),
    }
}

/// How truth values lie in the memory of `device`: WebGPU addresses nothing smaller than four bytes.
pub(super) fn bool_store(device: Device) -> BoolDType {
    match device {
        Device::Wgpu(_) => BoolDType::U32,
        Device::Cpu | Device::Cuda(_) => BoolDType::U8,
    }
}
