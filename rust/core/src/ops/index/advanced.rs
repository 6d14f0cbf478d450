//! `x[key]` and `x[key] = value` as PyTorch reads keys: integers, slices, None, Ellipsis and bools make
//! views; tensors of integers pick elements; masks stand for the indices of their True elements.

use super::def;
use super::mask;
use super::plan::{self, Plan};
use crate::apply::call;
use crate::autograd;
use crate::cpu::threads;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::layout::{Dims, broadcast, numel, show};
use crate::ops::index::cpu::Combine;
use crate::ops::{Attr, cast, view};
use crate::storage::Device;
use crate::tensor::{Number, Tensor};

#[derive(Clone)]
pub enum Item {
    Int(i64),
    Slice {
        start: Option<i64>,
        end: Option<i64>,
        step: i64,
    },
    None,
    Ellipsis,
    /// Integers or a mask.
    Tensor(Tensor),
    Bool(bool),
}

/// The view that the plain items make, and the dimensions of it that tensors index.
struct Parsed {
    view: Tensor,
    dims: Vec<i64>,
    indices: Vec<Tensor>,
}

impl Parsed {
    fn attrs(&self) -> [Attr; 3] {
        [self.dims[..].into(), true.into(), false.into()]
    }
}

/// 0-d tensors count as the numbers they hold.
fn plain(items: &[Item]) -> Result<Vec<Item>> {
    items
        .iter()
        .map(|item| match item {
            Item::Tensor(t) if t.ndim() == 0 && t.dtype() == DType::Bool => {
                Ok(Item::Bool(t.item()? == Number::Bool(true)))
            }
            Item::Tensor(t) if t.ndim() == 0 && plan::check_dtype(t).is_ok() => {
                Ok(Item::Int(t.to_vec::<i64>()?[0]))
            }
            other => Ok(other.clone()),
        })
        .collect()
}

fn parse(x: &Tensor, items: &[Item]) -> Result<Parsed> {
    let items = plain(items)?;
    let used: usize = items
        .iter()
        .map(|item| match item {
            Item::Int(_) | Item::Slice { .. } => 1,
            Item::Tensor(t) if t.dtype() == DType::Bool => t.ndim(),
            Item::Tensor(_) => 1,
            Item::None | Item::Ellipsis | Item::Bool(_) => 0,
        })
        .sum();
    if used > x.ndim() {
        return Err(Error::index(format!(
            "too many indices for tensor of dimension {} (shape {}): {used} were given",
            x.ndim(),
            show(x.shape())
        )));
    }
    if items.iter().filter(|i| matches!(i, Item::Ellipsis)).count() > 1 {
        return Err(Error::index("an index can only have a single ellipsis ('...')"));
    }
    let mut out = Parsed { view: x.clone(), dims: Vec::new(), indices: Vec::new() };
    // The dimension of the view and of x that the next item is for.
    let (mut dim, mut at) = (0, 0);
    for item in &items {
        match item {
            Item::Int(i) => {
                let n = x.shape()[at] as i64;
                if *i < -n || *i >= n {
                    return Err(Error::index(format!(
                        "index {i} is out of bounds for dimension {at} with size {n}"
                    )));
                }
                out.view = view::select(&out.view, dim, *i)?;
                at += 1;
            }
            Item::Slice { start, end, step } => {
                if *step <= 0 {
                    return Err(Error::value(format!("slice step must be positive, got {step}"))
                        .hint("use .flip(dim) to reverse"));
                }
                if *step != 1 || start.is_some_and(|s| s != 0) || end.is_some() {
                    let attrs = [dim.into(), (*start).into(), (*end).into(), (*step).into()];
                    out.view = call(&view::SLICE, &[&out.view], &attrs)?;
                }
                (dim, at) = (dim + 1, at + 1);
            }
            Item::None => {
                out.view = view::unsqueeze(&out.view, dim)?;
                dim += 1;
            }
            Item::Ellipsis => {
                let skipped = x.ndim() - used;
                (dim, at) = (dim + skipped, at + skipped);
            }
            Item::Bool(b) => {
                out.view = view::unsqueeze(&out.view, dim)?;
                out.dims.push(dim as i64);
                let index: &[i64] = if *b { &[0] } else { &[] };
                out.indices.push(Tensor::from_slice(index, &[index.len()])?);
                dim += 1;
            }
            Item::Tensor(t) if t.dtype() == DType::Bool => {
                masked(&mut out, t, &mut dim, at)?;
                at += t.ndim();
            }
            Item::Tensor(t) => {
                plan::check_dtype(t)?;
                out.dims.push(dim as i64);
                out.indices.push(t.clone());
                (dim, at) = (dim + 1, at + 1);
            }
        }
    }
    for index in &mut out.indices {
        *index = cast::to_device(index, x.device())?;
    }
    Ok(out)
}

