//! Reductions. Each has the arguments `dim` (one, several, or all), `keepdim` and, where sums grow, `dtype`.

use super::expr::t;
use super::{Call, OpDef, Outs, Spec, Specs, cast, view};
use crate::apply::call;
use crate::autograd::Vjp;
use crate::cpu::reduce::{self, Fold, FoldOp, fold};
use crate::dtype::{Compute, DType, Flag};
use crate::error::{Error, Result};
use crate::layout::{Dims, numel, wrap_dims};
use crate::tensor::{Number, Tensor};
use smallvec::smallvec;

pub static OPS: &[&OpDef] = &[
    &SUM,
    &PROD,
    &AMAX,
    &AMIN,
    &ANY,
    &ALL,
    &ARGMAX,
    &ARGMIN,
    &MEAN,
    &VAR,
    &STD,
    &LOGSUMEXP,
    &NORM,
    &COUNT_NONZERO,
];

const DIMS: &str = "input: Tensor, dim: int[]? = None, keepdim: bool = False";
const DIMS_DTYPE: &str =
    "input: Tensor, dim: int[]? = None, keepdim: bool = False, *, dtype: dtype? = None";

pub struct Add;
pub struct Mul;
pub struct Max;
pub struct Min;
pub struct Or;
pub struct And;

macro_rules! folds {
    ($($op:ident, $t:ty, $init:expr, |$a:ident, $b:ident| $e:expr;)*) => {$(
        impl FoldOp<$t> for $op {
            const INIT: $t = $init;
            #[inline(always)]
            fn combine($a: $t, $b: $t) -> $t { $e }
        }
    )*};
}
folds! {
    Add, f32, 0.0, |a, b| a + b;
    Add, f64, 0.0, |a, b| a + b;
    Add, i64, 0, |a, b| a.wrapping_add(b);
    Add, u64, 0, |a, b| a.wrapping_add(b);
    Mul, f32, 1.0, |a, b| a * b;
    Mul, f64, 1.0, |a, b| a * b;
    Mul, i64, 1, |a, b| a.wrapping_mul(b);
    Mul, u64, 1, |a, b| a.wrapping_mul(b);
    // A NaN in either place stays.
    Max, f32, f32::NEG_INFINITY, |a, b| if a > b || a.is_nan() { a } else { b };
    Max, f64, f64::NEG_INFINITY, |a, b| if a > b || a.is_nan() { a } else { b };
    Max, i64, i64::MIN, |a, b| if a > b { a } else { b };
    Max, u64, 0, |a, b| if a > b { a } else { b };
    Min, f32, f32::INFINITY, |a, b| if a < b || a.is_nan() { a } else { b };
    Min, f64, f64::INFINITY, |a, b| if a < b || a.is_nan() { a } else { b };
    Min, i64, i64::MAX, |a, b| if a < b { a } else { b };
    Min, u64, u64::MAX, |a, b| if a < b { a } else { b };
    Or, Flag, Flag::new(false), |a, b| a | b;
    And, Flag, Flag::new(true), |a, b| a & b;
}

fn numeric<F: FoldOp<f32> + FoldOp<f64> + FoldOp<i64> + FoldOp<u64>>(c: Compute) -> Fold {
    match c {
        Compute::F32 => fold::<f32, F>(),
        Compute::F64 => fold::<f64, F>(),
        Compute::U64 => fold::<u64, F>(),
        Compute::I64 | Compute::Bool => fold::<i64, F>(),
    }
}

/// The shape after `dims` were reduced.
pub fn reduced_shape(shape: &[usize], dims: &[usize], keepdim: bool) -> Dims {
    shape
        .iter()
        .enumerate()
        .filter(|(d, _)| keepdim || !dims.contains(d))
        .map(|(d, &n)| if dims.contains(&d) { 1 } else { n })
        .collect()
}

fn dims_of(c: &Call) -> Result<Dims> {
    wrap_dims(c.ints(0), c.x(0).ndim())
}

fn infer(c: &Call, dtype: DType) -> Result<Specs> {
    Ok(smallvec![Spec::new(&reduced_shape(c.x(0).shape(), &dims_of(c)?, c.flag(1)), dtype)])
}

/// Sums and products of small integers are int64, as in PyTorch.
fn sum_dtype(c: &Call) -> DType {
    let d = c.x(0).dtype();
    c.dtype(2).unwrap_or(if d.is_float() || d == DType::U64 { d } else { DType::I64 })
}

