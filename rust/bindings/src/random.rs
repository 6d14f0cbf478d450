//! Random numbers: the generator, and functions that take a piece of its stream.

use pyo3::exceptions::{PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use rubigo_core::dtype::DType;
use rubigo_core::ops::{Attr, OpDef, Outs, elementwise as e, random, reduce};
use rubigo_core::rng::{self, Generator};
use rubigo_core::tensor::Number;
use rubigo_core::{Device, Tensor, apply, autograd, layout};
use std::sync::{Mutex, PoisonError};

use crate::convert;
use crate::create::{Options, sizes};
use crate::error::IntoPyResult;
use crate::ops::detached;
use crate::tensor::PyTensor;

/// A stream of random numbers: the same on every device and at any thread count.
#[pyclass(name = "Generator", module = "rubigo", frozen)]
pub struct PyGenerator(Stream);

enum Stream {
    /// What functions use that are given no generator.
    Default,
    Own(Mutex<Generator>),
}

impl PyGenerator {
    fn own(g: Generator) -> Self {
        Self(Stream::Own(Mutex::new(g)))
    }

    fn with<R>(&self, f: impl FnOnce(&mut Generator) -> R) -> R {
        match &self.0 {
            Stream::Default => rng::with_default(f),
            Stream::Own(g) => f(&mut g.lock().unwrap_or_else(PoisonError::into_inner)),
        }
    }
}

/// The seed of a generator that was given none: PyTorch's.
const FIRST_SEED: u64 = 67_280_421_310_721;

/// A seed from any Python integer of 64 bits, signed or not.
fn seed_of(seed: &Bound<'_, PyAny>) -> PyResult<u64> {
    if let Ok(v) = seed.extract::<u64>() {
        return Ok(v);
    }
    seed.extract::<i64>()
        .map(|v| v as u64)
        .map_err(|_| PyValueError::new_err("a seed is an integer from -2^63 to 2^64 - 1"))
}

/// A seed from the system's entropy, through Rust's hash keys.
fn fresh_seed() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new().build_hasher().finish() >> 11
}

fn state_tensor(state: [u8; 16]) -> PyResult<PyTensor> {
    Ok(PyTensor::new(Tensor::from_slice(&state, &[16]).py()?))
}

fn state_bytes(state: &Bound<'_, PyTensor>) -> PyResult<Vec<u8>> {
    let t = state.get().tensor();
    if t.dtype() != DType::U8 {
        return Err(PyTypeError::new_err(format!(
            "a generator's state is a uint8 tensor, not {}",
            t.dtype().name()
        )));
    }
    convert::flat::<u8>(state.py(), &t)
}

#[pymethods]
impl PyGenerator {
    #[new]
    #[pyo3(signature = (device = None))]
    fn new(device: Option<&Bound<'_, PyAny>>) -> PyResult<Self> {
        if let Some(d) = device {
            crate::types::parse_device(d)?;
        }
        Ok(Self::own(Generator::new(FIRST_SEED)))
    }

    /// Starts the stream of this seed; gives the generator.
    fn manual_seed<'py>(
        slf: &Bound<'py, Self>,
        seed: &Bound<'_, PyAny>,
    ) -> PyResult<Bound<'py, Self>> {
        let seed = seed_of(seed)?;
        slf.get().with(|g| g.manual_seed(seed));
        Ok(slf.clone())
    }

    /// Starts a stream that nobody chose; gives its seed.
    fn seed(&self) -> u64 {
        let seed = fresh_seed();
        self.with(|g| g.manual_seed(seed));
        seed
    }

    /// The seed it was last given.
    fn initial_seed(&self) -> u64 {
        self.with(|g| g.seed)
    }

    /// Its state as a tensor of bytes, for `set_state`.
    fn get_state(&self) -> PyResult<PyTensor> {
        state_tensor(self.with(|g| g.get_state()))
    }

    /// Goes on from a state that `get_state` gave, and returns the generator.
    fn set_state<'py>(
        slf: &Bound<'py, Self>,
        new_state: &Bound<'_, PyTensor>,
    ) -> PyResult<Bound<'py, Self>> {
        let bytes = state_bytes(new_state)?;
        slf.get().with(|g| g.set_state(&bytes)).py()?;
        Ok(slf.clone())
    }

    /// The CPU: the numbers are the same on all devices.
    #[getter]
    fn device(&self) -> crate::types::PyDevice {
        crate::types::PyDevice(Device::Cpu)
    }

    fn __reduce__(slf: &Bound<'_, Self>) -> PyResult<(Py<PyAny>, (Vec<u8>,))> {
        let rebuild = slf.py().import("rubigo._core")?.getattr("_generator_from_state")?;
        Ok((rebuild.unbind(), (slf.get().with(|g| g.get_state()).to_vec(),)))
    }
}

