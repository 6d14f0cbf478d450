//! `Tensor`: storage, layout and dtype, plus what autograd knows of it. Makes, inspects, moves; no maths.

use crate::autograd::Meta;
use crate::dtype::{DType, Element, Flag};
use crate::error::{Error, Result};
use crate::gpu::Buffer;
use crate::layout::{self, Dims, Layout};
pub use crate::number::Number;
use crate::storage::{Device, Storage};
use std::sync::Arc;

#[derive(Clone)]
pub struct Tensor(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub storage: Arc<Storage>,
    pub layout: Layout,
    pub dtype: DType,
    /// A Python number: it takes part in promotion only by its category.
    pub wrapped: bool,
    pub meta: Meta,
}

impl Tensor {
    pub fn from_parts(storage: Arc<Storage>, layout: Layout, dtype: DType) -> Self {
        Self(Arc::new(Inner { storage, layout, dtype, wrapped: false, meta: Meta::default() }))
    }

    /// Uninitialised memory, contiguous.
    pub fn empty(shape: &[usize], dtype: DType, device: Device) -> Result<Self> {
        Self::alloc(shape, dtype, device, false)
    }

    pub fn zeros(shape: &[usize], dtype: DType, device: Device) -> Result<Self> {
        Self::alloc(shape, dtype, device, true)
    }

    fn alloc(shape: &[usize], dtype: DType, device: Device, zeroed: bool) -> Result<Self> {
        if device == Device::Gpu {
            crate::gpu::check_dtype(dtype)?;
        }
        let bytes = layout::checked_numel(shape)? * dtype.size();
        let storage = Storage::new(bytes, device, zeroed)?;
        Ok(Self::from_parts(Arc::new(storage), Layout::contiguous(shape), dtype))
    }

    /// A contiguous CPU tensor with these elements.
    pub fn from_slice<T: Element>(data: &[T], shape: &[usize]) -> Result<Self> {
        if data.len() != layout::checked_numel(shape)? {
            return Err(Error::shape(format!(
                "{} values do not fill shape {}",
                data.len(),
                layout::show(shape)
            )));
        }
        let out = Self::empty(shape, T::DTYPE, Device::Cpu)?;
        // SAFETY: `out` is fresh, contiguous, of T's dtype and of the slice's length.
        unsafe { std::ptr::copy_nonoverlapping(data.as_ptr(), out.ptr::<T>(), data.len()) };
        Ok(out)
    }

    /// A contiguous CPU tensor with these bools.
    pub fn from_bools(data: &[bool], shape: &[usize]) -> Result<Self> {
        Self::from_slice(&data.iter().map(|&v| Flag::new(v)).collect::<Vec<_>>(), shape)
    }

    /// A 0-d CPU tensor.
    pub fn scalar(value: f64, dtype: DType) -> Result<Self> {
        crate::with_dtype!(dtype, T => Self::from_slice(&[<T as Element>::from_f64(value)], &[]))
    }

    /// A Python number as an operand: weak in promotion.
    pub fn number(value: Number) -> Result<Self> {
        let t = match value {
            Number::Bool(v) => Self::from_slice(&[Flag::new(v)], &[]),
            Number::Int(v) => Self::from_slice(&[v], &[]),
            Number::Big(v) => Self::from_slice(&[v], &[]),
            Number::Float(v) => Self::from_slice(&[v], &[]),
        }?;
        Ok(t.into_wrapped())
    }

    /// The same memory as a Python number.
    pub(crate) fn into_wrapped(self) -> Self {
        let Inner { storage, layout, dtype, .. } = &*self.0;
        Self(Arc::new(Inner {
            storage: storage.clone(),
            layout: layout.clone(),
            dtype: *dtype,
            wrapped: true,
            meta: Meta::default(),
        }))
    }

    /// Another tensor over the same storage, without autograd history.
    pub fn alias(&self, layout: Layout) -> Self {
        Self::from_parts(self.0.storage.clone(), layout, self.0.dtype)
    }

    /// Shares the storage; takes no part in the graph.
    pub fn detach(&self) -> Self {
        self.alias(self.0.layout.clone())
    }

    pub fn storage(&self) -> &Arc<Storage> {
        &self.0.storage
    }

    pub fn layout(&self) -> &Layout {
        &self.0.layout
    }

    pub fn shape(&self) -> &[usize] {
        &self.0.layout.shape
    }

    pub fn dims(&self) -> Dims {
        self.0.layout.shape.clone()
    }

    pub fn strides(&self) -> &[usize] {
        &self.0.layout.strides
    }

    pub fn ndim(&self) -> usize {
        self.0.layout.ndim()
    }

    pub fn numel(&self) -> usize {
        self.0.layout.numel()
    }

    pub fn dtype(&self) -> DType {
        self.0.dtype
    }

    pub fn device(&self) -> Device {
        self.0.storage.device()
    }

    pub fn is_wrapped(&self) -> bool {
        self.0.wrapped
    }

    pub fn is_contiguous(&self) -> bool {
        self.0.layout.is_contiguous()
    }

    pub fn version(&self) -> u32 {
        self.0.storage.version()
    }

