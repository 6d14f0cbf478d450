use super::*;
use proptest::prelude::*;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

/// A folder of its own for each test, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("rubigo-io-{}-{count}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn names(&self) -> Vec<String> {
        let files = std::fs::read_dir(&self.0).unwrap();
        files.map(|f| f.unwrap().file_name().into_string().unwrap()).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn parsed(bytes: &[u8]) -> Parsed<(Vec<Entry>, BTreeMap<String, String>, Data)> {
    read_from(&mut &bytes[..], bytes.len() as u64)
}

fn file_of(header: &str, data: &[u8]) -> Vec<u8> {
    let length = (header.len() as u64).to_le_bytes();
    [length.as_slice(), header.as_bytes(), data].concat()
}

fn complaint(bytes: &[u8]) -> String {
    match parsed(bytes) {
        Err(Problem::File(what)) => what,
        other => panic!("{other:?}"),
    }
}

#[test]
fn says_what_is_wrong_with_a_file() {
    let one = |fields: &str| file_of(&format!("{{\"a\":{{{fields}}}}}"), &[0; 8]);
    let two = |a: &str, b: &str| {
        let entry = |at: &str| format!("{{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":{at}}}");
        file_of(&format!("{{\"a\":{},\"b\":{}}}", entry(a), entry(b)), &[0; 8])
    };
    let good = r#""dtype":"F32","shape":[2],"data_offsets":[0,8]"#;
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (vec![], "has 0 bytes"),
        (vec![1; 7], "has 7 bytes"),
        (vec![0xFF; 8], "give the header 18446744073709551615 bytes"),
        (100_000_001u64.to_le_bytes().to_vec(), "100000000 are allowed"),
        (10u64.to_le_bytes().to_vec(), "10 bytes, but only 0 follow"),
        (file_of("", &[]), "does not start with '{'"),
        (file_of(" {}", &[]), "does not start with '{'"),
        (file_of("{} x", &[]), "byte 11 of the header: expected the end of the header, found 'x'"),
        (file_of("{", &[]), "expected a string, found the end of the header"),
        (file_of("{\"a", &[]), "the string at byte 9 of the header does not end"),
        (file_of("{\"a\\", &[]), "does not end"),
        (file_of("{\"\\q\":1}", &[]), "the string at byte 9 of the header: invalid escape"),
        (file_of("{\"a\":1}", &[]), "byte 13 of the header: expected '{', found '1'"),
        (file_of("{\"a\":{}}", &[]), "\"a\" lacks one of dtype"),
        (
            file_of("{}", &[1]),
            "take 0 bytes and 1 follow the header: the file has bytes of no tensor",
        ),
        (file_of("{\"__metadata__\":{\"a\":{}}}", &[]), "expected a string, found '{'"),
        (file_of("{\"__metadata__\":{\"a\":\"\",\"a\":\"\"}}", &[]), "two of \"a\" in"),
        (file_of("{\"__metadata__\":{},\"__metadata__\":{}}", &[]), "two of \"__metadata__\""),
        (one(&good.replace("F32", "F128")), "has the dtype \"F128\", which is not supported"),
        (one(&good.replace("F32", "f32")), "has the dtype \"f32\""),
        (one(&good.replace("[2]", "[3]")), "needs 12 bytes, its data_offsets give it 8"),
        (one(&good.replace("[2]", "[-2]")), "expected a whole number, found '-'"),
        (one(&good.replace("[2]", "[2.0]")), "expected ',' or ']', found '.'"),
        (one(&good.replace("[2]", "[02]")), "expected a whole number, found '0'"),
        (one(&good.replace("[2]", "[99999999999999999999]")), "is too large"),
        (one(&good.replace("[2]", "[9223372036854775807,4]")), "overflows"),
        (one(&good.replace("[2]", "[0,9223372036854775807,4]")), "overflows"),
        (one(&good.replace("[0,8]", "[0,8,8]")), "at most 2 numbers"),
        (one(&good.replace("[0,8]", "[8]")), "has 1 data_offsets"),
        (one(&good.replace("[0,8]", "[8,0]")), "ends at byte 0, before its start at 8"),
        (one(&good.replace("[0,8]", "[8,16]")), "starts at byte 8 of the data and leaves a gap"),
        (one(&format!("{good},\"x\":1")), "field \"x\", which the format lacks"),
        (one(&format!("{good},\"shape\":[2]")), "two of \"shape\""),
        (two("[0,4]", "[2,6]"), "\"b\" starts at byte 2 of the data and overlaps tensor \"a\""),
        (two("[0,4]", "[5,9]"), "leaves a gap after tensor \"a\", which ends at byte 4"),
        (two("[0,4]", "[0,4]"), "overlaps"),
        (file_of(&format!("{{\"a\":{{{good}}},\"a\":{{{good}}}}}"), &[0; 8]), "two tensors \"a\""),
        (file_of(&format!("{{\"a\":{{{good}}}}}"), &[0; 7]), "take 8 bytes and 7 follow"),
    ];
    for (bytes, expected) in cases {
        let message = complaint(&bytes);
        assert!(message.contains(expected), "{message:?} lacks {expected:?}");
    }
    assert!(parsed(&one(good)).is_ok());
    let mut bytes =
        file_of("{\"a\":{\"dtype\":\"BOOL\",\"shape\":[2],\"data_offsets\":[0,2]}}", &[1, 2]);
    assert!(complaint(&bytes).contains("is 2, but tensor \"a\" is of booleans"));
    bytes[10] = 0xFF;
    assert!(complaint(&bytes).contains("byte 10 of the header is not UTF-8"));
    let ranks = vec!["1"; 65].join(",");
    let deep = one(&good.replace("[2]", &format!("[{ranks}]")));
    assert!(complaint(&deep).contains("at most 64 numbers"));
}

