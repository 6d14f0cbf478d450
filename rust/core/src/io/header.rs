//! The JSON header of a safetensors file, read strictly: just the shape the format has, so that every
//! deviation is named with its place.

use std::collections::{BTreeMap, BTreeSet};

use super::{DTYPES, Entry, MAX_HEADER, Parsed, bad};
use crate::error::{Error, Result};

/// `PyTorch` has no tensors of more dimensions.
const MAX_RANK: usize = 64;

/// Reads the header of a file with `data` bytes after it. The entries come in the order of their bytes.
pub(super) fn parse(header: &[u8], data: usize) -> Parsed<(Vec<Entry>, BTreeMap<String, String>)> {
    let text = match std::str::from_utf8(header) {
        Ok(text) => text,
        Err(e) => return bad(format!("byte {} of the header is not UTF-8", 8 + e.valid_up_to())),
    };
    if !text.starts_with('{') {
        return bad("the header does not start with '{' at byte 8");
    }
    let mut reader = Reader { text, at: 0 };
    let mut metadata = None;
    let mut entries = Vec::new();
    let mut names = BTreeSet::new();
    reader.object(|reader, name| {
        if name == "__metadata__" {
            if metadata.replace(reader.metadata()?).is_some() {
                return bad("there are two of \"__metadata__\"");
            }
            return Ok(());
        }
        entries.push(reader.entry(&name)?);
        if let Some(twice) = names.replace(name) {
            return bad(format!("there are two tensors {twice:?}"));
        }
        Ok(())
    })?;
    reader.space();
    if reader.at < text.len() {
        return reader.expected("the end of the header");
    }
    check_places(&mut entries, data)?;
    Ok((entries, metadata.unwrap_or_default()))
}

