//! Advanced indexing on tensors: reading, writing, and the adjoint of reading. Python's `x[...]` is
//! parsed in `advanced.rs` and ends here.

use super::cpu::{self, Combine, Pick, Target, combining};
use super::gpu;
use super::plan::{Plan, Walk, dense};
use crate::apply::{apply, call};
use crate::autograd::{Grads, Vjp};
use crate::error::{Error, Result};
use crate::layout::{Dims, Layout, show};
use crate::ops::{Attr, Call, OpDef, Spec, cast};
use crate::tensor::Tensor;
use smallvec::smallvec;

/// `wrap`: negative indices count from the end. `checked`: they were checked before, so that the GPU
/// need not be waited for.
pub static INDEX: OpDef = OpDef::kernel(
    "index",
    "tensors: Tensor[], dims: int[], wrap: bool = True, checked: bool = False",
    "The elements of the first tensor that the others name along dims",
    |c| {
        let plan = plan(c.x(0).shape(), c.ints(0), &indices(c, 1))?;
        Ok(smallvec![Spec::new(&plan.shape(c.x(0).shape()), c.x(0).dtype())])
    },
    |c, o| {
        let (x, list) = (c.x(0), indices(c, 1));
        let plan = plan(x.shape(), c.ints(0), &list)?;
        let offsets = offsets(x.layout(), &plan, &list, c.flag(1))?;
        let (pre, post) = (Walk::of(x.layout(), &plan.pre), Walk::of(x.layout(), &plan.post));
        cpu::take(x, offsets.list(), &pre, &post, &o[0]);
        Ok(())
    },
)
.gpu(|c, o| {
    let (x, list) = (c.x(0), indices(c, 1));
    let plan = plan(x.shape(), c.ints(0), &list)?;
    gpu::take(x, &plan, &list, c.flag(1), c.flag(2), &o[0])
})
.vjp(
    |v| {
        let attrs = [v.shape(0).into(), v.attrs[0].clone(), v.call().flag(1).into(), true.into()];
        let g = spread(&v.g(0)?, &saved(v, 1), &attrs)?;
        Ok(first(v, smallvec![Some(g)]))
    },
    !1,
    0,
)
.private();

/// The adjoint of `index`.
pub static INDEX_SPREAD: OpDef = OpDef::kernel(
    "index_spread",
    "tensors: Tensor[], size: int[], dims: int[], wrap: bool = True, checked: bool = False",
    "Zeros of a size, with the first tensor added where the others point",
    |c| {
        let size: Dims = c.ints(0).iter().map(|&n| n.max(0) as usize).collect();
        let plan = plan(&size, c.ints(1), &indices(c, 1))?;
        check_values(c.x(0), &plan.shape(&size))?;
        Ok(smallvec![Spec::new(&size, c.x(0).dtype())])
    },
    |c, o| {
        let plan = plan(o[0].shape(), c.ints(1), &indices(c, 1))?;
        put_new(None, c.x(0), &indices(c, 1), &plan, c.flag(2), Combine::Add, &o[0])
    },
)
.gpu(|c, o| {
    let plan = plan(o[0].shape(), c.ints(1), &indices(c, 1))?;
    gpu::put(None, c.x(0), &indices(c, 1), &plan, (c.flag(2), c.flag(3)), Combine::Add, &o[0])
})
.vjp(
    |v| {
        let attrs = [v.attrs[1].clone(), v.call().flag(2).into(), true.into()];
        Ok(first(v, smallvec![Some(read(&v.g(0)?, &saved(v, 1), &attrs)?)]))
    },
    !1,
    0,
)
.public("index")
.private();

pub static INDEX_PUT: OpDef = OpDef::kernel(
    "index_write",
    "tensors: Tensor[], dims: int[], reduce: str = 'set', wrap: bool = True, checked: bool = False",
    "A copy of the first tensor with the second written where the others point; 'sum' adds instead",
    |c| {
        let (x, values) = (c.x(0), c.x(1));
        let plan = plan(x.shape(), c.ints(0), &indices(c, 2))?;
        check_values(values, &plan.shape(x.shape()))?;
        if !matches!(c.str(1), "set" | "sum") {
            return Err(Error::value(format!("reduce must be 'set' or 'sum', got {:?}", c.str(1))));
        }
        if x.dtype() != values.dtype() {
            return Err(Error::runtime(format!(
                "source and destination dtypes must match, got {} and {}",
                values.dtype().name(),
                x.dtype().name()
            ))
            .hint("cast the values to the dtype of the destination first"));
        }
        Ok(smallvec![Spec::like(x)])
    },
    |c, o| {
        let plan = plan(o[0].shape(), c.ints(0), &indices(c, 2))?;
        let how = Combine::parse(c.str(1))?;
        put_new(Some(c.x(0)), c.x(1), &indices(c, 2), &plan, c.flag(2), how, &o[0])
    },
)
.gpu(|c, o| {
    let plan = plan(o[0].shape(), c.ints(0), &indices(c, 2))?;
    let how = Combine::parse(c.str(1))?;
    let flags = (c.flag(2), c.flag(3));
    gpu::put(Some(c.x(0)), c.x(1), &indices(c, 2), &plan, flags, how, &o[0])
})
.vjp(
    |v| {
        let c = v.call();
        let list = saved(v, 2);
        let g = v.g(0)?;
        let gx = if c.str(1) == "sum" {
            Some(g.clone())
        } else if v.needs(0) {
            let zero = cast::full(&[], 0.0, g.dtype(), g.device())?;
            let attrs = [v.attrs[0].clone(), "set".into(), c.flag(2).into(), true.into()];
            Some(write(&g, &zero, &list, &attrs)?)
        } else {
            None
        };
        let gv = if v.needs(1) {
            let shape = v.shape(1).to_vec();
            let all = read(&g, &list, &[v.attrs[0].clone(), c.flag(2).into(), true.into()])?;
            Some(cast::sum_to(&all, &shape)?)
        } else {
            None
        };
        Ok(first(v, smallvec![gx, gv]))
    },
    !3,
    0,
)
.public("index_put_")
.private();

