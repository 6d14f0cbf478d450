//! What this process may use: memory and processors, as the machine, the affinity mask and the cgroups say.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes of memory this process may use: the smallest of physical memory and every enclosing cgroup's limit.
pub fn memory() -> usize {
    static BYTES: AtomicUsize = AtomicUsize::new(0);
    once(&BYTES, || {
        let groups = groups("memory");
        let limits = groups.iter().filter_map(Group::memory);
        limits.chain([physical_memory()]).min().unwrap_or(usize::MAX)
    })
}

/// Processors this process may use: the affinity mask, and every enclosing cgroup's quota rounded up.
pub fn cpus() -> usize {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    once(&COUNT, || {
        let groups = groups("cpu");
        let quotas = groups.iter().filter_map(Group::cpus);
        quotas.chain([affinity()]).min().unwrap_or(1)
    })
}

/// What `find` answers, asked once or, if several threads come at the same time, a few times. No `OnceLock`: in the
/// child of a fork that met one half-way its answer would never come.
#[inline]
fn once(known: &AtomicUsize, find: impl FnOnce() -> usize) -> usize {
    let value = known.load(Ordering::Relaxed);
    if value != 0 {
        return value;
    }
    let value = find().max(1);
    known.store(value, Ordering::Relaxed);
    value
}

#[cfg(target_os = "linux")]
fn affinity() -> usize {
    // SAFETY: an all-zero cpu_set_t is valid, and the kernel writes at most the size it is told.
    let count = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        let failed = libc::sched_getaffinity(0, size_of_val(&set), &raw mut set) != 0;
        if failed { 0 } else { libc::CPU_COUNT(&set) as usize }
    };
    // The call fails only where the machine has more processors than a cpu_set_t holds.
    if count == 0 { parallelism() } else { count }
}

#[cfg(not(target_os = "linux"))]
fn affinity() -> usize {
    parallelism()
}

fn parallelism() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

#[cfg(unix)]
fn physical_memory() -> usize {
    // SAFETY: sysconf only reads; it answers -1 for what it does not know.
    let (pages, size) =
        unsafe { (libc::sysconf(libc::_SC_PHYS_PAGES), libc::sysconf(libc::_SC_PAGESIZE)) };
    if pages > 0 && size > 0 { (pages as usize).saturating_mul(size as usize) } else { usize::MAX }
}

#[cfg(windows)]
fn physical_memory() -> usize {
    /// MEMORYSTATUSEX of the Windows API.
    #[repr(C)]
    #[derive(Default)]
    struct Status {
        length: u32,
        load: u32,
        total_physical: u64,
        rest: [u64; 6],
    }
    #[link(name = "kernel32")]
    unsafe extern "system" {
        fn GlobalMemoryStatusEx(status: *mut Status) -> i32;
    }
    let mut status = Status { length: size_of::<Status>() as u32, ..Status::default() };
    // SAFETY: `status` has the layout and the length field the call asks for.
    if unsafe { GlobalMemoryStatusEx(&raw mut status) } == 0 {
        return usize::MAX;
    }
    usize::try_from(status.total_physical).unwrap_or(usize::MAX)
}

#[cfg(not(any(unix, windows)))]
fn physical_memory() -> usize {
    usize::MAX
}

/// One cgroup directory this process is subject to: its own or one around it.
#[derive(Debug, PartialEq)]
struct Group {
    dir: PathBuf,
    v2: bool,
}

impl Group {
    fn read(&self, file: &str) -> Option<String> {
        std::fs::read_to_string(self.dir.join(file)).ok()
    }

    fn memory(&self) -> Option<usize> {
        let file = if self.v2 { "memory.max" } else { "memory.limit_in_bytes" };
        self.read(file)?.trim().parse().ok()
    }

    fn cpus(&self) -> Option<usize> {
        let (quota, period) = if self.v2 {
            let text = self.read("cpu.max")?;
            let (quota, period) = text.trim().split_once(' ')?;
            (quota.to_owned(), period.to_owned())
        } else {
            (self.read("cpu.cfs_quota_us")?, self.read("cpu.cfs_period_us")?)
        };
        // Without a quota the words are "max" or -1, which are no usize.
        let (quota, period): (usize, usize) =
            (quota.trim().parse().ok()?, period.trim().parse().ok()?);
        (quota > 0 && period > 0).then(|| quota.div_ceil(period))
    }
}

