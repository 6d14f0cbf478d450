//! Elementwise rows: one expression, read as a vectorized loop, as WGSL and (its derivative) as tensor code.

use super::expr::Ex;
use super::{Call, OpDef, cast, elementwise};
use crate::autograd::{Grads, Vjp};
use crate::cpu::map::{self, In, Out, TileFn};
use crate::cpu::simd::{self, Isa};
use crate::dtype::{Compute, DType};
use crate::error::{Error, Kind, Result};
use crate::layout::{self, Dims, Layout};
use crate::storage::Device;
use crate::tensor::{Number, Tensor, result_type};
use smallvec::SmallVec;
use std::sync::OnceLock;

/// Which dtypes an expression takes and gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Integers become the default float type.
    Float,
    /// Any number; the result has the promoted dtype. Needs an integer text to take integers.
    Arith,
    /// As `Arith`, but bool is refused (PyTorch: subtraction, negation).
    Number,
    /// Any number; the result is bool.
    Compare,
    /// Integers and bool.
    Bits,
    /// Integers only.
    Ints,
    /// The first operand is a bool mask, the others are any numbers.
    Masked,
}

/// The same loop compiled for: baseline, AVX2 with FMA, AVX-512.
pub type Tiles = [TileFn; 3];

pub struct GradRow {
    pub var: &'static str,
    /// The derivative, which the result's gradient is multiplied with.
    pub text: &'static str,
    /// Or the name of the result's gradient in `text`, which is then the whole gradient: one that chooses what
    /// flows must not multiply what does not (an infinity) by 0.
    pub g: Option<&'static str>,
    pub f32: Tiles,
    pub f64: Tiles,
    /// The gradient as tensor code, for gradients of gradients.
    pub tensor: fn(&Ex, &[Ex], &Ex, &[f64]) -> Ex,
}

pub struct Row {
    pub class: Class,
    /// The names, as lists: a mask in front, the variables, the parameters; and the result.
    pub head: &'static str,
    pub vars: &'static str,
    pub params: &'static str,
    pub result: &'static str,
    pub text: Option<&'static str>,
    /// The same in calls only, for integers; GPU code appends the type's suffix to every call.
    pub int_text: Option<&'static str>,
    pub f32: Option<Tiles>,
    pub f64: Option<Tiles>,
    pub i64: Option<Tiles>,
    pub u64: Option<Tiles>,
    pub grads: &'static [GradRow],
    pub names: OnceLock<Names>,
}

/// The variables of a row, read from its text once.
pub struct Names {
    pub vars: Vec<&'static str>,
    pub params: Vec<&'static str>,
    /// For each variable: its gradient row, the inputs that one reads, and whether it reads the result.
    pub grads: Vec<Option<(&'static GradRow, u32, bool)>>,
}

impl Row {
    pub fn names(&self) -> &Names {
        self.names.get_or_init(|| {
            let list = |s: &'static str| identifiers(s).collect::<Vec<_>>();
            let vars = [list(self.head), list(self.vars)].concat();
            let grads = vars
                .iter()
                .map(|v| {
                    let g = self.grads.iter().find(|g| g.var == *v)?;
                    let reads = |name: &str| identifiers(g.text).any(|id| id == name);
                    let mask =
                        (0..vars.len()).filter(|&i| reads(vars[i])).fold(0, |m, i| m | 1 << i);
                    Some((g, mask, reads(self.result)))
                })
                .collect();
            Names { vars, params: list(self.params), grads }
        })
    }
}

pub(crate) fn identifiers(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|s| !s.is_empty())
}

/// Picks the loop for this machine.
pub fn pick(tiles: &Tiles) -> TileFn {
    match simd::isa() {
        Isa::Avx512 => tiles[2],
        Isa::Avx2 => tiles[1],
        Isa::Portable | Isa::Neon => tiles[0],
    }
}