#[test]
fn a_file_that_shrinks_while_it_is_read_is_an_error() {
    let bytes = file_of("{\"a\":{\"dtype\":\"U8\",\"shape\":[9],\"data_offsets\":[0,9]}}", &[0; 9]);
    let whole = bytes.len() as u64;
    match read_from(&mut &bytes[..bytes.len() - 4], whole) {
        Err(Problem::File(what)) => assert!(what.contains(&format!("instead of {whole}"))),
        other => panic!("{other:?}"),
    }
}

#[test]
fn folders_and_missing_files_are_errors() {
    let folder = Folder::new();
    let error = read(&folder.0).unwrap_err();
    assert!(error.kind == Kind::Value && error.msg.contains("is a folder"));
    let error = read(&folder.file("none")).unwrap_err();
    assert_eq!(error.kind, Kind::Io(libc::ENOENT));
    assert!(error.msg.contains("none"));
    assert_eq!(write_atomic(&folder.0, b"x").unwrap_err().kind, Kind::Io(libc::EISDIR));
    let nowhere = folder.file("no/where");
    assert_eq!(write_atomic(&nowhere, b"x").unwrap_err().kind, Kind::Io(libc::ENOENT));
    std::fs::write(folder.file("empty"), b"").unwrap();
    let error = read(&folder.file("empty")).unwrap_err();
    assert!(error.kind == Kind::Value && error.msg.contains("empty: the file has 0 bytes"));
}

#[test]
fn a_failed_write_leaves_the_old_file_and_nothing_else() {
    let folder = Folder::new();
    let path = folder.file("model");
    write_atomic(&path, b"old").unwrap();
    let error = atomic::write_with(&path, |file| {
        file.write_all(b"half of the new")?;
        Err(std::io::Error::from_raw_os_error(libc::ENOSPC))
    });
    assert_eq!(error.unwrap_err().kind, Kind::Io(28));
    assert_eq!(std::fs::read(&path).unwrap(), b"old");
    assert_eq!(folder.names(), ["model"]);
    write_atomic(&path, b"new").unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"new");
    assert_eq!(folder.names(), ["model"]);
}

#[cfg(unix)]
#[test]
fn links_and_permissions_stay() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let folder = Folder::new();
    let (path, link) = (folder.file("model"), folder.file("link"));
    write_atomic(&path, b"old").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    symlink(&path, &link).unwrap();
    write_atomic(&link, b"new").unwrap();
    assert!(link.is_symlink());
    assert_eq!(std::fs::read(&path).unwrap(), b"new");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn refuses_to_write_what_it_would_not_read() {
    let folder = Folder::new();
    let path = folder.file("model");
    let none = BTreeMap::new();
    let attempt = |tensors: &[(&str, &str, &[usize], &[u8])]| write(&path, tensors, &none);
    let same = ("a", "U8", &[1][..], &[1][..]);
    assert!(attempt(&[same, same]).unwrap_err().msg.contains("\"a\" occurs twice"));
    assert!(attempt(&[("__metadata__", "U8", &[], &[1])]).unwrap_err().msg.contains("reserved"));
    assert!(attempt(&[("a", "F32", &[2], &[1])]).unwrap_err().msg.contains("does not fit"));
    assert_eq!(attempt(&[("a", "C128", &[0], &[])]).unwrap_err().kind, Kind::Type);
    assert!(!path.exists());
}