/// A mask over the dimensions from `dim`: one index of these merged where the layout allows it,
/// else an index for each.
fn masked(out: &mut Parsed, mask: &Tensor, dim: &mut usize, at: usize) -> Result<()> {
    let k = mask.ndim();
    let shape = out.view.dims();
    if let Some(d) = (0..k).find(|&d| mask.shape()[d] != shape[*dim + d]) {
        return Err(Error::index(format!(
            "the shape of the mask {} at index {d} does not match the shape of the indexed tensor at \
             dimension {}: {} against {}",
            show(mask.shape()),
            at + d,
            mask.shape()[d],
            shape[*dim + d]
        )));
    }
    let mut merged = Dims::from_slice(&shape[..*dim]);
    merged.push(numel(mask.shape()));
    merged.extend_from_slice(&shape[*dim + k..]);
    let joins = k > 1 && out.view.layout().reshape(&merged).is_some();
    if k == 1 || joins {
        if joins {
            out.view = view::reshape(&out.view, &merged)?;
        }
        out.dims.push(*dim as i64);
        out.indices.push(mask::positions(mask)?);
        *dim += 1;
    } else {
        let found = mask::coordinates(&mask::positions(mask)?, mask.shape())?;
        out.dims.extend((*dim..*dim + k).map(|d| d as i64));
        out.indices.extend(found);
        *dim += k;
    }
    Ok(())
}

/// `x[items]`: a view where no tensor is among the items.
pub fn get(x: &Tensor, items: &[Item]) -> Result<Tensor> {
    let parsed = parse(x, items)?;
    if !parsed.indices.is_empty() {
        return def::read(&parsed.view, &parsed.indices, &parsed.attrs());
    }
    if parsed.view.id() == x.id() {
        return call(&cast::ALIAS, &[x], &[]);
    }
    Ok(parsed.view)
}

/// `x[items] = value`, with the history of x made anew.
pub fn set(x: &Tensor, items: &[Item], value: &Tensor) -> Result<()> {
    // One number under a mask needs no positions, for which the GPU would be waited for.
    if let [Item::Tensor(mask)] = items
        && mask.dtype() == DType::Bool
        && mask.shape() == x.shape()
        && value.numel() == 1
    {
        let mask = cast::to_device(mask, x.device())?;
        let value = view::reshape(&fitted(value, x.shape(), x)?, &[])?;
        return autograd::write(x, &crate::ops::expr::t::select(&mask, &value, x)?);
    }
    let parsed = parse(x, items)?;
    let view = &parsed.view;
    let shape = if parsed.indices.is_empty() {
        view.dims()
    } else {
        let list: Vec<&Tensor> = parsed.indices.iter().collect();
        Plan::new(view.shape(), &parsed.dims, &list)?.shape(view.shape())
    };
    let value = fitted(value, &shape, x)?;
    if parsed.indices.is_empty() {
        return autograd::write(view, &value);
    }
    put(view, &value, &parsed)
}

/// The value in x's dtype and on its device, without leading sizes of 1 that the place lacks.
fn fitted(value: &Tensor, shape: &[usize], x: &Tensor) -> Result<Tensor> {
    let mut v = value.clone();
    let extra = v.ndim().saturating_sub(shape.len());
    if extra > 0 && v.shape()[..extra].iter().all(|&n| n == 1) {
        let kept = v.shape()[extra..].to_vec();
        v = view::reshape(&v, &kept)?;
    }
    if broadcast(v.shape(), shape).ok().as_deref() != Some(shape) {
        return Err(Error::shape(format!(
            "shape mismatch: a value of shape {} cannot be broadcast to the indexed shape {}",
            show(value.shape()),
            show(shape)
        )));
    }
    cast::to_device(&cast::fit(&v, x.dtype())?, x.device())
}

/// Writes where index tensors point: into the memory itself when nobody needs the history.
fn put(view: &Tensor, value: &Tensor, parsed: &Parsed) -> Result<()> {
    let recorded = autograd::is_enabled() && (view.requires_grad() || value.requires_grad());
    if recorded || view.device() == Device::Gpu || view.layout().may_self_overlap() {
        let [dims, wrap, checked] = parsed.attrs();
        let attrs = [dims, "set".into(), wrap, checked];
        let new = def::write(view, value, &parsed.indices, &attrs)?;
        return autograd::write(view, &new);
    }
    let list: Vec<&Tensor> = parsed.indices.iter().collect();
    let plan = Plan::new(view.shape(), &parsed.dims, &list)?;
    // A value that is part of x must not change while it is read.
    let value = if value.overlaps(view) { cast::copy_data(value)? } else { value.detach() };
    def::put_into(view, &value, &list, &plan, true, Combine::Set)?;
    view.storage().bump_version();
    Ok(())
}

/// `0..n` as int64, on a device.
pub(crate) fn arange(n: usize, device: Device) -> Result<Tensor> {
    let out = Tensor::empty(&[n], DType::I64, Device::Cpu)?;
    let to = super::cpu::Ptr(out.ptr::<i64>());
    threads::for_range(n, 1 << 16, &|r| {
        // SAFETY: pieces are disjoint and inside `out`.
        r.for_each(|i| unsafe { *to.get().add(i) = i as i64 });
    });
    cast::to_device(&out, device)
}
