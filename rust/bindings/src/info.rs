//! What the machine has: threads, instruction sets, memory, GPUs.

use pyo3::prelude::*;
use pyo3::types::PyDict;
use rubigo_core::cpu::{alloc, simd, threads};
use rubigo_core::gpu::Gpu;

use crate::error::IntoPyResult;

/// The dtype of an arithmetic result of two tensors or numbers.
#[pyfunction]
fn result_type(py: Python<'_>, a: &Bound<'_, PyAny>, b: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
    let mut found = Vec::new();
    for x in [a, b] {
        found.push(crate::convert::operand(x)?.ok_or_else(|| {
            pyo3::exceptions::PyTypeError::new_err("result_type() takes tensors and numbers")
        })?);
    }
    let d = rubigo_core::tensor::result_type(found.iter()).py()?;
    crate::types::dtype_object(py, d)
}

/// How many CPU threads operations use.
#[pyfunction]
fn get_num_threads() -> usize {
    threads::num_threads()
}

/// Uses `n` threads for CPU kernels. Results have the same bits for any `n`.
#[pyfunction]
fn set_num_threads(n: i64) -> PyResult<()> {
    let n = usize::try_from(n).map_err(|_| {
        pyo3::exceptions::PyValueError::new_err(format!(
            "the number of threads must be positive, not {n}"
        ))
    })?;
    threads::set_num_threads(n).py()
}

/// The instruction set that kernels use: "portable", "neon", "avx2" or "avx512".
#[pyfunction]
fn cpu_isa() -> &'static str {
    simd::isa().name()
}

/// The instruction sets that this machine has kernels for.
#[pyfunction]
fn cpu_isas() -> Vec<&'static str> {
    let found = simd::Isa::ALL.into_iter().filter(|&isa| simd::available(isa));
    found.map(simd::Isa::name).collect()
}

/// Uses a lower instruction set from now on; False if this machine lacks it. For tests.
#[pyfunction]
fn set_cpu_isa(name: &str) -> bool {
    simd::Isa::parse(name).is_some_and(simd::set_isa_for_test)
}

#[pyfunction]
fn cpu_memory_stats(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let s = alloc::memory_stats();
    let d = PyDict::new(py);
    d.set_item("allocated_bytes", s.allocated_bytes)?;
    d.set_item("peak_bytes", s.peak_bytes)?;
    d.set_item("cached_bytes", s.cached_bytes)?;
    d.set_item("cache_limit_bytes", s.cache_limit_bytes)?;
    d.set_item("limit_bytes", s.limit_bytes)?;
    Ok(d)
}

#[pyfunction]
fn cpu_empty_cache() {
    alloc::empty_cache();
}

#[pyfunction]
fn cpu_reset_peak() {
    alloc::reset_peak();
}

/// Fills fresh memory with NaN bits, so that a test sees what was never written.
#[pyfunction]
fn cpu_poison(on: bool) {
    alloc::set_poison(on);
}

