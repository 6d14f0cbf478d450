//! Files: safetensors in both directions. What is read is hostile until checked; what is written appears whole or not at all.

mod atomic;
mod header;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::ops::Range;
use std::path::Path;

pub use atomic::write_atomic;

use crate::cpu::alloc::{self, Block};
use crate::error::{Error, Kind, Result};

/// The format's own bound on the header, in bytes.
const MAX_HEADER: u64 = 100_000_000;

/// Names of the formats' element types, the bytes of one element, and the rank by which writers sort.
/// Complex128 has no name in the format; narrower floats than these have no type here.
const DTYPES: [(&str, usize); 14] = [
    ("BOOL", 1),
    ("U8", 1),
    ("I8", 1),
    ("I16", 2),
    ("U16", 2),
    ("F16", 2),
    ("BF16", 2),
    ("I32", 4),
    ("U32", 4),
    ("F32", 4),
    ("C64", 8),
    ("F64", 8),
    ("I64", 8),
    ("U64", 8),
];

/// One tensor of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub name: String,
    /// As the format names it: "F32", "BF16", "BOOL", ...
    pub dtype: &'static str,
    pub shape: Vec<usize>,
    /// Where its bytes are in the file's `Data`.
    pub bytes: Range<usize>,
}

/// The bytes of all tensors of a file, in memory of the tensor allocator.
#[derive(Debug)]
pub struct Data(Block);

impl Data {
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: `read` filled the block, and nothing writes to it while it is in here.
        unsafe { std::slice::from_raw_parts(self.0.ptr(), self.0.bytes()) }
    }

    /// The memory itself, for tensors that are to live in it.
    pub fn into_block(self) -> Block {
        self.0
    }
}

/// Reads a safetensors file: its tensors in the order of their bytes, its metadata, and the bytes.
pub fn read(path: &Path) -> Result<(Vec<Entry>, BTreeMap<String, String>, Data)> {
    let failed = |e: &std::io::Error| io_error("read", path, e);
    let about = std::fs::metadata(path).map_err(|e| failed(&e))?;
    // Opening a pipe would wait for a writer.
    if !about.is_file() {
        let kind = if about.is_dir() { "a folder" } else { "no regular file" };
        return Err(Error::value(format!("{} is {kind}", path.display())));
    }
    let mut file = File::open(path).map_err(|e| failed(&e))?;
    let size = file.metadata().map_err(|e| failed(&e))?.len();
    read_from(&mut file, size).map_err(|problem| match problem {
        Problem::File(what) => Error::value(format!("{}: {what}", path.display()))
            .hint("the file is damaged or no safetensors file"),
        Problem::Io(e) => failed(&e),
        Problem::Other(e) => e,
    })
}

/// Why a file could not be read.
#[derive(Debug)]
enum Problem {
    /// What is wrong with the file.
    File(String),
    Io(std::io::Error),
    Other(Error),
}

type Parsed<T> = std::result::Result<T, Problem>;

fn bad<T>(what: impl Into<String>) -> Parsed<T> {
    Err(Problem::File(what.into()))
}

fn read_from(
    file: &mut impl Read,
    size: u64,
) -> Parsed<(Vec<Entry>, BTreeMap<String, String>, Data)> {
    if size < 8 {
        return bad(format!("the file has {size} bytes, not even the 8 of the header's length"));
    }
    let mut length = [0; 8];
    fill(file, &mut length, 0)?;
    let length = u64::from_le_bytes(length);
    if length > MAX_HEADER {
        return bad(format!(
            "bytes 0 to 7 give the header {length} bytes; {MAX_HEADER} are allowed"
        ));
    }
    if length > size - 8 {
        return bad(format!("the header is to have {length} bytes, but only {} follow", size - 8));
    }
    let mut header = vec![0; length as usize];
    fill(file, &mut header, 8)?;
    let data = size - 8 - length;
    let Ok(data) = usize::try_from(data) else {
        return bad(format!("{data} bytes of data are more than this machine can address"));
    };
    let (entries, metadata) = header::parse(&header, data)?;

    let block = alloc::alloc_zeroed(data).map_err(Problem::Other)?;
    // SAFETY: the block is ours alone, has that many bytes, and they are initialized.
    let bytes = unsafe { std::slice::from_raw_parts_mut(block.ptr(), data) };
    fill(file, bytes, 8 + length)?;
    for entry in entries.iter().filter(|e| e.dtype == "BOOL") {
        if let Some(i) = bytes[entry.bytes.clone()].iter().position(|&b| b > 1) {
            let (at, value) = (entry.bytes.start + i, bytes[entry.bytes.start + i]);
            return bad(format!(
                "byte {} is {value}, but tensor {:?} is of booleans",
                8 + length + at as u64,
                entry.name
            ));
        }
    }
    Ok((entries, metadata, Data(block)))
}

/// Reads exactly `bytes`, which start at byte `start` of the file.
fn fill(file: &mut impl Read, mut bytes: &mut [u8], start: u64) -> Parsed<()> {
    let total = bytes.len();
    while !bytes.is_empty() {
        match file.read(bytes) {
            Ok(0) => {
                let (got, end) = (total - bytes.len(), start + total as u64);
                return bad(format!("it ends at byte {} instead of {end}", start + got as u64));
            }
            Ok(n) => bytes = &mut bytes[n..],
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(Problem::Io(e)),
        }
    }
    Ok(())
}

/// Writes a safetensors file of (name, dtype, shape, bytes). The same tensors and metadata give the same bytes of file,
/// in whatever order they come: wide dtypes stand first, so that all are aligned, and names are sorted within a dtype.
pub fn write(
    path: &Path,
    tensors: &[(&str, &str, &[usize], &[u8])],
    metadata: &BTreeMap<String, String>,
) -> Result<()> {
    let mut sorted: Vec<_> = tensors.to_vec();
    sorted.sort_by_key(|&(name, dtype, ..)| {
        (std::cmp::Reverse(DTYPES.iter().position(|d| d.0 == dtype)), name)
    });
    let header = header::make(&sorted, metadata)?;
    atomic::write_with(path, |file| {
        file.write_all(&(header.len() as u64).to_le_bytes())?;
        file.write_all(&header)?;
        sorted.iter().try_for_each(|(.., bytes)| file.write_all(bytes))
    })
}

/// What the operating system said about a file, with its errno.
fn io_error(what: &str, path: &Path, e: &std::io::Error) -> Error {
    let kind = Kind::Io(e.raw_os_error().unwrap_or(0));
    Error::new(kind, format!("cannot {what} {}: {e}", path.display()))
}

#[cfg(test)]
mod tests;
