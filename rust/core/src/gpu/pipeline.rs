//! Kernels: WGSL text to compute pipelines, kept by key here and, where the driver allows, on disk.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::device::Device;
use super::disk::DiskCache;
use super::prelude::prelude_for;
use crate::error::{Error, Kind, Result};

/// A kernel by its key; `source` gives its WGSL, asked for once per key.
///
/// The text declares `@group(0) @binding(i) var<storage, read_write>` for its buffers and one
/// `@compute fn main`. It may call `param(i)`, `paramf(i)`, `linear_group(..)` and the prelude.
pub struct Kernel<'a> {
    pub key: &'a str,
    pub source: &'a dyn Fn() -> String,
}

/// `u32` words that one dispatch may pass.
pub(super) const PARAM_WORDS: usize = 128;

/// Stands before every kernel. `linear_group` undoes the folding of `Gpu::fold_groups`.
const PARAMS: &str = "
@group(1) @binding(0) var<uniform> params_: array<vec4<u32>, 32>;
fn param(i: u32) -> u32 { return params_[i >> 2u][i & 3u]; }
fn paramf(i: u32) -> f32 { return bitcast<f32>(param(i)); }
fn linear_group(group: vec3<u32>, groups: vec3<u32>) -> u32 {
    return group.x + groups.x * (group.y + groups.y * group.z);
}
";

/// A compiled kernel and the layout its bind groups need.
pub(super) struct Compiled {
    pub(super) pipeline: wgpu::ComputePipeline,
    pub(super) layout: Arc<Layout>,
}

/// The layouts for kernels with a certain number of buffers.
pub(super) struct Layout {
    pub(super) group: wgpu::BindGroupLayout,
    pipeline: wgpu::PipelineLayout,
    buffers: usize,
}

pub(super) struct Pipelines {
    state: Mutex<State>,
    /// The layout of the parameter slot, group 1 of every kernel.
    pub(super) params: wgpu::BindGroupLayout,
    disk: Option<DiskCache>,
    checked: bool,
}

struct State {
    compiled: HashMap<String, Arc<Compiled>>,
    layouts: HashMap<usize, Arc<Layout>>,
    /// Kernels compiled since the last save.
    unsaved: usize,
    next_save: Instant,
    pause: Duration,
}

