//! The ops: `matmul` and `linear` have kernels, the others are these under stricter shapes.

use super::{cpu, gpu, product};
use crate::apply::call;
use crate::autograd::{Grads, Vjp};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::layout::show;
use crate::ops::expr::t;
use crate::ops::reduce::SUM;
use crate::ops::{Attr, Bind, Call, OpDef, Outs, Spec, Specs, cast, view};
use crate::tensor::{Number, Tensor};
use smallvec::smallvec;

pub static OPS: &[&OpDef] =
    &[&MATMUL, &LINEAR, &MM, &BMM, &MV, &DOT, &OUTER, &ADDMM, &ADDMV, &BADDBMM];

const PAIR: &str = "input: Tensor, other: Tensor";
const INPLACE: u8 = Bind::FUNCTION | Bind::METHOD | Bind::INPLACE;

pub static MATMUL: OpDef = OpDef::kernel(
    "matmul",
    PAIR,
    "The matrix product; vectors are a row or a column, leading dimensions are broadcast",
    |c| {
        let dtype = same_dtype(c)?;
        Ok(smallvec![Spec::new(&product::shape(c.x(0).shape(), c.x(1).shape())?, dtype)])
    },
    cpu::matmul,
)
.gpu(gpu::matmul)
.vjp(matmul_vjp, 0b11, 0)
.ulp(64.0);

pub static LINEAR: OpDef = OpDef::kernel(
    "linear",
    "input: Tensor, weight: Tensor, bias: Tensor? = None",
    "x W^T + b over the last dimension",
    linear_infer,
    cpu::linear,
)
.gpu(gpu::linear)
.vjp(linear_vjp, 0b11, 0)
.private()
.ulp(64.0);

pub static MM: OpDef =
    OpDef::composed("mm", "input: Tensor, mat2: Tensor", "The product of two matrices", |c| {
        strict(c, 0, [2, 2], ["input", "mat2"])?;
        one(matmul(c.x(0), c.x(1)))
    })
    .ulp(64.0);

pub static BMM: OpDef = OpDef::composed(
    "bmm",
    "input: Tensor, mat2: Tensor",
    "The products of two stacks of matrices, without broadcasting",
    |c| {
        strict(c, 0, [3, 3], ["input", "mat2"])?;
        same_batch(c.x(0), c.x(1))?;
        one(matmul(c.x(0), c.x(1)))
    },
)
.ulp(64.0);

pub static MV: OpDef =
    OpDef::composed("mv", "input: Tensor, vec: Tensor", "A matrix times a vector", |c| {
        strict(c, 0, [2, 1], ["input", "vec"])?;
        one(matmul(c.x(0), c.x(1)))
    })
    .ulp(64.0);

pub static DOT: OpDef = OpDef::composed(
    "dot",
    "input: Tensor, tensor: Tensor",
    "The dot product of two vectors",
    |c| {
        strict(c, 0, [1, 1], ["input", "tensor"])?;
        one(matmul(c.x(0), c.x(1)))
    },
)
.ulp(64.0);

pub static OUTER: OpDef = OpDef::composed(
    "outer",
    "input: Tensor, vec2: Tensor",
    "All products of an element of one vector with one of another",
    |c| {
        strict(c, 0, [1, 1], ["input", "vec2"])?;
        one(t::mul(&view::unsqueeze(c.x(0), 1)?, c.x(1)))
    },
);

pub static ADDMM: OpDef = OpDef::composed(
    "addmm",
    "input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: Number = 1, alpha: Number = 1",
    "beta * input + alpha * (mat1 @ mat2)",
    |c| {
        strict(c, 1, [2, 2], ["mat1", "mat2"])?;
        let (x, a, b) = (c.x(0), c.x(1), c.x(2));
        let plain = c.float(0) == 1.0 && c.float(1) == 1.0;
        if plain && x.ndim() == 1 && x.shape() == &b.shape()[1..] && x.dtype() == a.dtype() {
            return one(call(&LINEAR, &[a, &view::transpose(b, 0, 1)?, x], &[]));
        }
        blend(c)
    },
)
.bind(INPLACE)
.ulp(64.0);