/// Tensors with unique names, consistent sizes, and bytes that are valid booleans.
fn tensors() -> impl Strategy<Value = Vec<(String, &'static str, Vec<usize>, Vec<u8>)>> {
    let tensor = (0..DTYPES.len(), prop::collection::vec(0..4usize, 0..4), any::<u8>());
    prop::collection::btree_map(".{0,8}", tensor, 0..6).prop_map(|map| {
        let make = |(name, (dtype, shape, start)): (String, (usize, Vec<usize>, u8))| {
            let (dtype, itemsize) = DTYPES[dtype];
            let n = shape.iter().product::<usize>() * itemsize;
            let bytes = (0..n).map(|i| if dtype == "BOOL" { i as u8 & 1 } else { start ^ i as u8 });
            (name, dtype, shape, bytes.collect())
        };
        map.into_iter().map(make).collect()
    })
}

type Views<'a> = Vec<(&'a str, &'a str, &'a [usize], &'a [u8])>;

fn views<'a>(tensors: &'a [(String, &'static str, Vec<usize>, Vec<u8>)]) -> Views<'a> {
    tensors.iter().map(|(n, d, s, b)| (n.as_str(), *d, s.as_slice(), b.as_slice())).collect()
}

proptest! {
    #[test]
    fn what_is_written_is_read(tensors in tensors(), metadata in prop::collection::btree_map(".{0,8}", ".{0,20}", 0..4)) {
        let folder = Folder::new();
        let (path, other) = (folder.file("a"), folder.file("b"));
        let mut views = views(&tensors);
        write(&path, &views, &metadata).unwrap();
        let (entries, found, data) = read(&path).unwrap();
        prop_assert_eq!(&found, &metadata);
        prop_assert_eq!(entries.len(), tensors.len());
        for entry in &entries {
            let (_, dtype, shape, bytes) = tensors.iter().find(|t| t.0 == entry.name).unwrap();
            prop_assert_eq!((entry.dtype, &entry.shape), (*dtype, shape));
            prop_assert_eq!(&data.bytes()[entry.bytes.clone()], bytes.as_slice());
            prop_assert_eq!(bytes.is_empty() || entry.bytes.start % (bytes.len() / shape.iter().product::<usize>()) == 0, true);
        }
        // The order of the arguments does not show in the file.
        views.reverse();
        write(&other, &views, &metadata).unwrap();
        let file = std::fs::read(&path).unwrap();
        prop_assert_eq!(&std::fs::read(&other).unwrap(), &file);
        // The format's own library reads the same.
        let theirs = safetensors::SafeTensors::deserialize(&file).unwrap();
        if metadata.is_empty() {
            let again = safetensors::serialize(theirs.tensors(), None).unwrap();
            prop_assert_eq!(&again, &file);
        }
        for entry in &entries {
            let view = theirs.tensor(&entry.name).unwrap();
            prop_assert_eq!(view.dtype().to_string(), entry.dtype);
            prop_assert_eq!((view.shape(), view.data()), (entry.shape.as_slice(), &data.bytes()[entry.bytes.clone()]));
        }
    }

    #[test]
    fn damage_never_panics_and_never_passes_what_the_format_refuses(
        tensors in tensors(), edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4u8), 1..6),
    ) {
        let mut views = views(&tensors);
        views.sort_by_key(|v| v.0);
        let header = header::make(&views, &BTreeMap::new()).unwrap();
        let mut bytes = file_of(std::str::from_utf8(&header).unwrap(), &[]);
        for view in views {
            bytes.extend(view.3);
        }
        for (place, byte, kind) in edits {
            let at = place.index(bytes.len().max(1));
            match kind {
                0 => bytes.truncate(at),
                1 => bytes.insert(at, byte),
                // Characters that matter to the header more often than chance would give them.
                2 if at < bytes.len() => bytes[at] = b"{}[]\",:0129\\ "[usize::from(byte) % 13],
                _ if at < bytes.len() => bytes[at] = byte,
                _ => {}
            }
        }
        if let Ok((entries, _, data)) = parsed(&bytes) {
            prop_assert!(safetensors::SafeTensors::deserialize(&bytes).is_ok());
            prop_assert!(entries.iter().all(|e| data.bytes().get(e.bytes.clone()).is_some()));
        }
    }

    #[test]
    fn random_headers_never_panic(text in "[{}\\[\\]\",:0-9a-z\\\\ ]{0,60}", data in 0..20usize) {
        let _ = header::parse(text.as_bytes(), data);
        let _ = header::parse(format!("{{\"a\":{{{text}}}}}").as_bytes(), data);
    }
}