    /// The variable's identity: equal for all clones of one tensor.
    pub fn id(&self) -> usize {
        Arc::as_ptr(&self.0) as usize
    }

    pub fn same_storage(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0.storage, &other.0.storage)
    }

    /// Whether both may name one byte: views of one storage, or CPU memory lent twice by another library.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.same_storage(other) || self.0.storage.overlaps(&other.0.storage)
    }

    /// Whether both name the same elements in the same order.
    pub fn is_twin(&self, other: &Self) -> bool {
        self.same_storage(other) && self.layout() == other.layout() && self.dtype() == other.dtype()
    }

    /// Whether nobody else can see this memory: the engine may then overwrite it.
    pub fn is_unshared(&self) -> bool {
        Arc::strong_count(&self.0) == 1
            && Arc::strong_count(&self.0.storage) == 1
            && self.0.storage.is_own()
    }

    /// The first element. `T` must have the size of the dtype's elements.
    #[inline]
    pub fn ptr<T>(&self) -> *mut T {
        debug_assert_eq!(size_of::<T>(), self.0.dtype.size());
        // SAFETY: the layout's offset lies inside the storage by construction.
        unsafe { self.0.storage.ptr().cast::<T>().add(self.0.layout.offset) }
    }

    pub fn byte_ptr(&self) -> *mut u8 {
        // SAFETY: as in `ptr`.
        unsafe { self.0.storage.ptr().add(self.0.layout.offset * self.0.dtype.size()) }
    }

    pub fn buffer(&self) -> &Buffer {
        self.0.storage.buffer()
    }

    /// The elements in row-major order, copied to the CPU and converted.
    pub fn to_vec<T: Element>(&self) -> Result<Vec<T>> {
        // A GPU has no float64: the way to the CPU comes before the cast.
        let t = crate::ops::cast::to_device(self, Device::Cpu)?;
        let t = crate::ops::cast::to(&t, T::DTYPE)?;
        let t = crate::ops::cast::contiguous(&t)?;
        let n = t.numel();
        let mut out = Vec::new();
        out.try_reserve_exact(n)
            .map_err(|_| Error::memory(format!("{n} elements do not fit into memory again")))?;
        out.resize(n, T::default());
        // SAFETY: `t` is a contiguous CPU tensor of T's dtype with n elements.
        unsafe { std::ptr::copy_nonoverlapping(t.ptr::<T>(), out.as_mut_ptr(), n) };
        Ok(out)
    }

    /// The Python number that an operand is, if it is one.
    pub fn as_number(&self) -> Option<Number> {
        if !self.is_wrapped() || self.numel() != 1 || self.device() != Device::Cpu {
            return None;
        }
        // SAFETY: one element of that dtype in CPU memory.
        unsafe {
            match self.dtype() {
                DType::Bool => Some(Number::Bool((*self.ptr::<Flag>()).get())),
                DType::I64 => Some(Number::Int(*self.ptr::<i64>())),
                DType::U64 => Some(Number::Big(*self.ptr::<u64>())),
                DType::F64 => Some(Number::Float(*self.ptr::<f64>())),
                _ => None,
            }
        }
    }

    /// The one element as a Python number.
    pub fn item(&self) -> Result<Number> {
        if self.numel() != 1 {
            return Err(Error::runtime(format!(
                "a Tensor with {} elements (shape {}) cannot be converted to a number",
                self.numel(),
                layout::show(self.shape())
            ))
            .hint("use .tolist(), or index one element first"));
        }
        let no_grad = crate::autograd::NoGrad::new();
        let out = match self.dtype() {
            DType::Bool => Number::Bool(self.to_vec::<Flag>()?[0].get()),
            DType::U64 => {
                let v = self.to_vec::<u64>()?[0];
                i64::try_from(v).map_or(Number::Big(v), Number::Int)
            }
            d if d.is_int() => Number::Int(self.to_vec::<i64>()?[0]),
            _ => Number::Float(self.to_vec::<f64>()?[0]),
        };
        drop(no_grad);
        Ok(out)
    }
}

/// The dtype of a result, as PyTorch promotes: dimensioned tensors first, then 0-d ones, then numbers;
/// a lower rank counts only when its category (bool, integer, float) is higher.
pub fn result_type<'a>(tensors: impl Iterator<Item = &'a Tensor>) -> Result<DType> {
    let mut best: [Option<DType>; 3] = [None; 3];
    for t in tensors {
        let rank = if t.is_wrapped() { 2 } else { usize::from(t.ndim() == 0) };
        // A Python float is the default float type, an int the default integer.
        let dtype = if rank == 2 && t.dtype() == DType::F64 { DType::F32 } else { t.dtype() };
        best[rank] = Some(best[rank].map_or(Ok(dtype), |b| b.promote(dtype))?);
    }
    let mut out: Option<DType> = None;
    for dtype in best.into_iter().flatten() {
        out = Some(match out {
            Some(o) if dtype.category() <= o.category() => o,
            Some(o) if dtype.category() == 2 || o.category() == 0 => dtype,
            Some(o) => o.promote(dtype)?,
            None => dtype,
        });
    }
    Ok(out.unwrap_or(DType::F32))
}