fn same_dtype(c: &Call) -> Result<Specs> {
    let x = c.x(0);
    if dims_of(c)?.iter().map(|&d| x.shape()[d]).product::<usize>() == 0 {
        return Err(Error::index(format!(
            "it has no identity: specify a dim whose size is not 0, got shape {}",
            crate::layout::show(x.shape())
        )));
    }
    infer(c, x.dtype())
}

fn run(c: &Call, outs: &[Tensor], compute: Compute, f: Fold) -> Result<()> {
    reduce::reduce(c.x(0), &dims_of(c)?, &outs[0], compute, f)
}

/// The type sums are made in: that of the wider of input and result.
fn sum_compute(c: &Call, out: &Tensor) -> Compute {
    let x = c.x(0).dtype();
    match (x.compute(), out.dtype().compute()) {
        (Compute::F64, _) | (_, Compute::F64) => Compute::F64,
        (Compute::F32, _) | (_, Compute::F32) => Compute::F32,
        (_, o) => o,
    }
}

/// A gradient of the reduced shape, stretched over the input again.
fn spread(g: &Tensor, v: &Vjp) -> Result<Tensor> {
    let c = v.call();
    let dims = wrap_dims(c.ints(0), v.shape(0).len())?;
    let g = view::reshape(g, &reduced_shape(v.shape(0), &dims, true))?;
    view::expand(&g, v.shape(0))
}

pub static SUM: OpDef = OpDef::kernel(
    "sum",
    DIMS_DTYPE,
    "The sum over dimensions",
    |c| infer(c, sum_dtype(c)),
    |c, o| {
        let compute = sum_compute(c, &o[0]);
        run(c, o, compute, numeric::<Add>(compute))
    },
)
.gpu(|c, o| crate::gpu::reduce::run(c.x(0), &dims_of(c)?, &o[0], "add"))
.vjp(|v| Vjp::only(spread(&v.g(0)?, v)), 0, 0);

pub static PROD: OpDef = OpDef::kernel(
    "prod",
    DIMS_DTYPE,
    "The product over dimensions",
    |c| infer(c, sum_dtype(c)),
    |c, o| {
        let compute = sum_compute(c, &o[0]);
        run(c, o, compute, numeric::<Mul>(compute))
    },
)
.gpu(|c, o| crate::gpu::reduce::run(c.x(0), &dims_of(c)?, &o[0], "mul"))
.vjp(
    |v| {
        // The product of the others: where one factor is zero, only that one has a gradient.
        let (g, c) = (v.g(0)?, v.call());
        let x = &cast::to(v.x(0), g.dtype())?;
        let dims: Vec<i64> = wrap_dims(c.ints(0), x.ndim())?.iter().map(|&d| d as i64).collect();
        let zero = call(&super::elementwise::logical_not, &[x], &[])?;
        let one = Tensor::number(Number::Float(1.0))?;
        let nothing = Tensor::number(Number::Float(0.0))?;
        let safe = t::select(&zero, &one, x)?;
        let keep = |op: &'static OpDef, x: &Tensor| call(op, &[x], &[dims[..].into(), true.into()]);
        let others = keep(&PROD, &safe)?;
        let zeros = keep(&SUM, &zero)?;
        let count = |n: i64| t::eq(&zeros, &Tensor::number(Number::Int(n))?);
        let at_zero = t::select(&count(1)?, &others, &nothing)?;
        let elsewhere = t::select(&count(0)?, &t::div(&others, &safe)?, &nothing)?;
        let d = t::select(&zero, &at_zero, &elsewhere)?;
        Vjp::only(t::mul(&spread(&g, v)?, &d))
    },
    1,
    0,
)
.composite(|c| {
    // Halves multiplied with each other: zeros need no care, whatever the order of the derivative.
    let x = cast::to(c.x(0), sum_dtype(c))?;
    let dims = wrap_dims(c.ints(0), x.ndim())?;
    let mut y = x;
    for &d in &dims {
        while y.shape()[d] != 1 {
            let n = y.shape()[d];
            y = if n == 0 {
                let mut shape = y.dims();
                shape[d] = 1;
                cast::full(&shape, 1.0, y.dtype(), y.device())?
            } else {
                let half = n / 2;
                let product =
                    t::mul(&view::narrow(&y, d, 0, half)?, &view::narrow(&y, d, half, half)?)?;
                if n % 2 == 0 {
                    product
                } else {
                    super::join::cat(&[product, view::narrow(&y, d, n - 1, 1)?], d)?
                }
            };
        }
    }
    let shape = reduced_shape(c.x(0).shape(), &dims, c.flag(1));
    one(view::reshape(&y, &shape))
});