/// The dtype a row computes for, and the dtype of its result.
fn dtypes(call: &Call, row: &Row) -> Result<(DType, DType)> {
    let refuse = |d: DType, why: &str| {
        Err(Error::type_(format!("not implemented for {}", d.name())).hint(why))
    };
    let skip = usize::from(row.class == Class::Masked);
    let operands = || call.tensors().skip(skip);
    // Numbers among themselves stay numbers, in full precision.
    let d = if all_numbers(call) && operands().any(|t| t.dtype().is_float()) {
        DType::F64
    } else {
        result_type(operands())?
    };
    // A float parameter makes an integer result a float one, as a Python float would.
    // (Only the ops whose parameter is a number, not those of activations.)
    let float_param = row.class != Class::Compare
        && call.attrs.iter().any(|a| matches!(a, super::Attr::Float(v) if v.is_finite()));
    // Python numbers beside a mask make it one of numbers (`1 - mask`), tensors do not.
    let bool_tensors =
        || operands().any(|t| t.dtype() == DType::Bool) && !operands().any(Tensor::is_wrapped);
    match row.class {
        Class::Float => Ok(if d.is_float() { (d, d) } else { (DType::F32, DType::F32) }),
        Class::Bits if d.is_float() => refuse(d, "it takes integers and bool"),
        Class::Ints if !d.is_int() => refuse(d, "it takes integers"),
        Class::Number if d == DType::Bool || bool_tensors() => {
            refuse(DType::Bool, "cast it first, or use the logical ops: ~ inverts a mask")
        }
        Class::Compare => Ok((d, DType::Bool)),
        _ if d.is_float() || row.int_text.is_some() || row.class == Class::Masked => {
            Ok(if float_param && !d.is_float() { (DType::F32, DType::F32) } else { (d, d) })
        }
        _ => refuse(d, "cast it first: x.float()"),
    }
}

/// Deals with Python numbers that `dtype` does not hold: `where` refuses them for integers, as do other rows integers of more than 63
/// bits. Comparisons are true arithmetic, in which a number beyond all values of the dtype is as good as infinite: they
/// get other inputs.
fn numbers_beyond(
    call: &Call,
    row: &Row,
    dtype: DType,
) -> Result<Option<SmallVec<[Option<Tensor>; 4]>>> {
    let mut inputs: Option<SmallVec<[Option<Tensor>; 4]>> = None;
    for (i, t) in call.tensors().enumerate() {
        let Some(n) = t.as_number() else { continue };
        match row.class {
            Class::Masked if dtype.is_int() => {
                n.exact(dtype)?;
            }
            Class::Compare => {
                if let (Some(v), Some((lo, hi))) = (n.as_int(), dtype.int_range())
                    && dtype.is_int()
                    && !(lo..=hi).contains(&v)
                    && !all_numbers(call)
                {
                    let far = if v < lo { f64::NEG_INFINITY } else { f64::INFINITY };
                    let list = inputs.get_or_insert_with(|| call.inputs.into());
                    list[i] = Some(Tensor::number(Number::Float(far))?);
                }
            }
            _ if matches!(n, Number::Big(_)) && dtype.is_int() && dtype != DType::U64 => {
                return Err(Error::new(
                    Kind::Overflow,
                    format!("the integer {n} does not fit {}", dtype.name()),
                )
                .hint("make it a tensor of a dtype that holds it, such as uint64"));
            }
            _ => {}
        }
    }
    Ok(inputs)
}

fn all_numbers(call: &Call) -> bool {
    call.tensors().all(Tensor::is_wrapped)
}

pub(crate) fn params(call: &Call, compute: Compute) -> SmallVec<[u64; 4]> {
    (0..call.attrs.len())
        .map(|i| {
            let f = call.opt_float(i).unwrap_or(f64::NAN);
            match compute {
                Compute::F32 => (f as f32).to_bits() as u64,
                Compute::F64 => f.to_bits(),
                Compute::U64 => match call.attr(i) {
                    super::Attr::Big(v) => *v,
                    _ => call.opt_int(i).map_or(f as u64, |v| v as u64),
                },
                _ => call.opt_int(i).unwrap_or(f as i64) as u64,
            }
        })
        .collect()
}

/// Runs the row's value expression.
pub fn run(call: &Call, row: &'static Row) -> Result<Tensor> {
    let device = call.device()?;
    let (dtype, out_dtype) = dtypes(call, row)?;
    if let Some(inputs) = numbers_beyond(call, row, dtype)? {
        return run(&Call { op: call.op, inputs: &inputs, attrs: call.attrs }, row);
    }
    let mut shape: Dims = call.x(0).dims();
    for t in call.tensors().skip(1) {
        if t.shape() != shape.as_slice() {
            shape = layout::broadcast(&shape, t.shape())?;
        }
    }
    let out = Tensor::empty(&shape, out_dtype, device)?;
    let inputs: SmallVec<[&Tensor; 4]> = call.tensors().collect();
    if device == Device::Gpu {
        crate::gpu::map::value(call, row, dtype, &inputs, &out)?;
        return Ok(out);
    }
    run_cpu(call, row, dtype, &inputs, &out);
    Ok(if all_numbers(call) { out.into_wrapped() } else { out })
}

