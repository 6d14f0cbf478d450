//! Which adapter to open: what the drivers show, what `RUBIGO_GPU` asks for, and why not the others.

use std::fmt::Write as _;

use wgpu::{Backend, DeviceType};

use crate::error::{Error, Result};

/// One adapter that was seen, and whether it would be used.
#[derive(Clone, Debug)]
pub struct AdapterReport {
    /// The number that `RUBIGO_GPU` takes.
    pub index: usize,
    pub name: String,
    pub backend: &'static str,
    pub driver: String,
    pub device_type: &'static str,
    pub chosen: bool,
    pub reason: String,
}

/// Kernels bind at most this many buffers; every desktop GPU offers it.
const MIN_BUFFERS: u32 = 8;
/// Every adapter with the decision about it, in the order of their indices. None when
/// `RUBIGO_GPU=none` forbids to touch the drivers.
pub(super) fn adapters() -> Vec<AdapterReport> {
    if is_disabled() { Vec::new() } else { survey().into_iter().map(|(_, r)| r).collect() }
}

/// The first adapter that `open` opens, best first: a driver may refuse.
pub(super) fn first_that<T>(
    open: impl Fn(&wgpu::Adapter) -> std::result::Result<T, String>,
) -> Result<T> {
    if is_disabled() {
        return Err(Error::runtime("the GPU is switched off by RUBIGO_GPU=none"));
    }
    let mut seen = survey();
    let wish = wish();
    let candidates: Vec<Candidate> = seen.iter().map(|(a, _)| Candidate::of(a)).collect();
    for i in order(&candidates, wish.as_deref()) {
        match open(&seen[i].0) {
            Ok(opened) => return Ok(opened),
            Err(why) => seen[i].1.reason = format!("rejected: it did not open ({why})"),
        }
    }
    let mut msg = String::from("no usable GPU");
    if let Some(wish) = wish {
        let _ = write!(msg, " matches RUBIGO_GPU={wish}");
    }
    let hint = if seen.is_empty() {
        msg.push_str(": no adapter was found");
        "install a Vulkan driver; mesa-vulkan-drivers has a software one, lavapipe"
    } else {
        "RUBIGO_GPU takes the number of an adapter or a part of its name"
    };
    for (_, r) in &seen {
        let AdapterReport { index, name, backend, device_type, reason, .. } = r;
        let _ = write!(msg, "\n  {index}: {name} ({backend}, {device_type}): {reason}");
    }
    Err(Error::runtime(msg).hint(hint))
}

fn wish() -> Option<String> {
    std::env::var("RUBIGO_GPU").ok().map(|s| s.trim().to_owned()).filter(|s| !s.is_empty())
}

fn is_disabled() -> bool {
    wish().is_some_and(|w| w.eq_ignore_ascii_case("none"))
}

/// What the choice depends on.
struct Candidate {
    name: String,
    backend: Backend,
    device_type: DeviceType,
    /// Why it cannot be used.
    unfit: Option<String>,
}

impl Candidate {
    fn of(adapter: &wgpu::Adapter) -> Self {
        let info = adapter.get_info();
        let buffers = adapter.limits().max_storage_buffers_per_shader_stage;
        let flags = adapter.get_downlevel_capabilities().flags;
        let unfit = if !flags.contains(wgpu::DownlevelFlags::COMPUTE_SHADERS) {
            Some(String::from("it has no compute shaders"))
        } else if buffers < MIN_BUFFERS {
            Some(format!("a kernel may use {buffers} buffers, {MIN_BUFFERS} are needed"))
        } else {
            None
        };
        Self { name: info.name, backend: info.backend, device_type: info.device_type, unfit }
    }

    /// Smaller is better. One GPU may be listed by two backends; then Vulkan is taken before DX12.
    fn rank(&self) -> (usize, bool) {
        let types = [DeviceType::DiscreteGpu, DeviceType::IntegratedGpu, DeviceType::VirtualGpu];
        let place = types.iter().position(|&t| t == self.device_type);
        let last = types.len() + usize::from(self.device_type == DeviceType::Cpu);
        (place.unwrap_or(last), self.backend == Backend::Dx12)
    }