/// The gradient is shared evenly among equal extremes; a NaN is one, and equal to any other.
fn extreme_vjp(v: &Vjp) -> Result<crate::autograd::Grads> {
    let (x, y) = (v.x(0), spread(v.y(0), v)?);
    let c = v.call();
    let hit = call(&super::elementwise::eq_or_nan, &[x, &y], &[])?;
    // Counted in float32 for half types, which hold few whole numbers.
    let attrs = [c.attr(0).clone(), true.into(), x.dtype().compute().native().into()];
    let ties = call(&SUM, &[&hit], &attrs)?;
    let share = t::div(&spread(&v.g(0)?, v)?, &ties)?;
    Vjp::only(t::select(&hit, &share, &Tensor::number(Number::Float(0.0))?))
}

pub static AMAX: OpDef = OpDef::kernel(
    "amax",
    DIMS,
    "The largest over dimensions; NaN if there is one",
    same_dtype,
    |c, o| {
        let compute = c.x(0).dtype().compute();
        run(c, o, compute, numeric::<Max>(compute))
    },
)
.gpu(|c, o| crate::gpu::reduce::run(c.x(0), &dims_of(c)?, &o[0], "max"))
.vjp(extreme_vjp, 1, 1);

pub static AMIN: OpDef = OpDef::kernel(
    "amin",
    DIMS,
    "The smallest over dimensions; NaN if there is one",
    same_dtype,
    |c, o| {
        let compute = c.x(0).dtype().compute();
        run(c, o, compute, numeric::<Min>(compute))
    },
)
.gpu(|c, o| crate::gpu::reduce::run(c.x(0), &dims_of(c)?, &o[0], "min"))
.vjp(extreme_vjp, 1, 1);

pub static ANY: OpDef = OpDef::kernel(
    "any",
    DIMS,
    "Whether any element is non-zero",
    |c| infer(c, DType::Bool),
    |c, o| run(c, o, Compute::Bool, fold::<Flag, Or>()),
)
.gpu(|c, o| crate::gpu::reduce::run(c.x(0), &dims_of(c)?, &o[0], "any"))
.no_grad("the result is bool");

pub static ALL: OpDef = OpDef::kernel(
    "all",
    DIMS,
    "Whether all elements are non-zero",
    |c| infer(c, DType::Bool),
    |c, o| run(c, o, Compute::Bool, fold::<Flag, And>()),
)
.gpu(|c, o| crate::gpu::reduce::run(c.x(0), &dims_of(c)?, &o[0], "all"))
.no_grad("the result is bool");

const ONE_DIM: &str = "input: Tensor, dim: int? = None, keepdim: bool = False";

fn arg_infer(c: &Call) -> Result<Specs> {
    let mut specs = same_dtype(c)?;
    specs[0].dtype = DType::I64;
    Ok(specs)
}

pub static ARGMAX: OpDef = OpDef::kernel(
    "argmax",
    ONE_DIM,
    "The index of the first largest element",
    arg_infer,
    |c, o| arg_extreme(c, &o[0], &AMAX),
)
.gpu(|c, o| crate::gpu::reduce::arg(c.x(0), &dims_of(c)?, &o[0], "max"))
.no_grad("the result is an index");

pub static ARGMIN: OpDef = OpDef::kernel(
    "argmin",
    ONE_DIM,
    "The index of the first smallest element",
    arg_infer,
    |c, o| arg_extreme(c, &o[0], &AMIN),
)
.gpu(|c, o| crate::gpu::reduce::arg(c.x(0), &dims_of(c)?, &o[0], "min"))
.no_grad("the result is an index");

/// First the extreme itself, then the first place that has it (or is NaN when it is).
fn arg_extreme(c: &Call, out: &Tensor, extreme: &'static OpDef) -> Result<()> {
    let _mode = crate::autograd::NoGrad::new();
    let x = c.x(0);
    let dims = dims_of(c)?;
    let best = call(extreme, &[x], &[c.attr(0).clone(), false.into()])?;
    let kept: Dims =
        (0..x.ndim()).filter(|d| !dims.contains(d)).chain(dims.iter().copied()).collect();
    let rows = cast::contiguous(&x.alias(x.layout().permute(&kept)))?;
    let n: usize = dims.iter().map(|&d| x.shape()[d]).product();
    let count = best.numel();
    let to = out.ptr::<i64>() as usize;
    crate::with_dtype!(x.dtype(), T => {
        let (from, want) = (rows.ptr::<T>() as usize, best.ptr::<T>() as usize);
        crate::cpu::threads::for_range(count, (crate::cpu::map::GRAIN / n.max(1)).max(1), &|range| {
            for i in range {
                // SAFETY: `rows` has count * n elements, the others count.
                unsafe {
                    let row = (from as *const T).add(i * n);
                    let best = *(want as *const T).add(i);
                    #[allow(clippy::eq_op)]
                    let hit = |v: T| v == best || (best != best && v != v);
                    let found = (0..n).find(|&k| hit(*row.add(k)));
                    *(to as *mut i64).add(i) = found.unwrap_or(0) as i64;
                }
            }
        });
    });
    Ok(())
}