fn run_cpu(call: &Call, row: &Row, dtype: DType, inputs: &[&Tensor], out: &Tensor) {
    let compute = dtype.compute();
    let tiles = match compute {
        Compute::F32 => &row.f32,
        Compute::F64 => &row.f64,
        Compute::I64 | Compute::Bool => &row.i64,
        Compute::U64 => &row.u64,
    };
    let tiles = tiles.as_ref().expect("dtypes() refused what the row has no text for");
    let gives_bool = matches!(row.class, Class::Compare);
    let out_compute = if gives_bool { Compute::Bool } else { compute };
    let masked = row.class == Class::Masked;
    launch(inputs, masked, compute, out, out_compute, pick(tiles), &params(call, compute));
}

fn launch(
    inputs: &[&Tensor],
    masked: bool,
    compute: Compute,
    out: &Tensor,
    out_compute: Compute,
    kernel: TileFn,
    params: &[u64],
) {
    let ins: SmallVec<[In; 4]> = inputs
        .iter()
        .enumerate()
        .map(|(i, t)| In {
            ptr: t.byte_ptr(),
            dtype: t.dtype(),
            strides: broadcast_strides(t, out.shape()),
            compute: if masked && i == 0 { Compute::Bool } else { compute },
        })
        .collect();
    let target = Out {
        ptr: out.byte_ptr(),
        dtype: out.dtype(),
        strides: out.strides().into(),
        compute: out_compute,
    };
    // SAFETY: inputs were broadcast to the result's shape, which is fresh memory.
    unsafe { map::map(out.shape(), &ins, &target, kernel, params) };
}

pub(crate) fn broadcast_strides(t: &Tensor, shape: &[usize]) -> Dims {
    if t.shape() == shape {
        return t.strides().into();
    }
    t.layout().expand(shape).map(|l: Layout| l.strides).expect("broadcast() accepted the shapes")
}

/// Which inputs and outputs the gradients of the needed inputs read.
pub fn saves(call: &Call, needs: &dyn Fn(usize) -> bool) -> (u32, u32) {
    let super::Body::Row(row) = call.op.body else { return (0, 0) };
    let mut inputs = 0;
    let mut outputs = 0;
    for (i, g) in row.names().grads.iter().enumerate() {
        if let Some((_, mask, reads_result)) = g
            && needs(i)
        {
            inputs |= mask;
            outputs |= u32::from(*reads_result);
        }
    }
    (inputs, outputs)
}

/// g * f'(x, y), or what the row chooses of g, for each needed input: as one fused loop, or as tensor code when a graph is asked for.
pub fn vjp(v: &Vjp) -> Result<Grads> {
    let super::Body::Row(row) = v.op.body else { return Ok(Grads::new()) };
    let g = v.g(0)?;
    let names = row.names();
    let call = v.call();
    let mut out = Grads::new();
    for i in 0..names.vars.len() {
        let Some((grad, mask, reads_result)) = names.grads[i] else {
            out.push(None);
            continue;
        };
        if !v.needs(i) {
            out.push(None);
        } else if is_one(grad.text, names, &call) {
            out.push(Some(g.clone()));
        } else if v.create_graph {
            // In float32 for half types, as in the loops: parts of a formula may leave their range.
            let wide = g.dtype().compute().native();
            let vars: Vec<Ex> = (0..names.vars.len())
                .map(|k| v.opt_x(k).map_or_else(Ex::missing, |x| Ex::of_dtype(x, wide)))
                .collect();
            let result = if reads_result { Ex::of_dtype(v.y(0), wide) } else { Ex::missing() };
            let ps: Vec<f64> = (0..v.attrs.len()).map(|k| call.float(k)).collect();
            let found = super::expr::reading(wide, || {
                (grad.tensor)(&Ex::of_dtype(&g, wide), &vars, &result, &ps).into_result()
            })?;
            let read = (0..names.vars.len()).filter(|k| mask >> k & 1 == 1).map(|k| v.x(k));
            let mut read = v.opt_x(i).into_iter().chain(read).chain(reads_result.then(|| v.y(0)));
            out.push(Some(if grad.g.is_some() {
                chosen(found, &g, read.find(|t| t.requires_grad()))?
            } else {
                found
            }));
        } else {
            let saved = |k: usize| if mask >> k & 1 == 1 { v.x(k) } else { &g };
            let mut inputs: SmallVec<[&Tensor; 6]> = smallvec::smallvec![&g];
            inputs.extend((0..names.vars.len()).map(saved));
            inputs.push(if reads_result { v.y(0) } else { &g });
            out.push(Some(fused(&call, row, grad, &inputs)?));
        }
    }
    Ok(out)
}