#[pyfunction]
fn _generator_from_state(state: Vec<u8>) -> PyResult<PyGenerator> {
    let mut g = Generator::new(0);
    g.set_state(&state).py()?;
    Ok(PyGenerator::own(g))
}

/// Seeds the default generator and gives it.
#[pyfunction]
fn manual_seed(seed: &Bound<'_, PyAny>) -> PyResult<PyGenerator> {
    rng::manual_seed(seed_of(seed)?);
    Ok(PyGenerator(Stream::Default))
}

/// Seeds the default generator with a number nobody chose, and gives it.
#[pyfunction]
fn seed() -> u64 {
    let seed = fresh_seed();
    rng::manual_seed(seed);
    seed
}

/// Gives this thread a default generator of its own (a copy of this one), or takes it away with None; returns the
/// one it had.
#[pyfunction]
#[pyo3(signature = (generator))]
fn swap_thread_generator(generator: Option<&Bound<'_, PyGenerator>>) -> Option<PyGenerator> {
    let new = generator.map(|g| g.get().with(|g| g.clone()));
    rng::swap_own(new).map(PyGenerator::own)
}

/// The seed that the default generator was last given.
#[pyfunction]
fn initial_seed() -> u64 {
    rng::with_default(|g| g.seed)
}

/// The state of the default generator as a tensor of bytes, for `set_rng_state`.
#[pyfunction]
fn get_rng_state() -> PyResult<PyTensor> {
    state_tensor(rng::with_default(|g| g.get_state()))
}

/// Lets the default generator go on from a state that `get_rng_state` gave.
#[pyfunction]
fn set_rng_state(new_state: &Bound<'_, PyTensor>) -> PyResult<()> {
    let bytes = state_bytes(new_state)?;
    rng::with_default(|g| g.set_state(&bytes)).py()
}

type Source<'a, 'py> = Option<&'a Bound<'py, PyGenerator>>;

/// Takes blocks of a stream: the attributes `seed` and `offset`.
fn take(generator: Source<'_, '_>, blocks: u64) -> [Attr; 2] {
    let Some(g) = generator else { return random::reserve(blocks) };
    g.get().with(|g| [Attr::Int(g.seed as i64), Attr::Int(g.take(blocks) as i64)])
}

fn run(
    py: Python<'_>,
    op: &'static OpDef,
    inputs: &[Option<Tensor>],
    attrs: &[Attr],
) -> PyResult<Tensor> {
    let mut outs: Outs = py.detach(|| apply::apply(op, inputs, attrs)).py()?;
    Ok(outs.swap_remove(0))
}

/// Checked sizes: negative ones are an error.
fn shape_of(sizes: &[i64]) -> PyResult<usize> {
    let shape: Vec<usize> = sizes
        .iter()
        .map(|&s| {
            usize::try_from(s).map_err(|_| {
                PyRuntimeError::new_err(format!("a tensor cannot have the negative size {s}"))
            })
        })
        .collect::<PyResult<_>>()?;
    layout::checked_numel(&shape).py()
}

/// Uniforms or normals: `a` and `b` are low and high, or mean and standard deviation.
fn floats(
    py: Python<'_>,
    op: &'static OpDef,
    sizes: &[i64],
    a: f64,
    b: f64,
    dtype: DType,
    device: Device,
    generator: Source<'_, '_>,
) -> PyResult<Tensor> {
    let [seed, offset] = take(generator, random::float_blocks(shape_of(sizes)?, dtype));
    run(py, op, &[], &[sizes.into(), a.into(), b.into(), seed, offset, dtype.into(), device.into()])
}