fn need_float(x: &Tensor) -> Result<()> {
    if x.dtype().is_float() {
        return Ok(());
    }
    Err(Error::runtime(format!("input dtype must be floating point, got {}", x.dtype().name()))
        .hint("cast it first: x.float()"))
}

fn one(t: Result<Tensor>) -> Result<Outs> {
    Ok(smallvec![t?])
}

fn count(x: &Tensor, dims: &[usize]) -> usize {
    numel(&dims.iter().map(|&d| x.shape()[d]).collect::<Dims>())
}

pub static MEAN: OpDef = OpDef::composed("mean", DIMS_DTYPE, "The mean over dimensions", |c| {
    let x = c.dtype(2).map_or_else(|| Ok(c.x(0).clone()), |d| cast::to(c.x(0), d))?;
    need_float(&x)?;
    let n = count(&x, &dims_of(c)?) as f64;
    // The sum of half numbers may leave their range where the mean does not.
    let wide = if x.dtype().size() == 2 { DType::F32 } else { x.dtype() };
    let s = call(&SUM, &[&x], &[c.attr(0).clone(), c.attr(1).clone(), wide.into()])?;
    one(cast::to(&t::div(&s, &Tensor::number(Number::Float(n))?)?, x.dtype()))
});

pub static VAR: OpDef = OpDef::kernel(
    "var",
    "input: Tensor, dim: int[]? = None, *, correction: Number = 1, keepdim: bool = False",
    "The variance over dimensions: sum((x - mean)^2) / (n - correction)",
    |c| {
        let x = c.x(0);
        need_float(x)?;
        let shape = reduced_shape(x.shape(), &dims_of(c)?, c.flag(2));
        Ok(smallvec![Spec::new(&shape, x.dtype())])
    },
    variance,
)
.gpu(variance)
.vjp(
    |v| {
        // 2 (x - mean) / (n - correction). Through the mean flows nothing, unless inf - inf is made of it.
        let (d, free) = deviations(&v.call())?;
        let d = t::div(&d, &Tensor::number(Number::Float(free / 2.0))?)?;
        Vjp::only(t::mul(&spread(&v.g(0)?, v)?, &d))
    },
    1,
    0,
);

fn variance(c: &Call, outs: &[Tensor]) -> Result<()> {
    let _mode = crate::autograd::NoGrad::new();
    let (d, free) = deviations(c)?;
    let squares = call(&super::elementwise::square, &[&d], &[])?;
    let total = call(&SUM, &[&squares], &[c.attr(0).clone(), c.attr(2).clone()])?;
    cast::raw_copy(&t::div(&total, &Tensor::number(Number::Float(free))?)?, &outs[0])
}

/// x - mean and n - correction. Half types are computed in float32: their squares would lose half of their few digits.
fn deviations(c: &Call) -> Result<(Tensor, f64)> {
    let x = &cast::to(c.x(0), c.x(0).dtype().compute().native())?;
    let n = count(x, &dims_of(c)?) as f64;
    let keep = [c.attr(0).clone(), true.into()];
    let mean = t::div(&call(&SUM, &[x], &keep)?, &Tensor::number(Number::Float(n))?)?;
    Ok((t::sub(x, &mean)?, (n - c.float(1)).max(0.0)))
}

/// `f(s)`, but where `s` is 0 the constant `at_zero`: its gradient is 0 there instead of 0 * inf.
fn away_from_zero(
    s: &Tensor,
    at_zero: f64,
    f: impl FnOnce(&Tensor) -> Result<Tensor>,
) -> Result<Tensor> {
    let zero = call(&super::elementwise::logical_not, &[s], &[])?;
    let safe = t::select(&zero, &Tensor::number(Number::Float(1.0))?, s)?;
    t::select(&zero, &Tensor::number(Number::Float(at_zero))?, &f(&safe)?)
}