/// A gradient that chooses what flows (relu's, say) may read `x` by comparisons alone, which cut the graph, or be 0
/// everywhere. Its own derivative is 0 and not absent: who differentiates on gets zeros, for `x` or, where the
/// derivative reads nothing else, for `g`.
fn chosen(found: Tensor, g: &Tensor, x: Option<&Tensor>) -> Result<Tensor> {
    let found =
        if found.is_wrapped() { cast::full_like(g, found.item()?.as_f64())? } else { found };
    let lone = Some(g).filter(|g| g.requires_grad() && !found.requires_grad());
    let Some(x) = x.or(lone) else { return Ok(found) };
    let always = Tensor::number(Number::Bool(true))?;
    crate::apply::call(&elementwise::choose, &[&always, &found, &cast::to(x, found.dtype())?], &[])
}

/// Whether a derivative is the constant 1, written or as a parameter (`alpha`).
fn is_one(text: &str, names: &Names, call: &Call) -> bool {
    text == "1.0"
        || names.params.iter().position(|p| *p == text).is_some_and(|i| call.float(i) == 1.0)
}

/// `inputs` are g, the row's variables and its result; those the derivative does not read stand in as g.
fn fused(
    call: &Call,
    row: &'static Row,
    grad: &'static GradRow,
    inputs: &[&Tensor],
) -> Result<Tensor> {
    let g = inputs[0];
    let out = Tensor::empty(g.shape(), g.dtype(), g.device())?;
    if g.device() == Device::Gpu {
        crate::gpu::map::gradient(call, row, grad, inputs, &out)?;
        return Ok(out);
    }
    let compute = g.dtype().compute();
    let tiles = if compute == Compute::F64 { &grad.f64 } else { &grad.f32 };
    let ins: SmallVec<[In; 6]> = inputs
        .iter()
        .enumerate()
        .map(|(i, t)| In {
            ptr: t.byte_ptr(),
            dtype: t.dtype(),
            strides: broadcast_strides(t, out.shape()),
            // The mask of a masked row stays bool; its stand-in does too, unread.
            compute: if row.class == Class::Masked && i == 1 { Compute::Bool } else { compute },
        })
        .collect();
    let target =
        Out { ptr: out.byte_ptr(), dtype: out.dtype(), strides: out.strides().into(), compute };
    // SAFETY: all operands broadcast to g's shape; the result is fresh memory.
    unsafe { map::map(out.shape(), &ins, &target, pick(tiles), &params(call, compute)) };
    Ok(out)
}

/// `x.op_(..)` without history: the kernel writes straight into `x`. Says whether it could.
pub fn run_into(op: &'static OpDef, call: &Call, x: &Tensor) -> Result<bool> {
    let super::Body::Row(row) = op.body else { return Ok(false) };
    let (dtype, out_dtype) = dtypes(call, row)?;
    let inputs: SmallVec<[&Tensor; 4]> = call.tensors().collect();
    let safe = inputs.iter().all(|t| !t.overlaps(x) || t.is_twin(x));
    let fits = inputs.iter().try_fold(x.dims(), |s, t| layout::broadcast(&s, t.shape()));
    if x.device() != Device::Cpu
        || call.device()? != Device::Cpu
        || !safe
        || out_dtype.category() > x.dtype().category()
        || fits.map_or(true, |s| s.as_slice() != x.shape())
        || numbers_beyond(call, row, dtype)?.is_some()
    {
        return Ok(false);
    }
    run_cpu(call, row, dtype, &inputs, x);
    Ok(true)
}

/// Parameters come to a loop as bits.
pub trait FromBits {
    fn from_bits_(bits: u64) -> Self;
}
impl FromBits for f32 {
    #[inline(always)]
    fn from_bits_(bits: u64) -> Self {
        f32::from_bits(bits as u32)
    }
}
impl FromBits for f64 {
    #[inline(always)]
    fn from_bits_(bits: u64) -> Self {
        f64::from_bits(bits)
    }
}
impl FromBits for i64 {
    #[inline(always)]
    fn from_bits_(bits: u64) -> Self {
        bits as i64
    }
}
impl FromBits for u64 {
    #[inline(always)]
    fn from_bits_(bits: u64) -> Self {
        bits
    }
}

