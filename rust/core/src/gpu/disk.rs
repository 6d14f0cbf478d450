//! The driver's compiled kernels in the user's cache folder, one file per adapter, driver and version.

use std::path::{Path, PathBuf};

use super::device::Device;

pub(super) struct DiskCache {
    cache: wgpu::PipelineCache,
    path: PathBuf,
}

impl DiskCache {
    /// None where the driver cannot, or there is no cache folder.
    pub(super) fn open(device: &Device) -> Option<Self> {
        if !device.wgpu.features().contains(wgpu::Features::PIPELINE_CACHE) {
            return None;
        }
        let a = &device.adapter;
        let version = env!("CARGO_PKG_VERSION");
        let key = format!(
            "{:?}/{}/{:x}/{:x}/{}/{}/{version}",
            a.backend, a.name, a.vendor, a.device, a.driver, a.driver_info
        );
        let path = cache_folder()?.join(format!("gpu-{:016x}.bin", checksum(key.as_bytes())));
        let data = read_file(&path);
        let cache = device.scoped(|| {
            let descriptor = wgpu::PipelineCacheDescriptor {
                label: Some("rubigo"),
                data: data.as_deref(),
                fallback: true,
            };
            // SAFETY: the bytes, if any, carry the checksum under which `write_file` stored what
            // the same driver of the same adapter had returned.
            unsafe { device.wgpu.create_pipeline_cache(&descriptor) }
        });
        Some(Self { cache: cache.ok()?, path })
    }

    pub(super) fn handle(&self) -> &wgpu::PipelineCache {
        &self.cache
    }

    /// A cache that cannot be written costs time at the next start and nothing else.
    pub(super) fn save(&self) {
        if let Some(data) = self.cache.get_data() {
            let _ = write_file(&self.path, &data);
        }
    }
}

fn cache_folder() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
    let base = if cfg!(windows) {
        set("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        set("HOME").map(|home| home.join("Library/Caches"))
    } else {
        set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")))
    };
    base.map(|base| base.join("rubigo"))
}

/// 64-bit FNV-1a.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf29ce484222325, |h, &b| (h ^ u64::from(b)).wrapping_mul(0x100000001b3))
}

/// Checksum, then the data; written aside and renamed, so that a reader never sees a part.
fn write_file(path: &Path, data: &[u8]) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let aside = path.with_extension(format!("{}.tmp", std::process::id()));
    let mut bytes = checksum(data).to_le_bytes().to_vec();
    bytes.extend_from_slice(data);
    std::fs::write(&aside, bytes)?;
    std::fs::rename(&aside, path)
}

/// The data of a whole, unchanged file.
fn read_file(path: &Path) -> Option<Vec<u8>> {
    let mut bytes = std::fs::read(path).ok()?;
    let sum: [u8; 8] = bytes.get(..8)?.try_into().ok()?;
    bytes.drain(..8);
    (checksum(&bytes) == u64::from_le_bytes(sum)).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_cache_file_is_ignored() {
        let folder = std::env::temp_dir().join(format!("rubigo-cache-{}", std::process::id()));
        let path = folder.join("gpu.bin");
        write_file(&path, b"compiled").unwrap();
        assert_eq!(read_file(&path).as_deref(), Some(&b"compiled"[..]));
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[9] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(read_file(&path), None);
        std::fs::write(&path, &bytes[..5]).unwrap();
        assert_eq!(read_file(&path), None);
        assert_eq!(read_file(&folder.join("none")), None);
        std::fs::remove_dir_all(folder).unwrap();
    }
}
