//! The memory behind tensors: shared between views, never reallocated, with a version that in-place
//! writes count up.

use crate::cpu::alloc::{self, Block};
use crate::error::Result;
use crate::gpu::{Buffer, Gpu};
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Device {
    Cpu,
    Gpu,
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Device::Cpu => "cpu",
            Device::Gpu => "gpu",
        })
    }
}

pub enum Memory {
    Cpu(Block),
    /// Memory of another library (numpy, DLPack), kept alive by its owner.
    Foreign {
        ptr: *mut u8,
        owner: Box<dyn Send + Sync>,
    },
    Gpu(Buffer),
}

pub struct Storage {
    memory: Memory,
    bytes: usize,
    version: AtomicU32,
}

// SAFETY: the pointer of `Foreign` is owned by `owner`, which is Send + Sync; what is written through
// it is as unordered as in numpy and never outlives the owner.
unsafe impl Send for Storage {}
unsafe impl Sync for Storage {}

impl Storage {
    pub fn new(bytes: usize, device: Device, zeroed: bool) -> Result<Self> {
        let memory = match device {
            Device::Cpu if zeroed => Memory::Cpu(alloc::alloc_zeroed(bytes)?),
            Device::Cpu => Memory::Cpu(alloc::alloc(bytes)?),
            Device::Gpu => {
                let buffer = Gpu::get()?.alloc(bytes)?;
                if zeroed {
                    buffer.gpu().fill(&buffer, 0)?;
                }
                Memory::Gpu(buffer)
            }
        };
        Ok(Self { memory, bytes, version: AtomicU32::new(0) })
    }

    /// # Safety
    /// `ptr` must stay valid for `bytes` bytes for as long as `owner` lives.
    pub unsafe fn foreign(ptr: *mut u8, bytes: usize, owner: Box<dyn Send + Sync>) -> Self {
        Self { memory: Memory::Foreign { ptr, owner }, bytes, version: AtomicU32::new(0) }
    }

    pub fn from_memory(memory: Memory, bytes: usize) -> Self {
        Self { memory, bytes, version: AtomicU32::new(0) }
    }

    pub fn device(&self) -> Device {
        match self.memory {
            Memory::Gpu(_) => Device::Gpu,
            _ => Device::Cpu,
        }
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The first byte of CPU memory. Panics for GPU memory: a kernel was picked for the wrong device.
    #[inline]
    pub fn ptr(&self) -> *mut u8 {
        match &self.memory {
            Memory::Cpu(block) => block.ptr(),
            Memory::Foreign { ptr, .. } => *ptr,
            Memory::Gpu(_) => unreachable!("a CPU kernel was given GPU memory"),
        }
    }

    pub fn buffer(&self) -> &Buffer {
        match &self.memory {
            Memory::Gpu(buffer) => buffer,
            _ => unreachable!("a GPU kernel was given CPU memory"),
        }
    }

    /// Whether two storages of CPU memory share bytes: only lent memory can.
    pub fn overlaps(&self, other: &Self) -> bool {
        if self.is_own() || other.is_own() {
            return false;
        }
        let (a, b) = (self.ptr() as usize, other.ptr() as usize);
        a < b + other.bytes && b < a + self.bytes
    }

    /// Whether the memory is rubigo's: what another library lent is never only ours.
    pub fn is_own(&self) -> bool {
        !matches!(self.memory, Memory::Foreign { .. })
    }

    /// The foreign owner, for handing a numpy array back as itself.
    pub fn owner(&self) -> Option<&(dyn Send + Sync)> {
        match &self.memory {
            Memory::Foreign { owner, .. } => Some(owner.as_ref()),
            _ => None,
        }
    }

    pub fn version(&self) -> u32 {
        self.version.load(Ordering::Acquire)
    }

    pub fn bump_version(&self) {
        self.version.fetch_add(1, Ordering::AcqRel);
    }
}