/// Every adapter that was seen, and why it was chosen or not.
#[pyfunction]
fn gpu_adapters(py: Python<'_>) -> PyResult<Vec<Bound<'_, PyDict>>> {
    let seen = py.detach(Gpu::adapters);
    seen.into_iter()
        .map(|a| {
            let d = PyDict::new(py);
            d.set_item("index", a.index)?;
            d.set_item("name", a.name)?;
            d.set_item("backend", a.backend)?;
            d.set_item("driver", a.driver)?;
            d.set_item("device_type", a.device_type)?;
            d.set_item("chosen", a.chosen)?;
            d.set_item("reason", a.reason)?;
            Ok(d)
        })
        .collect()
}

/// Why no GPU can be opened; None when one can.
#[pyfunction]
fn gpu_error(py: Python<'_>) -> Option<String> {
    py.detach(|| Gpu::get().err().map(|e| e.to_string()))
}

#[pyfunction]
fn gpu_info(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let gpu = py.detach(Gpu::get).py()?;
    let i = gpu.info();
    let d = PyDict::new(py);
    d.set_item("name", &i.name)?;
    d.set_item("backend", i.backend)?;
    d.set_item("driver", &i.driver)?;
    d.set_item("device_type", i.device_type)?;
    d.set_item("software", i.is_software())?;
    d.set_item("max_buffer_bytes", i.max_buffer_bytes)?;
    d.set_item("has_f16", i.has_f16)?;
    d.set_item("subgroup_min", i.subgroup_min)?;
    d.set_item("subgroup_max", i.subgroup_max)?;
    Ok(d)
}

#[pyfunction]
fn gpu_memory_stats(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let s = py.detach(Gpu::get).py()?.memory_stats();
    let d = PyDict::new(py);
    d.set_item("allocated_bytes", s.allocated_bytes)?;
    d.set_item("peak_bytes", s.peak_allocated_bytes)?;
    d.set_item("reserved_bytes", s.reserved_bytes)?;
    d.set_item("cached_bytes", s.cached_bytes)?;
    d.set_item("limit_bytes", s.limit_bytes)?;
    Ok(d)
}

#[pyfunction]
fn gpu_empty_cache(py: Python<'_>) -> PyResult<()> {
    let gpu = py.detach(Gpu::get).py()?;
    py.detach(|| gpu.empty_cache());
    Ok(())
}

#[pyfunction]
#[pyo3(signature = (bytes))]
fn gpu_set_memory_limit(py: Python<'_>, bytes: Option<usize>) -> PyResult<()> {
    py.detach(Gpu::get).py()?.set_memory_limit(bytes);
    Ok(())
}

/// Waits until the GPU has done everything it was given.
#[pyfunction]
fn gpu_synchronize(py: Python<'_>) -> PyResult<()> {
    py.detach(|| Gpu::get()?.synchronize()).py()
}

#[pyfunction]
fn gpu_lose_for_test(py: Python<'_>) -> PyResult<()> {
    py.detach(Gpu::get).py()?.lose_for_test();
    Ok(())
}

/// Stores compiled kernels in the user's cache folder; called when the interpreter ends.
#[pyfunction]
fn gpu_save_pipelines(py: Python<'_>) {
    if Gpu::is_open()
        && let Ok(gpu) = Gpu::get()
    {
        py.detach(|| gpu.save_pipelines());
    }
}

/// Disturbs one op until it is called again with None: ("exp", "value", "cpu").
#[cfg(feature = "mutate")]
#[pyfunction]
#[pyo3(signature = (op, kind = "value", device = "cpu"))]
fn set_mutation(op: Option<&str>, kind: &str, device: &str) -> PyResult<()> {
    use rubigo_core::mutate::{Kind, set};
    let kind = match kind {
        "value" => Kind::Value,
        "edge" => Kind::Edge,
        "dtype" => Kind::DType,
        "gradient" => Kind::Gradient,
        "second_gradient" => Kind::SecondGradient,
        _ => return Err(pyo3::exceptions::PyValueError::new_err(format!("unknown kind {kind}"))),
    };
    let device = if device == "gpu" { rubigo_core::Device::Gpu } else { rubigo_core::Device::Cpu };
    set(op.map(|op| (op, kind, device)));
    Ok(())
}

/// How often the op was disturbed since.
#[cfg(feature = "mutate")]
#[pyfunction]
fn mutation_hits() -> u64 {
    rubigo_core::mutate::hits()
}

/// Checks the settings in the environment; a bad one is an error at import, not a silent default.
fn check_environment() -> PyResult<()> {
    threads::check_env().py()?;
    simd::check_env().py()?;
    Ok(())
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    check_environment()?;
    #[cfg(feature = "mutate")]
    {
        m.add_function(wrap_pyfunction!(set_mutation, m)?)?;
        m.add_function(wrap_pyfunction!(mutation_hits, m)?)?;
    }
    m.add_function(wrap_pyfunction!(result_type, m)?)?;
    m.add_function(wrap_pyfunction!(get_num_threads, m)?)?;
    m.add_function(wrap_pyfunction!(set_num_threads, m)?)?;
    m.add_function(wrap_pyfunction!(cpu_isa, m)?)?;
    m.add_function(wrap_pyfunction!(cpu_isas, m)?)?;
    m.add_function(wrap_pyfunction!(set_cpu_isa, m)?)?;
    m.add_function(wrap_pyfunction!(cpu_memory_stats, m)?)?;
    m.add_function(wrap_pyfunction!(cpu_empty_cache, m)?)?;
    m.add_function(wrap_pyfunction!(cpu_reset_peak, m)?)?;
    m.add_function(wrap_pyfunction!(cpu_poison, m)?)?;
    m.add_function(wrap_pyfunction!(gpu_adapters, m)?)?;
    m.add_function(wrap_pyfunction!(gpu_error, m)?)?;
    m.add_function(wrap_pyfunction!(gpu_info, m)?)?;
    m.add_function(wrap_pyfunction!(gpu_memory_stats, m)?)?;
    m.add_function(wrap_pyfunction!(gpu_empty_cache, m)?)?;
    m.add_function(wrap_pyfunction!(gpu_set_memory_limit, m)?)?;
    m.add_function(wrap_pyfunction!(gpu_synchronize, m)?)?;
    m.add_function(wrap_pyfunction!(gpu_lose_for_test, m)?)?;
    m.add_function(wrap_pyfunction!(gpu_save_pipelines, m)?)
}
