//! The ops with kernels: each norm with the statistics of its rows, their common gradient, and the
//! normalisation by given statistics.

use super::lanes::{Target, compute_dtype, dense};
use super::{channels, compose, gpu, rows};
use crate::apply::apply;
use crate::autograd::{Grads, Vjp};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::layout::{Dims, numel, show};
use crate::ops::expr::t;
use crate::ops::{Call, OpDef, Spec, Specs, cast, elementwise as e, reduce, view};
use crate::storage::Device;
use crate::tensor::{Number, Tensor};
use smallvec::smallvec;

/// Results: the output, the variance (for rms norm the mean square) of each row, and its mean.
macro_rules! fused {
    ($name:literal, $sig:literal, $doc:literal) => {
        OpDef::kernel($name, $sig, $doc, infer, forward)
            .gpu(forward)
            .vjp(vjp, 0b111, 0b110)
            .composite(compose::plain)
            .private()
    };
}

pub static LAYER: OpDef = fused!(
    "fused_layer_norm",
    "input: Tensor, normalized_shape: int[], weight: Tensor?, bias: Tensor?, eps: float",
    "layer_norm with the variance and mean of each row"
);

pub static RMS: OpDef = fused!(
    "fused_rms_norm",
    "input: Tensor, normalized_shape: int[], weight: Tensor?, bias: Tensor?, eps: float",
    "rms_norm with the mean square of each row, and zeros for its mean"
);

pub static GROUP: OpDef = fused!(
    "fused_group_norm",
    "input: Tensor, num_groups: int[], weight: Tensor?, bias: Tensor?, eps: float",
    "group_norm with the variance and mean of each group"
);

pub static BATCH: OpDef = fused!(
    "batch_norm_train",
    "input: Tensor, dims: int[], weight: Tensor?, bias: Tensor?, eps: float",
    "batch_norm by the batch's statistics, with the biased variance and the mean of each channel"
);

pub static BACKWARD: OpDef = OpDef::kernel(
    "norm_backward",
    "grad: Tensor, input: Tensor, weight: Tensor?, var: Tensor, mean: Tensor, op: str, arg: int[], eps: float, \
     affine: bool",
    "The gradients of a fused norm for its input and, with affine, for weight and bias",
    infer_backward,
    backward,
)
.gpu(backward)
.no_grad("a fused norm is differentiated again through its plain definition")
.public("layer_norm")
.public("rms_norm")
.public("group_norm")
.public("batch_norm")
.private();

pub static NORMALIZE: OpDef = OpDef::kernel(
    "normalize",
    "input: Tensor, mean: Tensor, var: Tensor, weight: Tensor?, bias: Tensor?, eps: float",
    "batch_norm by given statistics, which get no gradient",
    infer_given,
    normalize,
)
.gpu(normalize)
.vjp(normalize_vjp, 0b1111, 0)
.private();

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Layer,
    Rms,
    Group,
    Batch,
}

/// How an input is divided: `n` times `channels` times `seg` elements, normalised in `rows` of `len`.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) kind: Kind,
    pub(super) n: usize,
    pub(super) channels: usize,
    pub(super) seg: usize,
    /// Rows per sample; 1 but for group norm.
    pub(super) groups: usize,
    pub(super) rows: usize,
    pub(super) len: usize,
    /// The shape of weight and bias.
    pub(super) affine: Dims,
    pub(super) eps: f64,
}