macro_rules! drawn {
    ($($name:ident $like:ident $op:ident $a:literal $b:literal $doc:literal;)*) => {$(
        #[doc = $doc]
        #[pyfunction]
        #[pyo3(signature = (*args, size = None, generator = None, dtype = None, device = None, requires_grad = false))]
        fn $name(
            args: &Bound<'_, PyTuple>,
            size: Option<&Bound<'_, PyAny>>,
            generator: Option<&Bound<'_, PyGenerator>>,
            dtype: Option<&Bound<'_, PyAny>>,
            device: Option<&Bound<'_, PyAny>>,
            requires_grad: bool,
        ) -> PyResult<PyTensor> {
            let o = Options::new(dtype, device, requires_grad)?;
            let (dtype, device) = (o.dtype.unwrap_or(DType::F32), o.device.unwrap_or(Device::Cpu));
            let shape = sizes(args, size)?;
            o.finish(floats(args.py(), &random::$op, &shape, $a, $b, dtype, device, generator)?)
        }

        #[doc = concat!($doc, " In the shape, dtype and device of the input.")]
        #[pyfunction]
        #[pyo3(signature = (input, *, generator = None, dtype = None, device = None, requires_grad = false))]
        fn $like(
            input: &Bound<'_, PyTensor>,
            generator: Option<&Bound<'_, PyGenerator>>,
            dtype: Option<&Bound<'_, PyAny>>,
            device: Option<&Bound<'_, PyAny>>,
            requires_grad: bool,
        ) -> PyResult<PyTensor> {
            let o = Options::new(dtype, device, requires_grad)?;
            let x = input.get().tensor();
            let shape: Vec<i64> = x.shape().iter().map(|&n| n as i64).collect();
            let (dtype, device) = (o.dtype.unwrap_or(x.dtype()), o.device.unwrap_or(x.device()));
            o.finish(floats(input.py(), &random::$op, &shape, $a, $b, dtype, device, generator)?)
        }
    )*};
}
drawn! {
    rand rand_like UNIFORM 0.0 1.0 "Uniform numbers in [0, 1).";
    randn randn_like NORMAL 0.0 1.0 "Standard normal numbers.";
}

fn integers(
    py: Python<'_>,
    sizes: &[i64],
    low: i64,
    high: i64,
    dtype: DType,
    device: Device,
    generator: Source<'_, '_>,
) -> PyResult<Tensor> {
    if low >= high {
        return Err(PyRuntimeError::new_err(format!(
            "randint expects low < high, got low={low} and high={high}"
        )));
    }
    let last = high - 1;
    let [seed, offset] = take(generator, random::int_blocks(shape_of(sizes)?, low, last));
    let attrs = [sizes.into(), low.into(), last.into(), seed, offset, dtype.into(), device.into()];
    run(py, &random::INT, &[], &attrs)
}

/// `randint(high, size)` or `randint(low, high, size)`: integers in [low, high).
#[pyfunction]
#[pyo3(signature = (*args, low = None, high = None, size = None, generator = None, dtype = None, device = None, requires_grad = false))]
fn randint(
    args: &Bound<'_, PyTuple>,
    low: Option<i64>,
    high: Option<i64>,
    size: Option<&Bound<'_, PyAny>>,
    generator: Option<&Bound<'_, PyGenerator>>,
    dtype: Option<&Bound<'_, PyAny>>,
    device: Option<&Bound<'_, PyAny>>,
    requires_grad: bool,
) -> PyResult<PyTensor> {
    let mut rest: Vec<Bound<'_, PyAny>> = args.iter().collect();
    let fail = || PyTypeError::new_err("randint() takes (high, size) or (low, high, size)");
    let size = match size {
        Some(s) => s.clone(),
        None => rest.pop().ok_or_else(fail)?,
    };
    let numbers: Vec<i64> = rest.iter().map(convert::int).collect::<PyResult<_>>()?;
    let (low, high) = match (numbers.as_slice(), low, high) {
        ([l, h], None, None) => (*l, *h),
        ([l], None, Some(h)) => (*l, h),
        ([h], l, None) => (l.unwrap_or(0), *h),
        ([], l, Some(h)) => (l.unwrap_or(0), h),
        _ => return Err(fail()),
    };
    let o = Options::new(dtype, device, requires_grad)?;
    let shape = convert::ints(&size)?;
    let (dtype, device) = (o.dtype.unwrap_or(DType::I64), o.device.unwrap_or(Device::Cpu));
    o.finish(integers(args.py(), &shape, low, high, dtype, device, generator)?)
}