pub static ADDMV: OpDef = OpDef::composed(
    "addmv",
    "input: Tensor, mat: Tensor, vec: Tensor, *, beta: Number = 1, alpha: Number = 1",
    "beta * input + alpha * (mat @ vec)",
    |c| {
        strict(c, 1, [2, 1], ["mat", "vec"])?;
        blend(c)
    },
)
.bind(INPLACE)
.ulp(64.0);

pub static BADDBMM: OpDef = OpDef::composed(
    "baddbmm",
    "input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Number = 1, alpha: Number = 1",
    "beta * input + alpha * (batch1 @ batch2) for stacks of matrices",
    |c| {
        strict(c, 1, [3, 3], ["batch1", "batch2"])?;
        same_batch(c.x(1), c.x(2))?;
        blend(c)
    },
)
.bind(INPLACE)
.ulp(64.0);

pub fn matmul(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    call(&MATMUL, &[a, b], &[])
}

fn one(t: Result<Tensor>) -> Result<Outs> {
    Ok(smallvec![t?])
}

/// beta * input + alpha * (a @ b); with beta = 0 the input's values do not matter, not even NaN.
fn blend(c: &Call) -> Result<Outs> {
    let (x, product) = (c.x(0), matmul(c.x(1), c.x(2))?);
    if x.dtype() != product.dtype() {
        return Err(dtypes_differ(x.dtype(), product.dtype()));
    }
    let x = view::expand(x, product.shape())?;
    let scaled = if c.float(1) == 1.0 { product } else { times(&product, c.attr(1))? };
    if c.float(0) == 0.0 {
        if !x.requires_grad() {
            return Ok(smallvec![scaled]);
        }
        // The input stays in the graph, with a gradient of zeros.
        let never = cast::full(&[], 0.0, DType::Bool, x.device())?;
        let nothing = Tensor::number(Number::Float(0.0))?;
        return one(t::add(&t::select(&never, &x, &nothing)?, &scaled));
    }
    let x = if c.float(0) == 1.0 { x } else { times(&x, c.attr(0))? };
    one(t::add(&x, &scaled))
}

fn times(x: &Tensor, by: &Attr) -> Result<Tensor> {
    let by = match *by {
        Attr::Bool(v) => Number::Int(i64::from(v)),
        Attr::Int(v) => Number::Int(v),
        Attr::Float(_) if !x.dtype().is_float() => {
            return Err(Error::runtime("beta and alpha must be integers for integer tensors"));
        }
        Attr::Float(v) => Number::Float(v),
        _ => return Ok(x.clone()),
    };
    t::mul(x, &Tensor::number(by)?)
}

fn strict(c: &Call, first: usize, ndims: [usize; 2], names: [&str; 2]) -> Result<()> {
    for i in 0..2 {
        let x = c.x(first + i);
        if x.ndim() != ndims[i] {
            return Err(Error::shape(format!(
                "{} must be {}-D, got shape {}",
                names[i],
                ndims[i],
                show(x.shape())
            ))
            .hint("matmul takes any number of dimensions"));
        }
    }
    Ok(())
}

fn same_batch(a: &Tensor, b: &Tensor) -> Result<()> {
    if a.shape()[0] != b.shape()[0] {
        return Err(Error::shape(format!(
            "the batch sizes of {} and {} differ",
            show(a.shape()),
            show(b.shape())
        ))
        .hint("matmul broadcasts them"));
    }
    Ok(())
}

fn dtypes_differ(a: DType, b: DType) -> Error {
    Error::runtime(format!(
        "expected both matrices to have the same dtype, but got {} and {}",
        a.name(),
        b.name()
    ))
    .hint("cast one of them with .to(dtype)")
}

fn same_dtype(c: &Call) -> Result<DType> {
    let mut tensors = c.tensors().map(Tensor::dtype);
    let first = tensors.next().unwrap_or(DType::F32);
    if let Some(other) = tensors.find(|&d| d != first) {
        return Err(dtypes_differ(first, other));
    }
    if first == DType::Bool {
        return Err(
            Error::runtime("it is not defined for bool").hint("cast with .to(rubigo.int64)")
        );
    }
    Ok(first)
}