fn plan(shape: &[usize], dims: &[i64], indices: &[&Tensor]) -> Result<Plan> {
    Plan::new(shape, dims, indices)
}

fn indices<'a>(c: &Call<'a>, from: usize) -> Vec<&'a Tensor> {
    c.tensors().skip(from).collect()
}

fn saved(v: &Vjp, from: usize) -> Vec<Tensor> {
    (from..v.inputs.len()).map(|i| v.x(i).clone()).collect()
}

/// Gradients for the first inputs; the indices have none.
fn first(v: &Vjp, mut grads: Grads) -> Grads {
    grads.resize(v.inputs.len(), None);
    grads
}

fn check_values(values: &Tensor, shape: &[usize]) -> Result<()> {
    values.layout().expand(shape).map(|_| ()).map_err(|_| {
        Error::shape(format!(
            "values of shape {} cannot be broadcast to the indexed shape {}",
            show(values.shape()),
            show(shape)
        ))
    })
}

fn offsets(l: &Layout, plan: &Plan, list: &[&Tensor], wrap: bool) -> Result<cpu::Offsets> {
    let indices = plan.spread(list)?;
    let picks: Vec<Pick> = indices
        .iter()
        .zip(&plan.dims)
        .map(|(index, &dim)| Pick { index, dim, size: l.shape[dim], stride: l.strides[dim] })
        .collect();
    cpu::offsets(None, &picks, wrap)
}

/// The values in the shape of the selection, picks in front, dense.
pub(super) fn arranged(
    values: &Tensor,
    shape: &[usize],
    plan: &Plan,
    how: Combine,
) -> Result<Tensor> {
    let wide = values.layout().expand(shape)?.permute(&plan.picks_first());
    dense(&values.alias(wide), combining(values.dtype(), how))
}

fn put_new(
    base: Option<&Tensor>,
    values: &Tensor,
    list: &[&Tensor],
    plan: &Plan,
    wrap: bool,
    how: Combine,
    out: &Tensor,
) -> Result<()> {
    let wide = combining(out.dtype(), how);
    let work = if wide == out.dtype() {
        out.clone()
    } else {
        Tensor::empty(out.shape(), wide, out.device())?
    };
    match base {
        Some(x) => cast::raw_copy(x, &work)?,
        None => cast::fill(&work, &Tensor::scalar(0.0, wide)?)?,
    }
    put_into(&work, values, list, plan, wrap, how)?;
    if !work.same_storage(out) {
        cast::raw_copy(&work, out)?;
    }
    Ok(())
}

/// Writes the values into the memory of `dst`, without history.
pub(super) fn put_into(
    dst: &Tensor,
    values: &Tensor,
    list: &[&Tensor],
    plan: &Plan,
    wrap: bool,
    how: Combine,
) -> Result<()> {
    let l = dst.layout();
    let offsets = offsets(l, plan, list, wrap)?;
    let src = arranged(values, &plan.shape(&l.shape), plan, how)?;
    let dims: Dims = plan.pre.iter().chain(&plan.post).copied().collect();
    let rest = Walk::of(l, &dims);
    cpu::put(&Target { dst, offsets: offsets.list(), rest: &rest, blocks: 1 }, &src, how);
    Ok(())
}

fn with(heads: &[&Tensor], list: &[Tensor]) -> Vec<Option<Tensor>> {
    heads.iter().map(|&t| t.clone()).chain(list.iter().cloned()).map(Some).collect()
}

/// `x` at the indices; attrs: dims, wrap, checked.
pub fn read(x: &Tensor, list: &[Tensor], attrs: &[Attr]) -> Result<Tensor> {
    Ok(apply(&INDEX, &with(&[x], list), attrs)?.swap_remove(0))
}

/// attrs: size, dims, wrap, checked.
fn spread(g: &Tensor, list: &[Tensor], attrs: &[Attr]) -> Result<Tensor> {
    Ok(apply(&INDEX_SPREAD, &with(&[g], list), attrs)?.swap_remove(0))
}

/// attrs: dims, reduce, wrap, checked.
pub fn write(x: &Tensor, values: &Tensor, list: &[Tensor], attrs: &[Attr]) -> Result<Tensor> {
    Ok(apply(&INDEX_PUT, &with(&[x, values], list), attrs)?.swap_remove(0))
}

/// `x` at one list of indices of one dimension.
pub fn read_dim(x: &Tensor, dim: usize, index: &Tensor, wrap: bool) -> Result<Tensor> {
    read(x, std::slice::from_ref(index), &[Attr::Ints(smallvec![dim as i64]), wrap.into()])
}

/// `x` at positions of one dimension that are known to be inside.
pub fn read_known(x: &Tensor, dim: usize, at: &[i64]) -> Result<Tensor> {
    read_at(x, dim, &cast::to_device(&Tensor::from_slice(at, &[at.len()])?, x.device())?)
}

/// As `read_known`, with the positions on the device of `x`.
pub(super) fn read_at(x: &Tensor, dim: usize, at: &Tensor) -> Result<Tensor> {
    call(&INDEX, &[x, at], &[Attr::Ints(smallvec![dim as i64]), false.into(), true.into()])
}