/// `randint_like(input, high)` or `randint_like(input, low, high)`.
#[pyfunction]
#[pyo3(signature = (input, low, high = None, *, generator = None, dtype = None, device = None, requires_grad = false))]
fn randint_like(
    input: &Bound<'_, PyTensor>,
    low: i64,
    high: Option<i64>,
    generator: Option<&Bound<'_, PyGenerator>>,
    dtype: Option<&Bound<'_, PyAny>>,
    device: Option<&Bound<'_, PyAny>>,
    requires_grad: bool,
) -> PyResult<PyTensor> {
    let o = Options::new(dtype, device, requires_grad)?;
    let x = input.get().tensor();
    let shape: Vec<i64> = x.shape().iter().map(|&n| n as i64).collect();
    let (low, high) = high.map_or((0, low), |h| (low, h));
    let (dtype, device) = (o.dtype.unwrap_or(x.dtype()), o.device.unwrap_or(x.device()));
    o.finish(integers(input.py(), &shape, low, high, dtype, device, generator)?)
}

/// The numbers from 0 to n - 1 in random order.
#[pyfunction]
#[pyo3(signature = (n, *, generator = None, dtype = None, device = None, requires_grad = false))]
fn randperm(
    py: Python<'_>,
    n: i64,
    generator: Option<&Bound<'_, PyGenerator>>,
    dtype: Option<&Bound<'_, PyAny>>,
    device: Option<&Bound<'_, PyAny>>,
    requires_grad: bool,
) -> PyResult<PyTensor> {
    let o = Options::new(dtype, device, requires_grad)?;
    let count = shape_of(&[n])?;
    let [seed, offset] = take(generator, random::permutation_blocks(count));
    let (dtype, device) = (o.dtype.unwrap_or(DType::I64), o.device.unwrap_or(Device::Cpu));
    o.finish(run(
        py,
        &random::PERMUTATION,
        &[],
        &[n.into(), seed, offset, dtype.into(), device.into()],
    )?)
}

/// Normal numbers: mean and std are numbers (with `size`) or tensors.
#[pyfunction]
#[pyo3(signature = (mean, std = None, size = None, *, generator = None, dtype = None, device = None))]
fn normal(
    mean: &Bound<'_, PyAny>,
    std: Option<&Bound<'_, PyAny>>,
    size: Option<&Bound<'_, PyAny>>,
    generator: Option<&Bound<'_, PyGenerator>>,
    dtype: Option<&Bound<'_, PyAny>>,
    device: Option<&Bound<'_, PyAny>>,
) -> PyResult<PyTensor> {
    let py = mean.py();
    let o = Options::new(dtype, device, false)?;
    let one = || Tensor::number(Number::Float(1.0)).py();
    let operand = |x: &Bound<'_, PyAny>| {
        convert::operand(x)?
            .ok_or_else(|| PyTypeError::new_err("normal(): mean and std are tensors or numbers"))
    };
    let mean = operand(mean)?;
    let std = std.map_or_else(one, operand)?;
    let zero = Tensor::number(Number::Float(0.0)).py()?;
    let negative = py
        .detach(|| {
            let negative = apply::call(&e::lt, &[&std.detach(), &zero], &[])?;
            apply::call(&reduce::ANY, &[&negative], &[])?.item()
        })
        .py()?;
    if negative == Number::Bool(true) {
        return Err(PyRuntimeError::new_err("normal expects all elements of std >= 0.0"));
    }
    let shape = match size {
        Some(s) => convert::ints(s)?.to_vec(),
        None if mean.is_wrapped() && std.is_wrapped() => {
            return Err(PyTypeError::new_err("normal() of two numbers needs a size"));
        }
        None => {
            layout::broadcast(mean.shape(), std.shape()).py()?.iter().map(|&n| n as i64).collect()
        }
    };
    let natural = rubigo_core::tensor::result_type([&mean, &std].into_iter()).py()?;
    let dtype = o.dtype.unwrap_or(if natural.is_float() { natural } else { DType::F32 });
    let at =
        [&mean, &std].into_iter().find(|t| !t.is_wrapped()).map_or(Device::Cpu, Tensor::device);
    let device = o.device.unwrap_or(at);
    let z = floats(py, &random::NORMAL, &shape, 0.0, 1.0, dtype, device, generator)?;
    let out = py
        .detach(|| {
            let _mode = autograd::NoGrad::new();
            let out = apply::call(&e::addcmul, &[&mean, &z, &std], &[1i64.into()])?;
            rubigo_core::ops::cast::to(&out.detach(), dtype)
        })
        .py()?;
    Ok(PyTensor::new(out))
}