impl Plan {
    /// For an op's name, its integer argument and its input's shape.
    pub(super) fn of(op: &str, shape: &[usize], arg: &[i64], eps: f64) -> Result<Self> {
        let kind = match op {
            "fused_layer_norm" => Kind::Layer,
            "fused_rms_norm" => Kind::Rms,
            "fused_group_norm" => Kind::Group,
            "batch_norm_train" => Kind::Batch,
            _ => return Err(Error::value(format!("{op} is no fused norm"))),
        };
        if matches!(kind, Kind::Layer | Kind::Rms) {
            return Self::last(kind, shape, arg, eps);
        }
        if shape.len() < 2 {
            return Err(Error::shape(format!(
                "expected an input of shape (N, C, ...), got {}",
                show(shape)
            )));
        }
        let (n, channels, seg) = (shape[0], shape[1], numel(&shape[2..]));
        let mut groups = 1;
        if kind == Kind::Group {
            let asked = arg.first().copied().unwrap_or(0);
            groups = usize::try_from(asked).unwrap_or(0);
            if groups == 0 || channels % groups != 0 {
                return Err(Error::shape(format!(
                    "expected the number of channels to be divisible by num_groups, got input of \
                     shape {} and num_groups={asked}",
                    show(shape)
                )));
            }
        }
        let (rows, len) = match kind {
            Kind::Group => (n * groups, channels / groups * seg),
            _ => (channels, n * seg),
        };
        Ok(Self { kind, n, channels, seg, groups, rows, len, affine: smallvec![channels], eps })
    }

    /// Over the last dimensions, which must be those of `arg`.
    fn last(kind: Kind, shape: &[usize], arg: &[i64], eps: f64) -> Result<Self> {
        let lead = shape.len().checked_sub(arg.len()).filter(|_| !arg.is_empty());
        let fits = |lead: &usize| shape[*lead..].iter().zip(arg).all(|(&d, &a)| d as i64 == a);
        let Some(lead) = lead.filter(fits) else {
            let list: Vec<String> = arg.iter().map(ToString::to_string).collect();
            let list = list.join(", ");
            return Err(Error::shape(format!(
                "given normalized_shape=[{list}], expected input of shape (*, {list}), got {}",
                show(shape)
            )));
        };
        let (rows, len) = (numel(&shape[..lead]), numel(&shape[lead..]));
        let affine = shape[lead..].into();
        Ok(Self { kind, n: rows, channels: len, seg: 1, groups: 1, rows, len, affine, eps })
    }

    fn check(&self, x: &Tensor, what: &str, t: Option<&Tensor>) -> Result<()> {
        let Some(t) = t else { return Ok(()) };
        if t.shape() != self.affine.as_slice() {
            return Err(Error::shape(format!(
                "{what} should have shape {}, got {}",
                show(&self.affine),
                show(t.shape())
            )));
        }
        if t.dtype() != x.dtype() && t.dtype() != compute_dtype(x.dtype()) {
            return Err(Error::type_(format!(
                "{what} is {}, the input {}",
                t.dtype().name(),
                x.dtype().name()
            ))
            .hint("cast one of them first, for example with x.to(weight.dtype)"));
        }
        Ok(())
    }
}

fn float_input(x: &Tensor) -> Result<()> {
    if x.dtype().is_float() {
        return Ok(());
    }
    Err(Error::type_(format!("not implemented for {}", x.dtype().name()))
        .hint("cast it first: x.float()"))
}

/// The plan of a call of one of the fused ops.
pub(super) fn plan_of(c: &Call) -> Result<Plan> {
    Plan::of(c.op.name, c.x(0).shape(), c.ints(0), c.float(1))
}

fn infer(c: &Call) -> Result<Specs> {
    let x = c.x(0);
    let plan = plan_of(c)?;
    float_input(x)?;
    plan.check(x, "weight", c.opt(1))?;
    plan.check(x, "bias", c.opt(2))?;
    let stats = compute_dtype(x.dtype());
    Ok(smallvec![Spec::like(x), Spec::new(&[plan.rows], stats), Spec::new(&[plan.rows], stats)])
}

fn infer_backward(c: &Call) -> Result<Specs> {
    let (g, x, var, mean) = (c.x(0), c.x(1), c.x(3), c.x(4));
    let plan = Plan::of(c.str(0), x.shape(), c.ints(1), c.float(2))?;
    float_input(x)?;
    plan.check(x, "weight", c.opt(2))?;
    let dtype = compute_dtype(x.dtype());
    let saved = |t: &Tensor| t.shape() == [plan.rows] && t.dtype() == dtype;
    if g.shape() != x.shape() || !g.dtype().is_float() || !saved(var) || !saved(mean) {
        return Err(Error::shape("expected what the norm gave, and a gradient of its output"));
    }
    let mut specs: Specs = smallvec![Spec::like(x)];
    if c.flag(3) {
        specs.push(Spec::new(&plan.affine, dtype));
        specs.push(Spec::new(&plan.affine, dtype));
    }
    Ok(specs)
}