fn linear_infer(c: &Call) -> Result<Specs> {
    let dtype = same_dtype(c)?;
    let (x, w) = (c.x(0).shape(), c.x(1).shape());
    let fits = x.last().is_some_and(|k| w.last() == Some(k));
    if !fits || w.len() > 2 {
        return Err(Error::shape(format!(
            "input of shape {} does not fit a weight of shape {}: the last dimensions must be equal \
             and the weight (out_features, in_features)",
            show(x),
            show(w)
        ))
        .hint(match (x.last(), w.last()) {
            (Some(have), Some(want)) => format!("the layer takes {want} features, got {have}"),
            _ => "neither may be 0-d".to_string(),
        }));
    }
    let out = &w[..w.len() - 1];
    if let Some(b) = c.opt(2)
        && b.shape() != out
    {
        return Err(Error::shape(format!(
            "bias has shape {}, expected {} for a weight of shape {}",
            show(b.shape()),
            show(out),
            show(w)
        )));
    }
    let mut shape = x[..x.len() - 1].to_vec();
    shape.extend(out);
    Ok(smallvec![Spec::new(&shape, dtype)])
}

/// gA = g B^T and gB = A^T g, summed over what was broadcast.
fn matmul_vjp(v: &Vjp) -> Result<Grads> {
    let (a, b, mut g) = (v.x(0), v.x(1), v.g(0)?);
    // Vectors become matrices, and so does their gradient.
    if b.ndim() == 1 {
        g = view::unsqueeze(&g, g.ndim())?;
    }
    if a.ndim() == 1 {
        g = view::unsqueeze(&g, g.ndim() - 1)?;
    }
    let a2 = if a.ndim() == 1 { view::unsqueeze(a, 0)? } else { a.clone() };
    let b2 = if b.ndim() == 1 { view::unsqueeze(b, 1)? } else { b.clone() };
    let ga = v.needs(0).then(|| {
        let ga = matmul(&g, &view::transpose(&b2, -1, -2)?)?;
        view::reshape(&cast::sum_to(&ga, a2.shape())?, a.shape())
    });
    let gb = v.needs(1).then(|| {
        let gb = if b2.ndim() == 2 {
            rows_product(&a2, &g)?
        } else {
            matmul(&view::transpose(&a2, -1, -2)?, &g)?
        };
        view::reshape(&cast::sum_to(&gb, b2.shape())?, b.shape())
    });
    Ok(smallvec![ga.transpose()?, gb.transpose()?])
}

/// x^T y summed over all leading dimensions: those are rows too.
fn rows_product(x: &Tensor, y: &Tensor) -> Result<Tensor> {
    let flat = |t: &Tensor| {
        let cols = t.shape()[t.ndim() - 1];
        let rows: usize = t.shape()[..t.ndim() - 1].iter().product();
        view::reshape(t, &[rows, cols])
    };
    matmul(&view::transpose(&flat(x)?, 0, 1)?, &flat(y)?)
}

fn linear_vjp(v: &Vjp) -> Result<Grads> {
    let (x, w, g) = (v.x(0), v.x(1), v.g(0)?);
    let vector = w.ndim() == 1;
    let g2 = if vector { view::unsqueeze(&g, g.ndim())? } else { g.clone() };
    let w2 = if vector { view::unsqueeze(w, 0)? } else { w.clone() };
    let gx = v.needs(0).then(|| matmul(&g2, &w2)).transpose()?;
    let gw = v.needs(1).then(|| view::reshape(&rows_product(&g2, x)?, w.shape())).transpose()?;
    let gb = v.needs(2).then(|| {
        let lead: Vec<i64> = (0..x.ndim() as i64 - 1).collect();
        if lead.is_empty() {
            return Ok(g.clone());
        }
        call(&SUM, &[&g], &[lead[..].into(), false.into(), g.dtype().into()])
    });
    Ok(smallvec![gx, gw, gb.transpose()?])
}