/// 1 with the probability that the element gives, else 0.
#[pyfunction]
#[pyo3(signature = (input, p = None, *, generator = None))]
fn bernoulli(
    input: &Bound<'_, PyTensor>,
    p: Option<f64>,
    generator: Option<&Bound<'_, PyGenerator>>,
) -> PyResult<PyTensor> {
    Ok(PyTensor::new(coin(input.py(), &input.get().tensor(), p, generator)?))
}

fn coin(py: Python<'_>, x: &Tensor, p: Option<f64>, generator: Source<'_, '_>) -> PyResult<Tensor> {
    let dtype = if x.dtype() == DType::F64 { DType::F64 } else { DType::F32 };
    let [seed, offset] = take(generator, random::float_blocks(x.numel(), dtype));
    run(py, &random::BERNOULLI, &[Some(x.clone())], &[p.into(), seed, offset])
}

/// `num_samples` indices for each row of weights.
#[pyfunction]
#[pyo3(signature = (input, num_samples, replacement = false, *, generator = None))]
fn multinomial(
    input: &Bound<'_, PyTensor>,
    num_samples: i64,
    replacement: bool,
    generator: Option<&Bound<'_, PyGenerator>>,
) -> PyResult<PyTensor> {
    let x = input.get().tensor();
    let n = usize::try_from(num_samples)
        .ok()
        .filter(|&n| n > 0)
        .ok_or_else(|| PyRuntimeError::new_err("cannot sample num_samples <= 0 samples"))?;
    let [seed, offset] = take(generator, random::multinomial_blocks(&x, n, replacement));
    let attrs = [num_samples.into(), replacement.into(), seed, offset];
    Ok(PyTensor::new(run(input.py(), &random::MULTINOMIAL, &[Some(x)], &attrs)?))
}

/// Writes what `draw` gives for the tensor's shape and dtype into it.
fn fill(
    t: &Bound<'_, PyTensor>,
    draw: impl FnOnce(&Tensor, &[i64], DType) -> PyResult<Tensor>,
) -> PyResult<()> {
    let x = t.get().tensor();
    let shape: Vec<i64> = x.shape().iter().map(|&n| n as i64).collect();
    let value = draw(&x, &shape, x.dtype())?;
    detached(t.py(), &[Some(x.clone())], || autograd::write(&x, &value))
}

#[pyfunction]
#[pyo3(signature = (t, mean = 0.0, std = 1.0, *, generator = None))]
fn _normal_(
    t: &Bound<'_, PyTensor>,
    mean: f64,
    std: f64,
    generator: Option<&Bound<'_, PyGenerator>>,
) -> PyResult<()> {
    fill(t, |x, shape, d| {
        floats(t.py(), &random::NORMAL, shape, mean, std, d, x.device(), generator)
    })
}

#[pyfunction]
#[pyo3(signature = (t, a = 0.0, b = 1.0, *, generator = None))]
fn _uniform_(
    t: &Bound<'_, PyTensor>,
    a: f64,
    b: f64,
    generator: Option<&Bound<'_, PyGenerator>>,
) -> PyResult<()> {
    fill(t, |x, shape, d| floats(t.py(), &random::UNIFORM, shape, a, b, d, x.device(), generator))
}

