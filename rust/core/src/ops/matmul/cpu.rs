//! The CPU kernels: floats through `gemm`, half types in float32, integers exactly.

use super::gemm::{Gemm, Real, gemm, gemm_batch};
use super::product::Product;
use crate::cpu::threads;
use crate::dtype::DType;
use crate::error::Result;
use crate::layout::Layout;
use crate::ops::{Call, cast};
use crate::storage::Device;
use crate::tensor::Tensor;

pub fn matmul(c: &Call, outs: &[Tensor]) -> Result<()> {
    multiply(c.x(0), c.x(1), None, &outs[0])
}

/// y = x W^T + b: a product whose second operand is read transposed.
pub fn linear(c: &Call, outs: &[Tensor]) -> Result<()> {
    let w = c.x(1);
    multiply(c.x(0), &w.alias(transposed(w.layout())), c.opt(2), &outs[0])
}

/// A matrix with its dimensions swapped; a vector as it is.
pub fn transposed(w: &Layout) -> Layout {
    if w.ndim() == 2 { w.permute(&[1, 0]) } else { w.clone() }
}

fn multiply(a: &Tensor, b: &Tensor, bias: Option<&Tensor>, out: &Tensor) -> Result<()> {
    if out.numel() == 0 {
        return Ok(());
    }
    match out.dtype() {
        DType::F32 => floats::<f32>(a, b, bias, out),
        DType::F64 => floats::<f64>(a, b, bias, out),
        DType::F16 | DType::BF16 => {
            let wide = Tensor::empty(out.shape(), DType::F32, Device::Cpu)?;
            let bias = bias.map(|b| cast_data(b, DType::F32)).transpose()?;
            let (a, b) = (cast_data(a, DType::F32)?, cast_data(b, DType::F32)?);
            floats::<f32>(&a, &b, bias.as_ref(), &wide)?;
            cast::raw_copy(&wide, out)
        }
        _ => integers(a, b, bias, out),
    }
}

fn cast_data(t: &Tensor, dtype: DType) -> Result<Tensor> {
    let out = Tensor::empty(t.shape(), dtype, t.device())?;
    cast::raw_copy(t, &out)?;
    Ok(out)
}

fn floats<T: Real>(a: &Tensor, b: &Tensor, bias: Option<&Tensor>, out: &Tensor) -> Result<()> {
    let p = Product::new(a.layout(), b.layout())?;
    let bias = bias.map(|b| if b.is_contiguous() { Ok(b.clone()) } else { cast::copy_data(b) });
    let bias = bias.transpose()?;
    let g = Gemm {
        m: p.m,
        n: p.n,
        k: p.k,
        a: a.ptr::<T>().cast_const(),
        a_rs: p.a.rs as isize,
        a_cs: p.a.cs as isize,
        b: b.ptr::<T>().cast_const(),
        b_rs: p.b.rs as isize,
        b_cs: p.b.cs as isize,
        c: out.ptr::<T>(),
        c_rs: p.n as isize,
        bias_n: bias.as_ref().map_or(std::ptr::null(), |b| b.ptr::<T>().cast_const()),
        bias_m: std::ptr::null(),
        accumulate: false,
        relu: false,
    };
    // SAFETY: the product describes the operands' layouts; `out` is fresh and has its shape.
    unsafe {
        if p.batch.is_empty() {
            gemm(&g, &threads::run);
        } else {
            let size = p.m * p.n;
            let offsets = |i: usize| {
                let [a, b] = p.offsets(i);
                [a as isize, b as isize, (i * size) as isize]
            };
            gemm_batch(&g, p.count(), &offsets, &threads::run);
        }
    }
    Ok(())
}

/// Multiplications that a task makes.
const GRAIN: usize = 1 << 18;

/// Wraps as the dtype does: the low bits of a 64-bit sum are those of a narrower one.
fn integers(a: &Tensor, b: &Tensor, bias: Option<&Tensor>, out: &Tensor) -> Result<()> {
    let (a, b) = (cast_data(a, DType::I64)?, cast_data(b, DType::I64)?);
    let wide = Tensor::empty(out.shape(), DType::I64, Device::Cpu)?;
    let bias = bias.map(|b| cast_data(b, DType::I64)).transpose()?;
    let p = Product::new(a.layout(), b.layout())?;
    let (m, n, k) = (p.m, p.n, p.k);
    // Tensors are not shared between threads by reference, their memory is.
    let [from_a, from_b, to] = [&a, &b, &wide].map(|t| t.ptr::<i64>() as usize);
    let add = bias.as_ref().map(|b| b.ptr::<i64>() as usize);
    threads::for_range(p.count() * m, (GRAIN / (n * k).max(1)).max(1), &|rows| {
        for row in rows {
            let [at_a, at_b] = p.offsets(row / m);
            let at_a = at_a + row % m * p.a.rs;
            // SAFETY: the offsets lie in the operands; each task writes rows of its own, which
            // nobody else holds.
            unsafe {
                let (a, b) = ((from_a as *const i64).add(at_a), (from_b as *const i64).add(at_b));
                let line = std::slice::from_raw_parts_mut((to as *mut i64).add(row * n), n);
                match add {
                    Some(add) => {
                        line.copy_from_slice(std::slice::from_raw_parts(add as *const i64, n));
                    }
                    None => line.fill(0),
                }
                for l in 0..k {
                    let x = *a.add(l * p.a.cs);
                    let b = b.add(l * p.b.rs);
                    for (j, y) in line.iter_mut().enumerate() {
                        *y = y.wrapping_add(x.wrapping_mul(*b.add(j * p.b.cs)));
                    }
                }
            }
        }
    });
    cast::raw_copy(&wide, out)
}