fn groups(controller: &str) -> Vec<Group> {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    find_groups(&read("/proc/self/mountinfo"), &read("/proc/self/cgroup"), controller)
}

/// Joins the mounted hierarchies (`mountinfo`) with this process's place in them (`cgroup`).
fn find_groups(mountinfo: &str, cgroup: &str, controller: &str) -> Vec<Group> {
    let mut found = Vec::new();
    for line in mountinfo.lines() {
        let Some((left, right)) = line.split_once(" - ") else { continue };
        let left: Vec<&str> = left.split(' ').collect();
        let right: Vec<&str> = right.split(' ').collect();
        let (Some(root), Some(mount), Some(kind)) = (left.get(3), left.get(4), right.first())
        else {
            continue;
        };
        let v2 = *kind == "cgroup2";
        let has = right.last().is_some_and(|o| o.split(',').any(|o| o == controller));
        let v1 = *kind == "cgroup" && has;
        if !v1 && !v2 {
            continue;
        }
        // Lines are `id:controllers:path`; the unified hierarchy's controllers are empty.
        let path = cgroup.lines().find_map(|line| {
            let mut parts = line.splitn(3, ':').skip(1);
            let (names, path) = (parts.next()?, parts.next()?);
            let ours =
                if v2 { names.is_empty() } else { names.split(',').any(|n| n == controller) };
            ours.then_some(path)
        });
        // Inside a container the mount may show only a part of the tree, from `root` on.
        let path = Path::new(path.unwrap_or("/"));
        let below = path.strip_prefix(root).unwrap_or(Path::new(""));
        let own = Path::new(mount).join(below);
        let around = own.ancestors().take_while(|dir| dir.starts_with(mount));
        found.extend(around.map(|dir| Group { dir: dir.to_owned(), v2 }));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_own_and_enclosing_groups() {
        let mounts = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
            35 31 0:32 /docker/ab /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n\
            32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n\
            41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";
        let places = "4:memory:/docker/ab/job\n1:cpu,cpuacct:/\n0::/user/app\n";
        let found = |controller| find_groups(mounts, places, controller);
        let group = |dir: &str, v2| Group { dir: dir.into(), v2 };
        let unified = [
            group("/sys/fs/cgroup/unified/user/app", true),
            group("/sys/fs/cgroup/unified/user", true),
            group("/sys/fs/cgroup/unified", true),
        ];
        assert_eq!(found("cpu")[0], group("/sys/fs/cgroup/cpu", false));
        assert_eq!(found("cpu")[1..], unified);
        assert_eq!(found("memory")[0], group("/sys/fs/cgroup/memory/job", false));
        assert_eq!(found("memory")[1], group("/sys/fs/cgroup/memory", false));
        assert_eq!(found("memory")[2..], unified);
        assert_eq!(find_groups("garbage\n - \n", "x", "cpu"), []);
    }

    #[test]
    fn reads_limit_files_of_both_versions() {
        let dir = std::env::temp_dir().join(format!("rubigo-limits-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let group = |v2| Group { dir: dir.clone(), v2 };
        let put = |file: &str, text: &str| std::fs::write(dir.join(file), text).unwrap();
        assert_eq!((group(true).memory(), group(false).cpus()), (None, None));
        put("memory.max", "max\n");
        put("cpu.max", "max 100000\n");
        assert_eq!((group(true).memory(), group(true).cpus()), (None, None));
        put("memory.max", "1048576\n");
        put("cpu.max", "150000 100000\n");
        assert_eq!((group(true).memory(), group(true).cpus()), (Some(1 << 20), Some(2)));
        put("memory.limit_in_bytes", "4096\n");
        put("cpu.cfs_quota_us", "-1\n");
        put("cpu.cfs_period_us", "100000\n");
        assert_eq!((group(false).memory(), group(false).cpus()), (Some(4096), None));
        put("cpu.cfs_quota_us", "10000\n");
        assert_eq!(group(false).cpus(), Some(1));
        std::fs::remove_dir_all(&dir).unwrap();
        assert!(memory() > 1 << 20 && cpus() >= 1);
    }
}
