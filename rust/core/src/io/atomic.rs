//! Files that appear whole or not at all, also when the process is killed or the power fails half-way.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::io_error;
use crate::error::Result;

/// Writes `bytes` to `path`; on any failure the old file stays as it was.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    write_with(path, |file| file.write_all(bytes))
}

/// Lets `fill` write a new file beside `path`, and puts it in the place of `path` once it is safely on the disk.
pub(super) fn write_with(
    path: &Path,
    fill: impl FnOnce(&mut File) -> std::io::Result<()>,
) -> Result<()> {
    replace(path, fill).map_err(|e| io_error("write", path, &e))
}

fn replace(
    path: &Path,
    fill: impl FnOnce(&mut File) -> std::io::Result<()>,
) -> std::io::Result<()> {
    // A link stays a link: the file it points to is replaced.
    let path = if path.is_symlink() { fs::canonicalize(path)? } else { path.to_owned() };
    let old = fs::metadata(&path).ok();
    if let Some(old) = old.as_ref().filter(|old| !old.is_file()) {
        let kind = if old.is_dir() { libc::EISDIR } else { libc::EINVAL };
        return Err(std::io::Error::from_raw_os_error(kind));
    }
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut temporary = Temporary::new(folder)?;
    if let Some(old) = old {
        temporary.file.set_permissions(old.permissions())?;
    }
    fill(&mut temporary.file)?;
    temporary.file.sync_all()?;
    fs::rename(&temporary.path, &path)?;
    temporary.renamed = true;
    sync_folder(folder)
}

/// Makes the rename itself last.
#[cfg(unix)]
fn sync_folder(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder(_: &Path) -> std::io::Result<()> {
    // Folders cannot be opened as files here; the rename is ordered by the file system.
    Ok(())
}

/// A new file that is removed again unless it was renamed.
struct Temporary {
    path: PathBuf,
    file: File,
    renamed: bool,
}

impl Temporary {
    fn new(folder: &Path) -> std::io::Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        loop {
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let path = folder.join(format!(".rubigo-{}-{count}.tmp", std::process::id()));
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => return Ok(Self { path, file, renamed: false }),
                // Left by a killed process that had our number.
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(e),
            }
        }
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.renamed {
            // The failure that led here is what the caller hears of.
            let _ = fs::remove_file(&self.path);
        }
    }
}