impl Pipelines {
    pub(super) fn new(device: &Device) -> Result<Self> {
        let params = device.scoped(|| {
            device.wgpu.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
                label: Some("rubigo params"),
                entries: &[wgpu::BindGroupLayoutEntry {
                    ty: wgpu::BindingType::Buffer {
                        ty: wgpu::BufferBindingType::Uniform,
                        has_dynamic_offset: true,
                        min_binding_size: wgpu::BufferSize::new(PARAM_WORDS as u64 * 4),
                    },
                    ..storage_entry(0)
                }],
            })
        })?;
        let pause = Duration::from_secs(1);
        let state = State {
            compiled: HashMap::new(),
            layouts: HashMap::new(),
            unsaved: 0,
            next_save: Instant::now() + pause,
            pause,
        };
        Ok(Self {
            state: Mutex::new(state),
            params,
            disk: DiskCache::open(device),
            checked: std::env::var("RUBIGO_GPU_CHECKS").is_ok_and(|v| v == "1"),
        })
    }

    /// The compiled form of `kernel`, which binds `buffers` buffers.
    pub(super) fn get(
        &self,
        device: &Device,
        kernel: &Kernel<'_>,
        buffers: usize,
    ) -> Result<Arc<Compiled>> {
        let mut state = self.lock();
        if let Some(found) = state.compiled.get(kernel.key) {
            let expected = found.layout.buffers;
            if expected != buffers {
                let key = kernel.key;
                return Err(Error::runtime(format!(
                    "GPU kernel '{key}' was compiled for {expected} buffers and got {buffers}"
                )));
            }
            return Ok(Arc::clone(found));
        }
        let layout = if let Some(layout) = state.layouts.get(&buffers) {
            Arc::clone(layout)
        } else {
            let layout = Arc::new(device.scoped(|| self.layout(device, buffers))?);
            state.layouts.insert(buffers, Arc::clone(&layout));
            layout
        };
        let text = assemble(&(kernel.source)());
        let pipeline = device.scoped(|| self.compile(device, kernel.key, &text, &layout)).map_err(
            |e| match e.kind {
                Kind::Runtime => Error::runtime(format!("GPU kernel '{}': {}", kernel.key, e.msg)),
                _ => e,
            },
        )?;
        let compiled = Arc::new(Compiled { pipeline, layout });
        state.compiled.insert(kernel.key.to_owned(), Arc::clone(&compiled));
        state.unsaved += 1;
        Ok(compiled)
    }

    /// Writes the driver's compiled code to the cache folder. What fails costs only time later.
    pub(super) fn save(&self) {
        self.save_from(self.lock());
    }

    /// As `save`, at growing distances, so that a run that compiles for long writes seldom.
    pub(super) fn save_if_due(&self) {
        let state = self.lock();
        if state.unsaved > 0 && Instant::now() >= state.next_save {
            self.save_from(state);
        }
    }

    fn save_from(&self, mut state: MutexGuard<'_, State>) {
        if std::mem::take(&mut state.unsaved) == 0 {
            return;
        }
        state.pause *= 2;
        state.next_save = Instant::now() + state.pause;
        drop(state);
        if let Some(disk) = &self.disk {
            disk.save();
        }
    }

    fn layout(&self, device: &Device, buffers: usize) -> Layout {
        let entries: Vec<_> = (0..buffers as u32).map(storage_entry).collect();
        let group = device.wgpu.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some("rubigo buffers"),
            entries: &entries,
        });
        let pipeline = device.wgpu.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some("rubigo kernel"),
            bind_group_layouts: &[Some(&group), Some(&self.params)],
            immediate_size: 0,
        });
        Layout { group, pipeline, buffers }
    }

    fn compile(
        &self,
        device: &Device,
        key: &str,
        text: &str,
        layout: &Layout,
    ) -> wgpu::ComputePipeline {
        let source = wgpu::ShaderModuleDescriptor {
            label: Some(key),
            source: wgpu::ShaderSource::Wgsl(text.into()),
        };
        let module = if self.checked {
            device.wgpu.create_shader_module(source)
        } else {
            let checks = wgpu::ShaderRuntimeChecks::unchecked();
            // SAFETY: kernels are the library's own text; they compare every index with the
            // sizes in their parameters, and their loops end.
            unsafe { device.wgpu.create_shader_module_trusted(source, checks) }
        };
        device.wgpu.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(key),
            layout: Some(&layout.pipeline),
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions {
                // Kernels write workgroup memory before they read it.
                zero_initialize_workgroup_memory: false,
                ..Default::default()
            },
            cache: self.disk.as_ref().map(DiskCache::handle),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All buffers are `read_write`: slices of one page may then stand in one dispatch.
fn storage_entry(binding: u32) -> wgpu::BindGroupLayoutEntry {
    wgpu::BindGroupLayoutEntry {
        binding,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer {
            ty: wgpu::BufferBindingType::Storage { read_only: false },
            has_dynamic_offset: false,
            min_binding_size: None,
        },
        count: None,
    }
}

/// Directives (`enable f16;`) have to stay in front; then parameters, prelude and kernel.
fn assemble(source: &str) -> String {
    let is_directive = |line: &str| {
        let line = line.trim_start();
        ["enable ", "requires ", "diagnostic("].iter().any(|d| line.starts_with(d))
    };
    let (mut head, mut body) = (String::new(), String::new());
    for line in source.split_inclusive('\n') {
        if is_directive(line) { &mut head } else { &mut body }.push_str(line);
    }
    head + PARAMS + &prelude_for(source) + "\n" + &body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directives_stay_in_front() {
        let text = assemble("enable f16;\n@compute @workgroup_size(1) fn main() {}\n");
        assert!(text.starts_with("enable f16;\n"));
        assert_eq!(text.matches("enable").count(), 1);
        assert!(text.trim_end().ends_with("fn main() {}"));
    }
}