#[pyfunction]
#[pyo3(signature = (t, lambd = 1.0, *, generator = None))]
fn _exponential_(
    t: &Bound<'_, PyTensor>,
    lambd: f64,
    generator: Option<&Bound<'_, PyGenerator>>,
) -> PyResult<()> {
    fill(t, |x, shape, d| {
        let wide = if d == DType::F64 { DType::F64 } else { DType::F32 };
        let [seed, offset] = take(generator, random::float_blocks(x.numel(), wide));
        let attrs = [shape.into(), lambd.into(), seed, offset, d.into(), x.device().into()];
        run(t.py(), &random::EXPONENTIAL, &[], &attrs)
    })
}

/// With a number the probability of every element, with a tensor one for each.
#[pyfunction]
#[pyo3(signature = (t, p = None, *, generator = None))]
fn _bernoulli_(
    t: &Bound<'_, PyTensor>,
    p: Option<&Bound<'_, PyAny>>,
    generator: Option<&Bound<'_, PyGenerator>>,
) -> PyResult<()> {
    let py = t.py();
    fill(t, |x, _, d| {
        if let Some(Ok(p)) = p.map(|p| p.cast::<PyTensor>()) {
            let p = p.get().tensor();
            let wide = p.alias(p.layout().expand(x.shape()).py()?);
            return coin(py, &wide, None, generator);
        }
        let p = p.map_or(Ok(0.5), convert::float)?;
        let x = Tensor::empty(x.shape(), d, x.device()).py()?;
        coin(py, &x, Some(p), generator)
    })
}

/// Integers in [from, to); up to what the dtype holds exactly when no bound is given.
#[pyfunction]
#[pyo3(signature = (t, *args, generator = None))]
fn _random_(
    t: &Bound<'_, PyTensor>,
    args: &Bound<'_, PyTuple>,
    generator: Option<&Bound<'_, PyGenerator>>,
) -> PyResult<()> {
    let numbers: Vec<i64> = args.iter().map(|a| convert::int(&a)).collect::<PyResult<_>>()?;
    let dtype = t.get().tensor().dtype();
    let limit = match dtype {
        DType::F16 => 1 << 11,
        DType::BF16 => 1 << 8,
        DType::F32 => 1 << 24,
        DType::F64 => 1 << 53,
        DType::I64 | DType::U64 => i64::MAX,
        d => d.int_range().map_or(2, |(_, hi)| hi as i64 + 1),
    };
    let (low, high) = match numbers.as_slice() {
        [] => (0, limit),
        [h] => (0, *h),
        [l, h] => (*l, *h),
        _ => return Err(PyTypeError::new_err("random_() takes (), (to) or (from, to)")),
    };
    fill(t, |x, shape, d| integers(t.py(), shape, low, high, d, x.device(), generator))
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<PyGenerator>()?;
    m.add_function(wrap_pyfunction!(swap_thread_generator, m)?)?;
    m.add("default_generator", PyGenerator(Stream::Default))?;
    m.add_function(wrap_pyfunction!(_generator_from_state, m)?)?;
    m.add_function(wrap_pyfunction!(manual_seed, m)?)?;
    m.add_function(wrap_pyfunction!(seed, m)?)?;
    m.add_function(wrap_pyfunction!(initial_seed, m)?)?;
    m.add_function(wrap_pyfunction!(get_rng_state, m)?)?;
    m.add_function(wrap_pyfunction!(set_rng_state, m)?)?;
    m.add_function(wrap_pyfunction!(rand, m)?)?;
    m.add_function(wrap_pyfunction!(rand_like, m)?)?;
    m.add_function(wrap_pyfunction!(randn, m)?)?;
    m.add_function(wrap_pyfunction!(randn_like, m)?)?;
    m.add_function(wrap_pyfunction!(randint, m)?)?;
    m.add_function(wrap_pyfunction!(randint_like, m)?)?;
    m.add_function(wrap_pyfunction!(randperm, m)?)?;
    m.add_function(wrap_pyfunction!(normal, m)?)?;
    m.add_function(wrap_pyfunction!(bernoulli, m)?)?;
    m.add_function(wrap_pyfunction!(multinomial, m)?)?;
    m.add_function(wrap_pyfunction!(_normal_, m)?)?;
    m.add_function(wrap_pyfunction!(_uniform_, m)?)?;
    m.add_function(wrap_pyfunction!(_exponential_, m)?)?;
    m.add_function(wrap_pyfunction!(_bernoulli_, m)?)?;
    m.add_function(wrap_pyfunction!(_random_, m)?)
}