fn safe_sqrt(s: &Tensor) -> Result<Tensor> {
    away_from_zero(s, 0.0, |s| call(&super::elementwise::sqrt, &[s], &[]))
}

fn safe_pow(s: &Tensor, p: f64) -> Result<Tensor> {
    let exponent = Tensor::number(Number::Float(p))?;
    away_from_zero(s, 0.0_f64.powf(p), |s| call(&super::elementwise::pow, &[s, &exponent], &[]))
}

pub static STD: OpDef = OpDef::composed(
    "std",
    "input: Tensor, dim: int[]? = None, *, correction: Number = 1, keepdim: bool = False",
    "The square root of the variance",
    |c| {
        let x = c.x(0);
        need_float(x)?;
        let wide = cast::to(x, x.dtype().compute().native())?;
        one(cast::to(&safe_sqrt(&call(&VAR, &[&wide], c.attrs)?)?, x.dtype()))
    },
);

pub static LOGSUMEXP: OpDef = OpDef::composed(
    "logsumexp",
    "input: Tensor, dim: int[], keepdim: bool = False",
    "log(sum(exp(x))) without overflow",
    |c| {
        let x = c.x(0);
        let x = if x.dtype().is_float() { x.clone() } else { cast::to(x, DType::F32)? };
        let keep = [c.attr(0).clone(), true.into()];
        if count(&x, &dims_of(c)?) == 0 {
            let s = call(&SUM, &[&x], &[c.attr(0).clone(), c.attr(1).clone()])?;
            return one(call(&super::elementwise::log, &[&s], &[]));
        }
        let m = call(&AMAX, &[&x.detach()], &keep)?;
        // An infinite maximum would give inf - inf.
        let finite = call(&super::elementwise::isfinite, &[&m], &[])?;
        let m = t::select(&finite, &m, &t::zeros_like(&m)?)?;
        let e = call(&super::elementwise::exp, &[&t::sub(&x, &m)?], &[])?;
        let s = call(&SUM, &[&e], &[c.attr(0).clone(), c.attr(1).clone()])?;
        let l = call(&super::elementwise::log, &[&s], &[])?;
        let m = view::reshape(&m, l.shape())?;
        one(t::add(&l, &m))
    },
);

pub static NORM: OpDef = OpDef::composed(
    "vector_norm",
    "input: Tensor, ord: Number = 2, dim: int[]? = None, keepdim: bool = False",
    "The p-norm (sum |x|^p)^(1/p); the largest or smallest |x| for p = inf, -inf; the non-zeros for 0",
    |c| {
        use super::elementwise as e;
        need_float(c.x(0))?;
        // Squares of half numbers leave their range soon.
        let dtype = c.x(0).dtype();
        let x = &cast::to(c.x(0), if dtype.size() == 2 { DType::F32 } else { dtype })?;
        let p = c.opt_float(0).unwrap_or(2.0);
        let attrs = [c.attr(1).clone(), c.attr(2).clone()];
        let over = |op: &'static OpDef, x: &Tensor| call(op, &[x], &attrs);
        let abs = || call(&e::abs, &[x], &[]);
        let norm = if p == 2.0 {
            safe_sqrt(&over(&SUM, &call(&e::square, &[x], &[])?)?)?
        } else if p == f64::INFINITY {
            over(&AMAX, &abs()?)?
        } else if p == f64::NEG_INFINITY {
            over(&AMIN, &abs()?)?
        } else if p == 0.0 {
            // Of the zeros the sign, so that the result has a gradient (it is 0).
            let one = Tensor::number(Number::Float(1.0))?;
            let a = abs()?;
            let zero = call(&e::logical_not, &[&a], &[])?;
            over(&SUM, &t::select(&zero, &call(&e::sign, &[&a], &[])?, &one)?)?
        } else if p == 1.0 {
            over(&SUM, &abs()?)?
        } else {
            safe_pow(&over(&SUM, &safe_pow(&abs()?, p)?)?, 1.0 / p)?
        };
        one(cast::to(&norm, dtype))
    },
);

pub static COUNT_NONZERO: OpDef = OpDef::composed(
    "count_nonzero",
    "input: Tensor, dim: int[]? = None",
    "How many elements are not zero",
    |c| {
        let zero = Tensor::number(Number::Int(0))?;
        let hit = call(&super::elementwise::ne, &[c.x(0), &zero], &[])?;
        one(call(&SUM, &[&hit], &[c.attr(0).clone()]))
    },
);