fn infer_given(c: &Call) -> Result<Specs> {
    let x = c.x(0);
    let plan = Plan::of(BATCH.name, x.shape(), &[], c.float(0))?;
    float_input(x)?;
    plan.check(x, "running_mean", c.opt(1))?;
    plan.check(x, "running_var", c.opt(2))?;
    plan.check(x, "weight", c.opt(3))?;
    plan.check(x, "bias", c.opt(4))?;
    Ok(smallvec![Spec::like(x)])
}

/// Weight and bias in the compute dtype; ones and zeros for one that is missing beside the other.
pub(super) fn affine(
    plan: &Plan,
    weight: Option<&Tensor>,
    bias: Option<&Tensor>,
    like: &Tensor,
) -> Result<Option<(Tensor, Tensor)>> {
    if weight.is_none() && bias.is_none() {
        return Ok(None);
    }
    let or = |t: Option<&Tensor>, value: f64| match t {
        Some(t) => dense(t, like.dtype()),
        None => cast::full(&plan.affine, value, like.dtype(), like.device()),
    };
    Ok(Some((or(weight, 1.0)?, or(bias, 0.0)?)))
}

fn clear(outs: &[Tensor]) -> Result<()> {
    outs.iter().try_for_each(|o| cast::fill(o, &Tensor::scalar(0.0, o.dtype())?))
}

fn forward(c: &Call, outs: &[Tensor]) -> Result<()> {
    let plan = plan_of(c)?;
    if c.x(0).numel() == 0 {
        return clear(outs);
    }
    let dtype = compute_dtype(outs[0].dtype());
    let x = dense(c.x(0), dtype)?;
    let wb = affine(&plan, c.opt(1), c.opt(2), &x)?;
    let y = Target::new(&outs[0], dtype)?;
    let (var, mean) = (&outs[1], &outs[2]);
    match (x.device(), plan.kind, dtype) {
        (Device::Gpu, ..) => gpu::forward(&plan, &x, wb.as_ref(), &y.t, var, mean)?,
        (_, Kind::Batch, DType::F64) => {
            channels::forward::<f64>(&plan, &x, wb.as_ref(), &y.t, var, mean, false)?;
        }
        (_, Kind::Batch, _) => {
            channels::forward::<f32>(&plan, &x, wb.as_ref(), &y.t, var, mean, false)?;
        }
        (_, _, DType::F64) => rows::forward::<f64>(&plan, &x, wb.as_ref(), &y.t, var, mean)?,
        _ => rows::forward::<f32>(&plan, &x, wb.as_ref(), &y.t, var, mean)?,
    }
    y.finish()
}

fn normalize(c: &Call, outs: &[Tensor]) -> Result<()> {
    let plan = Plan::of(BATCH.name, c.x(0).shape(), &[], c.float(0))?;
    if c.x(0).numel() == 0 {
        return Ok(());
    }
    let dtype = compute_dtype(outs[0].dtype());
    let x = dense(c.x(0), dtype)?;
    let (mean, var) = (dense(c.x(1), dtype)?, dense(c.x(2), dtype)?);
    let wb = affine(&plan, c.opt(3), c.opt(4), &x)?;
    let y = Target::new(&outs[0], dtype)?;
    match (x.device(), dtype) {
        (Device::Gpu, _) => gpu::normalize(&plan, &x, wb.as_ref(), &y.t, &var, &mean)?,
        (_, DType::F64) => {
            channels::forward::<f64>(&plan, &x, wb.as_ref(), &y.t, &var, &mean, true)?;
        }
        _ => channels::forward::<f32>(&plan, &x, wb.as_ref(), &y.t, &var, &mean, true)?,
    }
    y.finish()
}