    fn wished(&self, index: usize, wish: Option<&str>) -> bool {
        let Some(wish) = wish else { return true };
        match wish.parse::<usize>() {
            Ok(number) => number == index,
            Err(_) => self.name.to_lowercase().contains(&wish.to_lowercase()),
        }
    }
}

/// The usable candidates, best first.
fn order(candidates: &[Candidate], wish: Option<&str>) -> Vec<usize> {
    let mut fit: Vec<usize> = (0..candidates.len())
        .filter(|&i| candidates[i].unfit.is_none() && candidates[i].wished(i, wish))
        .collect();
    fit.sort_by_key(|&i| candidates[i].rank());
    fit
}

/// Looks at all adapters. No driver at all is an empty list.
fn survey() -> Vec<(wgpu::Adapter, AdapterReport)> {
    let backends = wgpu::Backends::VULKAN | wgpu::Backends::METAL | wgpu::Backends::DX12;
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
        backends,
        flags: wgpu::InstanceFlags::empty(),
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    });
    let found = pollster::block_on(instance.enumerate_adapters(backends));
    let candidates: Vec<Candidate> = found.iter().map(Candidate::of).collect();
    let wish = wish();
    let best = order(&candidates, wish.as_deref()).first().copied();
    let report = |(index, adapter): (usize, wgpu::Adapter)| {
        let (info, candidate) = (adapter.get_info(), &candidates[index]);
        let reason = if let Some(why) = &candidate.unfit {
            format!("rejected: {why}")
        } else if !candidate.wished(index, wish.as_deref()) {
            String::from("not chosen: RUBIGO_GPU names another")
        } else if best == Some(index) {
            let why =
                if wish.is_some() { "RUBIGO_GPU names it" } else { "the best that is usable" };
            format!("chosen: {why}")
        } else {
            format!("not chosen: adapter {} ranks higher", best.unwrap_or(index))
        };
        let report = AdapterReport {
            index,
            backend: backend_name(info.backend),
            driver: driver_of(&info),
            device_type: type_name(info.device_type),
            name: info.name,
            chosen: best == Some(index),
            reason,
        };
        (adapter, report)
    };
    found.into_iter().enumerate().map(report).collect()
}

pub(super) fn driver_of(info: &wgpu::AdapterInfo) -> String {
    format!("{} {}", info.driver, info.driver_info).trim().to_owned()
}

pub(super) fn backend_name(backend: Backend) -> &'static str {
    match backend {
        Backend::Vulkan => "vulkan",
        Backend::Metal => "metal",
        Backend::Dx12 => "dx12",
        _ => "other",
    }
}

pub(super) fn type_name(kind: DeviceType) -> &'static str {
    match kind {
        DeviceType::DiscreteGpu => "discrete",
        DeviceType::IntegratedGpu => "integrated",
        DeviceType::VirtualGpu => "virtual",
        DeviceType::Cpu => "cpu",
        DeviceType::Other => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(name: &str, backend: Backend, device_type: DeviceType) -> Candidate {
        Candidate { name: name.to_owned(), backend, device_type, unfit: None }
    }

    #[test]
    fn the_best_adapter_comes_first_and_a_wish_wins() {
        let mut all = [
            candidate("llvmpipe", Backend::Vulkan, DeviceType::Cpu),
            candidate("Iris", Backend::Vulkan, DeviceType::IntegratedGpu),
            candidate("RTX", Backend::Dx12, DeviceType::DiscreteGpu),
            candidate("RTX", Backend::Vulkan, DeviceType::DiscreteGpu),
            candidate("Odd", Backend::Vulkan, DeviceType::Other),
        ];
        assert_eq!(order(&all, None), [3, 2, 1, 4, 0]);
        assert_eq!(order(&all, Some("LLVM")), [0]);
        assert_eq!(order(&all, Some("1")), [1]);
        assert!(order(&all, Some("7")).is_empty());
        all[3].unfit = Some(String::from("broken"));
        assert_eq!(order(&all, None), [2, 1, 4, 0]);
    }
}
