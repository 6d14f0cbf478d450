//! The one way any op runs: check, infer, pick the kernel by device, run, record.

use crate::autograd;
use crate::cpu::scratch;
use crate::dtype::DType;
use crate::error::{Error, Kind, Result};
use crate::mode;
use crate::ops::{Attr, Body, Call, OpDef, Outs, cast};
use crate::storage::Device;
use crate::tensor::Tensor;
use smallvec::SmallVec;

/// Runs `op`. Errors name it.
pub fn apply(op: &'static OpDef, inputs: &[Option<Tensor>], attrs: &[Attr]) -> Result<Outs> {
    let call = Call { op, inputs, attrs };
    let outs = if mode::active() { mode::observed(&call, run) } else { run(&call) };
    outs.map_err(|e| e.in_op(op.called()))
}

/// Runs an op that has one result.
pub fn call(op: &'static OpDef, inputs: &[&Tensor], attrs: &[Attr]) -> Result<Tensor> {
    let inputs: SmallVec<[Option<Tensor>; 4]> = inputs.iter().map(|&t| Some(t.clone())).collect();
    let mut outs = apply(op, &inputs, attrs)?;
    Ok(outs.swap_remove(0))
}

fn run(call: &Call) -> Result<Outs> {
    let outs = match call.op.body {
        // The inner ops record themselves.
        Body::Composite(f) => {
            let outs = f(call)?;
            #[cfg(feature = "mutate")]
            let outs = crate::mutate::value(call.op, outs)?;
            return Ok(outs);
        }
        Body::Row(row) => smallvec::smallvec![crate::ops::row::run(call, row)?],
        Body::View(layout) => {
            smallvec::smallvec![autograd::make_view(call, layout(call.x(0).layout(), call)?)?]
        }
        Body::Kernel { infer, cpu, gpu } => {
            let device = target_device(call)?;
            let kernel = pick(call.op, device, cpu, gpu)?;
            let specs = infer(call)?;
            let mut outs = Outs::with_capacity(specs.len());
            for spec in &specs {
                outs.push(Tensor::empty(&spec.shape, spec.dtype, device)?);
            }
            on_one_device(call, device, |call| scratch::catch(|| kernel(call, &outs)))?;
            outs
        }
        Body::Dynamic { cpu, gpu } => {
            let device = target_device(call)?;
            let kernel = pick(call.op, device, cpu, gpu)?;
            on_one_device(call, device, |call| scratch::catch(|| kernel(call)))?
        }
    };
    #[cfg(feature = "mutate")]
    let outs = crate::mutate::value(call.op, outs)?;
    autograd::record(call, &outs);
    Ok(outs)
}

/// Runs a kernel; 0-d CPU operands beside GPU ones are uploaded for it.
fn on_one_device<R>(
    call: &Call,
    device: Device,
    kernel: impl FnOnce(&Call) -> Result<R>,
) -> Result<R> {
    if device == Device::Cpu || call.tensors().all(|t| t.device() == device) {
        return kernel(call);
    }
    let _mode = autograd::NoGrad::new();
    let upload = |t: &Tensor| {
        if t.device() == device {
            return Ok(t.clone());
        }
        // A Python number is stored in a dtype that a GPU may lack.
        let narrow = t.is_wrapped() && t.dtype() == DType::F64;
        let t = if narrow { cast::to(t, DType::F32)? } else { t.clone() };
        cast::to_device(&t, device)
    };
    let inputs: SmallVec<[Option<Tensor>; 4]> =
        call.inputs.iter().map(|t| t.as_ref().map(upload).transpose()).collect::<Result<_>>()?;
    kernel(&Call { op: call.op, inputs: &inputs, attrs: call.attrs })
}

/// The inputs' device; for ops that create, the device they were asked for.
fn target_device(call: &Call) -> Result<Device> {
    if call.tensors().next().is_some() {
        return call.device();
    }
    let asked = call.attrs.iter().find_map(|a| match a {
        Attr::Device(d) => Some(*d),
        _ => None,
    });
    Ok(asked.unwrap_or(Device::Cpu))
}

fn pick<F>(op: &OpDef, device: Device, cpu: Option<F>, gpu: Option<F>) -> Result<F> {
    let kernel = match device {
        Device::Cpu => cpu,
        Device::Gpu => gpu,
    };
    kernel.ok_or_else(|| {
        Error::new(Kind::NotImplemented, format!("{} has no kernel for {device}", op.name))
            .hint("move the inputs with .to(\"cpu\") for this step; the list of gaps is in docs")
    })
}