fn backward(c: &Call, outs: &[Tensor]) -> Result<()> {
    let plan = Plan::of(c.str(0), c.x(1).shape(), c.ints(1), c.float(2))?;
    if c.x(1).numel() == 0 {
        return clear(outs);
    }
    let dtype = compute_dtype(outs[0].dtype());
    let saved = Saved {
        g: dense(c.x(0), dtype)?,
        x: dense(c.x(1), dtype)?,
        weight: c.opt(2).map(|w| dense(w, dtype)).transpose()?,
        var: dense(c.x(3), dtype)?,
        mean: dense(c.x(4), dtype)?,
    };
    let gx = Target::new(&outs[0], dtype)?;
    let wb = outs.get(1).zip(outs.get(2));
    match (gx.t.device(), plan.kind, dtype) {
        (Device::Gpu, ..) => gpu::backward(&plan, &saved, &gx.t, wb)?,
        (_, Kind::Batch, DType::F64) => channels::backward::<f64>(&plan, &saved, &gx.t, wb)?,
        (_, Kind::Batch, _) => channels::backward::<f32>(&plan, &saved, &gx.t, wb)?,
        (_, _, DType::F64) => rows::backward::<f64>(&plan, &saved, &gx.t, wb)?,
        _ => rows::backward::<f32>(&plan, &saved, &gx.t, wb)?,
    }
    gx.finish()
}

/// What a gradient is computed from, all contiguous and of the compute dtype.
pub(super) struct Saved {
    pub(super) g: Tensor,
    pub(super) x: Tensor,
    pub(super) weight: Option<Tensor>,
    pub(super) var: Tensor,
    pub(super) mean: Tensor,
}

fn vjp(v: &Vjp) -> Result<Grads> {
    let affine = v.needs(1) || v.needs(2);
    let inputs = [
        Some(v.g(0)?),
        Some(v.x(0).clone()),
        v.opt_x(1).cloned(),
        Some(v.y(1).clone()),
        Some(v.y(2).clone()),
    ];
    let attrs = [v.op.name.into(), v.attrs[0].clone(), v.attrs[1].clone(), affine.into()];
    let found = apply(&BACKWARD, &inputs, &attrs)?;
    Ok((0..v.inputs.len()).map(|i| if v.needs(i) { found.get(i).cloned() } else { None }).collect())
}

/// In plain ops, so that it is differentiable: x is scaled by weight / sqrt(var + eps).
fn normalize_vjp(v: &Vjp) -> Result<Grads> {
    let (g, x) = (v.g(0)?, v.x(0));
    let plan = Plan::of(BATCH.name, x.shape(), &[], v.call().float(0))?;
    let column = |t: &Tensor| view::reshape(t, &[1, plan.channels, 1]);
    let whole = |t: &Tensor| view::reshape(t, &[plan.n, plan.channels, plan.seg]);
    let per_channel =
        |t: &Tensor| crate::apply::call(&reduce::SUM, &[t], &[(&[0i64, 2][..]).into()]);
    let (mean, var) = (v.x(1).detach(), v.x(2).detach());
    let shifted = t::add(&var, &Tensor::number(Number::Float(plan.eps))?)?;
    let scale = column(&crate::apply::call(&e::rsqrt, &[&shifted], &[])?)?;
    let (g, x) = (whole(&g)?, whole(x)?);
    let mut out: Grads = smallvec![None; v.inputs.len()];
    if v.needs(0) {
        let factor =
            v.opt_x(3).map_or_else(|| Ok(scale.clone()), |w| t::mul(&scale, &column(w)?))?;
        out[0] = Some(view::reshape(&t::mul(&g, &factor)?, v.shape(0))?);
    }
    if v.needs(3) {
        let xhat = t::mul(&t::sub(&x, &column(&mean)?)?, &scale)?;
        out[3] = Some(per_channel(&t::mul(&g, &xhat)?)?);
    }
    if v.needs(4) {
        out[4] = Some(per_channel(&g)?);
    }
    Ok(out)
}