/// Sorts the entries by place and checks that they cover the data without gap or overlap.
fn check_places(entries: &mut [Entry], data: usize) -> Parsed<()> {
    entries.sort_by_key(|e| (e.bytes.start, e.bytes.end));
    let (mut end, mut before) = (0, None);
    for Entry { name, bytes, .. } in entries.iter() {
        if bytes.start != end {
            let how = if bytes.start < end { "overlaps" } else { "leaves a gap after" };
            let what = before.map_or("the start".to_owned(), |name| format!("tensor {name:?}"));
            return bad(format!(
                "tensor {name:?} starts at byte {} of the data and {how} {what}, which ends at byte {end}",
                bytes.start
            ));
        }
        (end, before) = (bytes.end, Some(name));
    }
    if end != data {
        let how = if end > data { "is cut short" } else { "has bytes of no tensor" };
        return bad(format!(
            "the tensors take {end} bytes and {data} follow the header: the file {how}"
        ));
    }
    Ok(())
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn expected<T>(&self, what: &str) -> Parsed<T> {
        let found = match self.text[self.at..].chars().next() {
            Some(c) => format!("{c:?}"),
            None => "the end of the header".to_owned(),
        };
        bad(format!("byte {} of the header: expected {what}, found {found}", 8 + self.at))
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    /// Steps over `c` and the space before it, if it comes next.
    fn eat(&mut self, c: u8) -> bool {
        self.space();
        let found = self.peek() == Some(c);
        self.at += usize::from(found);
        found
    }

    fn need(&mut self, c: u8) -> Parsed<()> {
        if self.eat(c) { Ok(()) } else { self.expected(&format!("{:?}", c as char)) }
    }

    /// `open`, items with commas between them, `close`.
    fn list(
        &mut self,
        open: u8,
        close: u8,
        mut item: impl FnMut(&mut Self) -> Parsed<()>,
    ) -> Parsed<()> {
        self.need(open)?;
        if self.eat(close) {
            return Ok(());
        }
        loop {
            item(self)?;
            if self.eat(close) {
                return Ok(());
            }
            if !self.eat(b',') {
                return self.expected(&format!("',' or {:?}", close as char));
            }
        }
    }

    fn object(&mut self, mut field: impl FnMut(&mut Self, String) -> Parsed<()>) -> Parsed<()> {
        self.list(b'{', b'}', |reader| {
            let key = reader.string()?;
            reader.need(b':')?;
            field(reader, key)
        })
    }

    fn string(&mut self) -> Parsed<String> {
        self.space();
        let start = self.at;
        let bytes = self.text.as_bytes();
        if self.peek() != Some(b'"') {
            return self.expected("a string");
        }
        let mut end = start + 1;
        while end < bytes.len() && bytes[end] != b'"' {
            end += if bytes[end] == b'\\' { 2 } else { 1 };
        }
        let Some(token) = self.text.get(start..=end) else {
            return bad(format!("the string at byte {} of the header does not end", 8 + start));
        };
        self.at = end + 1;
        serde_json::from_str(token)
            .or_else(|e| bad(format!("the string at byte {} of the header: {e}", 8 + start)))
    }

    fn number(&mut self) -> Parsed<usize> {
        self.space();
        let start = self.at;
        while self.peek().is_some_and(|c| c.is_ascii_digit()) {
            self.at += 1;
        }
        let digits = &self.text[start..self.at];
        if digits.is_empty() || (digits.len() > 1 && digits.starts_with('0')) {
            self.at = start;
            return self.expected("a whole number");
        }
        digits.parse().or_else(|_| {
            bad(format!("the number at byte {} of the header is too large", 8 + start))
        })
    }

    fn metadata(&mut self) -> Parsed<BTreeMap<String, String>> {
        let mut metadata = BTreeMap::new();
        self.object(|reader, key| {
            let value = reader.string()?;
            if metadata.contains_key(&key) {
                return bad(format!("there are two of {key:?} in \"__metadata__\""));
            }
            metadata.insert(key, value);
            Ok(())
        })?;
        Ok(metadata)
    }

    fn entry(&mut self, name: &str) -> Parsed<Entry> {
        let (mut dtype, mut shape, mut offsets) = (None, None, None);
        self.object(|reader, key| {
            let twice = match key.as_str() {
                "dtype" => dtype.replace(reader.string()?).is_some(),
                "shape" => shape.replace(reader.numbers(MAX_RANK)?).is_some(),
                "data_offsets" => offsets.replace(reader.numbers(2)?).is_some(),
                _ => {
                    return bad(format!(
                        "tensor {name:?} has a field {key:?}, which the format lacks"
                    ));
                }
            };
            if twice { bad(format!("tensor {name:?} has two of {key:?}")) } else { Ok(()) }
        })?;
        let (Some(dtype), Some(shape), Some(offsets)) = (dtype, shape, offsets) else {
            return bad(format!("tensor {name:?} lacks one of dtype, shape and data_offsets"));
        };
        let &[start, end] = offsets.as_slice() else {
            return bad(format!("tensor {name:?} has {} data_offsets instead of 2", offsets.len()));
        };
        let Some(&(dtype, itemsize)) = DTYPES.iter().find(|(known, _)| *known == dtype) else {
            return bad(format!("tensor {name:?} has the dtype {dtype:?}, which is not supported"));
        };
        if end < start {
            return bad(format!("tensor {name:?} ends at byte {end}, before its start at {start}"));
        }
        match size_of(&shape, itemsize) {
            None => bad(format!("the size of tensor {name:?} {dtype} {shape:?} overflows")),
            Some(size) if size != end - start => bad(format!(
                "tensor {name:?} {dtype} {shape:?} needs {size} bytes, its data_offsets give it {}",
                end - start
            )),
            Some(_) => Ok(Entry { name: name.to_owned(), dtype, shape, bytes: start..end }),
        }
    }

    fn numbers(&mut self, most: usize) -> Parsed<Vec<usize>> {
        let mut numbers = Vec::new();
        self.list(b'[', b']', |reader| {
            if numbers.len() == most {
                return reader.expected(&format!("at most {most} numbers in the list"));
            }
            numbers.push(reader.number()?);
            Ok(())
        })?;
        Ok(numbers)
    }
}

/// Bytes of a tensor. A zero among the dimensions does not excuse the others: their product must not overflow.
fn size_of(shape: &[usize], itemsize: usize) -> Option<usize> {
    shape.iter().try_fold(itemsize, |size, &dim| size.checked_mul(dim)).filter(|_| {
        let others = shape.iter().filter(|&&dim| dim != 0);
        others.copied().try_fold(itemsize, usize::checked_mul).is_some()
    })
}

/// The header for tensors written in the given order, padded with spaces to a multiple of 8 bytes.
pub(super) fn make(
    tensors: &[(&str, &str, &[usize], &[u8])],
    metadata: &BTreeMap<String, String>,
) -> Result<Vec<u8>> {
    let quote = |text: &str| serde_json::Value::from(text).to_string();
    let mut fields = Vec::with_capacity(tensors.len() + 1);
    if !metadata.is_empty() {
        let items: Vec<String> =
            metadata.iter().map(|(k, v)| format!("{}:{}", quote(k), quote(v))).collect();
        fields.push(format!("\"__metadata__\":{{{}}}", items.join(",")));
    }
    let mut names = BTreeSet::new();
    let mut end = 0usize;
    for &(name, dtype, shape, bytes) in tensors {
        if name == "__metadata__" || !names.insert(name) {
            let why = if name == "__metadata__" { "is reserved" } else { "occurs twice" };
            return Err(Error::value(format!("the tensor name {name:?} {why}")));
        }
        let Some(&(_, itemsize)) = DTYPES.iter().find(|(known, _)| *known == dtype) else {
            return Err(Error::type_(format!(
                "tensor {name:?}: safetensors has no dtype {dtype:?}"
            )));
        };
        if shape.len() > MAX_RANK {
            return Err(Error::value(format!(
                "tensor {name:?} has {} dimensions, a file holds up to {MAX_RANK}",
                shape.len()
            ))
            .hint("reshape it before saving"));
        }
        if size_of(shape, itemsize) != Some(bytes.len()) {
            return Err(Error::value(format!(
                "tensor {name:?} {dtype} {shape:?} does not fit its {} bytes",
                bytes.len()
            )));
        }
        let start = end;
        end += bytes.len();
        let shape: Vec<String> = shape.iter().map(ToString::to_string).collect();
        fields.push(format!(
            "{}:{{\"dtype\":\"{dtype}\",\"shape\":[{}],\"data_offsets\":[{start},{end}]}}",
            quote(name),
            shape.join(",")
        ));
    }
    let mut header = format!("{{{}}}", fields.join(",")).into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');
    if header.len() as u64 > MAX_HEADER {
        return Err(Error::value(format!(
            "names, shapes and metadata take {} bytes, the format allows {MAX_HEADER}",
            header.len()
        )));
    }
    Ok(header)
}