/// The loop of one expression over its operands: `pre` and `post` (a gradient's g and result), `head` (a
/// mask, of bool), and the variables between.
#[macro_export]
macro_rules! tile_loop {
    ($n:ident $ins:ident $out:ident $ps:ident; $t:ty => $ot:ty;
     [$($pre:ident)*] [$($hv:ident)*] [$($v:ident)*] [$($post:ident)*] [$($p:ident)*] $e:expr) => {{
        #[allow(unused)]
        let mut k_ = 0usize;
        #[allow(unused)]
        let mut j_ = 0usize;
        // SAFETY: the engine passes as many operands of n elements as the row has variables.
        #[allow(unused_unsafe, unused_assignments)]
        unsafe {
            $( let $pre = (*$ins.add(k_)).cast::<$t>(); k_ += 1; )*
            $( let $hv = (*$ins.add(k_)).cast::<$crate::dtype::Flag>(); k_ += 1; )*
            $( let $v = (*$ins.add(k_)).cast::<$t>(); k_ += 1; )*
            $( let $post = (*$ins.add(k_)).cast::<$t>(); k_ += 1; )*
            $(
                #[allow(unused)]
                let $p = <$t as $crate::ops::row::FromBits>::from_bits_(*$ps.add(j_));
                j_ += 1;
            )*
            let out_ = $out.cast::<$ot>();
            for i_ in 0..$n {
                $( #[allow(unused)] let $pre = *$pre.add(i_); )*
                $( #[allow(unused)] let $hv = (*$hv.add(i_)).get(); )*
                $( #[allow(unused)] let $v = *$v.add(i_); )*
                $( #[allow(unused)] let $post = *$post.add(i_); )*
                *out_.add(i_) = $e;
            }
        }
    }};
}

/// The three compiled forms of one loop.
#[macro_export]
macro_rules! tiles {
    ($t:ty => $ot:ty; {$($plain:tt)*} {$($fused:tt)*}
     $pre:tt $head:tt $vars:tt $post:tt $params:tt $e:expr) => {{
        #[allow(clippy::pedantic, clippy::all)]
        unsafe fn portable(n: usize, ins: *const *const u8, out: *mut u8, _ps: *const u64) {
            #[cfg(not(target_arch = "aarch64"))]
            #[allow(unused)]
            use $($plain)*::*;
            #[cfg(target_arch = "aarch64")]
            #[allow(unused)]
            use $($fused)*::*;
            $crate::tile_loop!(n ins out _ps; $t => $ot; $pre $head $vars $post $params $e)
        }
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma,bmi1,bmi2,f16c")]
        #[allow(clippy::pedantic, clippy::all)]
        unsafe fn avx2(n: usize, ins: *const *const u8, out: *mut u8, _ps: *const u64) {
            #[allow(unused)]
            use $($fused)*::*;
            $crate::tile_loop!(n ins out _ps; $t => $ot; $pre $head $vars $post $params $e)
        }
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi1,bmi2,f16c")]
        #[allow(clippy::pedantic, clippy::all)]
        unsafe fn avx512(n: usize, ins: *const *const u8, out: *mut u8, _ps: *const u64) {
            #[allow(unused)]
            use $($fused)*::*;
            $crate::tile_loop!(n ins out _ps; $t => $ot; $pre $head $vars $post $params $e)
        }
        #[cfg(target_arch = "x86_64")]
        { [portable as $crate::cpu::map::TileFn, avx2 as _, avx512 as _] }
        #[cfg(not(target_arch = "x86_64"))]
        { [portable as $crate::cpu::map::TileFn; 3] }
    }};
}

/// What a class's loops give: numbers, or bools.
#[macro_export]
macro_rules! result_of {
    (Compare, $t:ty) => {
        bool
    };
    ($class:ident, $t:ty) => {
        $t
    };
}

/// `Some` of a repetition that is there, `None` of one that is not.
#[macro_export]
macro_rules! some {
    () => {
        None
    };
    ($e:expr) => {
        Some($e)
    };
}

/// A table of rows. Each becomes a `static NAME: OpDef`, and all of them the list `OPS`.
#[macro_export]
macro_rules! rows {
    ($(
        $name:ident: $class:ident, $sig:expr, $doc:literal, $head:tt $vars:tt $params:tt -> $o:ident
        $(float { $val:expr })?
        $(int { $int:expr })?
        $(d { $($gv:ident => $g:expr),* $(,)? })?
        $(d($gn:ident) { $($wv:ident => $w:expr),* $(,)? })?
        $(.$m:ident($($arg:expr),*))*
    ;)*) => {
        $(
            #[allow(non_upper_case_globals)]
            pub static $name: $crate::ops::OpDef = {
                static ROW: $crate::ops::row::Row = $crate::ops::row::Row {
                    class: $crate::ops::row::Class::$class,
                    head: stringify!($head),
                    vars: stringify!($vars),
                    params: stringify!($params),
                    result: stringify!($o),
                    text: $crate::some!($(stringify!($val))?),
                    int_text: $crate::some!($(stringify!($int))?),
                    f32: $crate::some!($($crate::tiles!(f32 => $crate::result_of!($class, f32);
                        {$crate::cpu::math::plain::m32} {$crate::cpu::math::fused::m32}
                        [] $head $vars [] $params $val))?),
                    f64: $crate::some!($($crate::tiles!(f64 => $crate::result_of!($class, f64);
                        {$crate::cpu::math::plain::m64} {$crate::cpu::math::fused::m64}
                        [] $head $vars [] $params $val))?),
                    i64: $crate::some!($($crate::tiles!(i64 => $crate::result_of!($class, i64);
                        {$crate::cpu::math::i64m} {$crate::cpu::math::i64m}
                        [] $head $vars [] $params $int))?),
                    u64: $crate::some!($($crate::tiles!(u64 => $crate::result_of!($class, u64);
                        {$crate::cpu::math::u64m} {$crate::cpu::math::u64m}
                        [] $head $vars [] $params $int))?),
                    grads: &[
                        $($($crate::grad_row!(None, g_, g_ * ($g);
                            $gv, $g, $head $vars $params $o)),*)?
                        $($($crate::grad_row!(Some(stringify!($gn)), $gn, $w;
                            $wv, $w, $head $vars $params $o)),*)?
                    ],
                    names: ::std::sync::OnceLock::new(),
                };
                $crate::ops::OpDef::new(
                    stringify!($name), $sig, $doc, $crate::ops::Body::Row(&ROW),
                )$(.$m($($arg),*))*
            };
        )*
        pub static ROWS: &[&$crate::ops::OpDef] = &[$(&$name),*];
    };
}

/// The readings of one gradient: `whole` is what is computed, with the result's gradient under the name `g`.
#[macro_export]
macro_rules! grad_row {
    ($name:expr, $g:ident, $whole:expr;
     $var:ident, $text:expr, $head:tt $vars:tt $params:tt $o:ident) => {
        $crate::ops::row::GradRow {
            var: stringify!($var),
            text: stringify!($text),
            g: $name,
            f32: $crate::tiles!(f32 => f32;
                {$crate::cpu::math::plain::m32} {$crate::cpu::math::fused::m32}
                [$g] $head $vars [$o] $params $whole),
            f64: $crate::tiles!(f64 => f64;
                {$crate::cpu::math::plain::m64} {$crate::cpu::math::fused::m64}
                [$g] $head $vars [$o] $params $whole),
            tensor: $crate::tensor_reading!($g $head $vars $params $o, $whole),
        }
    };
}

/// A gradient as a function on tensors.
#[macro_export]
macro_rules! tensor_reading {
    ($gn:ident [$($hv:ident)*] [$($v:ident)*] [$($p:ident)*] $o:ident, $g:expr) => {{
        #[allow(unused, clippy::pedantic, clippy::all)]
        fn read(
            $gn: &$crate::ops::expr::Ex,
            vars: &[$crate::ops::expr::Ex],
            $o: &$crate::ops::expr::Ex,
            params: &[f64],
        ) -> $crate::ops::expr::Ex {
            use $crate::ops::expr::*;
            let mut k_ = 0usize;
            $( let $hv = &vars[k_]; k_ += 1; )*
            $( let $v = &vars[k_]; k_ += 1; )*
            let mut j_ = 0usize;
            $( let $p: f64 = params[j_]; j_ += 1; )*
            Ex::from($g)
        }
        read
    }};
}
