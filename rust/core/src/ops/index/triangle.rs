//! Triangles and diagonals of matrices.

use super::advanced::arange;
use super::arrange::range_from;
use super::mask;
use crate::apply::call;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::layout::{Dims, contiguous_strides, show, wrap_dim};
use crate::ops::expr::t;
use crate::ops::{Bind, Call, OpDef, Outs, cast, elementwise as e, join, reduce, view};
use crate::storage::Device;
use crate::tensor::Tensor;
use smallvec::smallvec;

fn one(t: Result<Tensor>) -> Result<Outs> {
    Ok(smallvec![t?])
}

/// Which elements of a matrix lie on or on one side of a diagonal.
fn side(op: &'static OpDef, rows: usize, cols: usize, diagonal: i64, on: Device) -> Result<Tensor> {
    // Diagonals beyond the corners are all alike.
    let k = diagonal.clamp(-(rows as i64) - 1, (cols as i64).saturating_add(1));
    let down = view::unsqueeze(&range_from(k, rows, on)?, 1)?;
    call(op, &[&arange(cols, on)?, &down], &[])
}

fn triangle(c: &Call, op: &'static OpDef) -> Result<Outs> {
    let x = c.x(0);
    let [.., rows, cols] = *x.shape() else {
        return Err(Error::runtime(format!(
            "input tensor must have at least 2 dimensions, got shape {}",
            show(x.shape())
        )));
    };
    let keep = side(op, rows, cols, c.int(0), x.device())?;
    let zero = cast::full(&[], 0.0, x.dtype(), Device::Cpu)?;
    one(t::select(&keep, x, &zero))
}

pub static TRIL: OpDef = OpDef::composed(
    "tril",
    "input: Tensor, diagonal: int = 0",
    "The elements on and below a diagonal, zeros elsewhere",
    |c| triangle(c, &e::le),
)
.bind(Bind::FUNCTION | Bind::METHOD | Bind::INPLACE);

pub static TRIU: OpDef = OpDef::composed(
    "triu",
    "input: Tensor, diagonal: int = 0",
    "The elements on and above a diagonal, zeros elsewhere",
    |c| triangle(c, &e::ge),
)
.bind(Bind::FUNCTION | Bind::METHOD | Bind::INPLACE);

const INDICES: &str =
    "row: int, col: int, offset: int = 0, *, dtype: dtype = int64, device: device? = None";

fn indices(c: &Call, op: &'static OpDef) -> Result<Outs> {
    let (rows, cols) = (c.int(0), c.int(1));
    if rows < 0 || cols < 0 {
        return Err(Error::runtime(format!(
            "row and col must be non-negative, got {rows} and {cols}"
        )));
    }
    let (rows, cols) = (rows as usize, cols as usize);
    crate::layout::checked_numel(&[rows, cols])?;
    let on = match c.attr(4) {
        crate::ops::Attr::Device(d) => *d,
        _ => Device::Cpu,
    };
    let flat = mask::positions(&side(op, rows, cols, c.int(2), on)?)?;
    let both = join::stack(&mask::coordinates(&flat, &[rows, cols])?, 0)?;
    one(cast::to(&both, c.dtype(3).unwrap_or(DType::I64)))
}

pub static TRIL_INDICES: OpDef = OpDef::composed(
    "tril_indices",
    INDICES,
    "The rows and columns of the elements on and below a diagonal",
    |c| indices(c, &e::le),
)
.bind(Bind::FUNCTION);

pub static TRIU_INDICES: OpDef = OpDef::composed(
    "triu_indices",
    INDICES,
    "The rows and columns of the elements on and above a diagonal",
    |c| indices(c, &e::ge),
)
.bind(Bind::FUNCTION);

/// Square matrices in the last two dimensions with the input's last dimension on a diagonal.
fn on_diagonal(x: &Tensor, offset: i64) -> Result<Tensor> {
    let rank = x.ndim();
    let size = offset
        .unsigned_abs()
        .try_into()
        .ok()
        .and_then(|k: usize| k.checked_add(x.shape()[rank - 1]))
        .ok_or_else(|| Error::memory("the diagonal is too far out"))?;
    let mut shape = Dims::from_slice(&x.shape()[..rank - 1]);
    shape.extend([size, size]);
    crate::layout::checked_numel(&shape)?;
    let mut strides = contiguous_strides(&shape);
    strides.pop();
    strides[rank - 1] = size + 1;
    let k = offset.unsigned_abs() as usize;
    let start = if offset >= 0 { k } else { k * size };
    if x.numel() == 0 {
        return cast::full(&shape, 0.0, x.dtype(), x.device());
    }
    call(&view::EMBED, &[x], &[(&shape[..]).into(), (&strides[..]).into(), start.into()])
}

pub static DIAG_EMBED: OpDef = OpDef::composed(
    "diag_embed",
    "input: Tensor, offset: int = 0, dim1: int = -2, dim2: int = -1",
    "Matrices of zeros with the last dimension on a diagonal",
    |c| {
        let x = c.x(0);
        if x.ndim() == 0 {
            return Err(Error::runtime("diag_embed expects at least a 1-dimensional tensor"));
        }
        let or = |i: usize, default: i64| c.opt_int(i).unwrap_or(default);
        let rank = x.ndim() + 1;
        let (a, b) = (wrap_dim(or(1, -2), rank)?, wrap_dim(or(2, -1), rank)?);
        if a == b {
            return Err(Error::runtime(format!(
                "diagonal dimensions cannot be identical {a}, {b}"
            )));
        }
        let out = on_diagonal(x, c.int(0))?;
        let (from, to) = ([rank as i64 - 2, rank as i64 - 1], [a as i64, b as i64]);
        one(call(&view::MOVEDIM, &[&out], &[from[..].into(), to[..].into()]))
    },
);

pub static DIAG: OpDef = OpDef::composed(
    "diag",
    "input: Tensor, diagonal: int = 0",
    "The diagonal of a matrix, or the matrix with a vector on its diagonal",
    |c| match c.x(0).ndim() {
        1 => one(on_diagonal(c.x(0), c.int(0))),
        2 => {
            let attrs = [c.int(0).into(), 0i64.into(), 1i64.into()];
            one(cast::copy(&call(&view::DIAGONAL, &[c.x(0)], &attrs)?))
        }
        n => Err(Error::runtime(format!("supports 1D or 2D tensors, got {n}D"))),
    },
);

pub static TRACE: OpDef =
    OpDef::composed("trace", "input: Tensor", "The sum of a matrix's diagonal", |c| {
        if c.x(0).ndim() != 2 {
            return Err(Error::runtime(format!(
                "trace: expected a matrix, got shape {}",
                show(c.x(0).shape())
            )));
        }
        let attrs = [0i64.into(), 0i64.into(), 1i64.into()];
        let diagonal = call(&view::DIAGONAL, &[c.x(0)], &attrs)?;
        one(call(&reduce::SUM, &[&diagonal], &[]))
    });
