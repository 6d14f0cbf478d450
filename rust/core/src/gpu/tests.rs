//! On whatever adapter there is; without one each test ends at once. CI has lavapipe.

use std::time::{Duration, Instant};

use super::*;
use crate::error::{Error, Kind};

const ADD_ONE: &str = "
@group(0) @binding(0) var<storage, read_write> x: array<u32>;
@group(0) @binding(1) var<storage, read_write> y: array<u32>;
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let i = linear_group(group, groups) * 64u + lane;
    if (i < param(0u)) { y[i] = x[i] + param(1u); }
}
";

fn add(gpu: &Gpu, x: &Buffer, y: &Buffer, n: u32, addend: u32) -> Result<()> {
    let kernel = Kernel { key: "test.add", source: &|| ADD_ONE.to_owned() };
    gpu.dispatch(&kernel, &[x, y], &[n, addend], gpu.fold_groups(u64::from(n).div_ceil(64)))
}

fn read(gpu: &Gpu, buffer: &Buffer, n: usize) -> Vec<u32> {
    let mut bytes = vec![0; n * 4];
    gpu.download(buffer, 0, &mut bytes).unwrap();
    bytes.chunks_exact(4).map(|b| u32::from_le_bytes(b.try_into().unwrap())).collect()
}

fn pattern(n: usize, seed: usize) -> Vec<u8> {
    (0..n).map(|i| (i * 31 + seed * 7 + 1) as u8).collect()
}

/// A device of its own for each test; None where there is no adapter.
fn device() -> Option<Arc<Gpu>> {
    if Gpu::adapters().is_empty() {
        return None;
    }
    Some(Arc::new(Gpu::open().unwrap()))
}

#[test]
fn gpu_and_buffer_may_cross_threads() {
    fn check<T: Send + Sync>() {}
    check::<Gpu>();
    check::<Buffer>();
}

#[test]
fn bytes_of_any_length_and_offset_come_back() {
    let Some(gpu) = device() else { return };
    for bytes in [0, 1, 2, 3, 4, 5, 63, 255, 1001, 65_537, 3_000_001] {
        let buffer = gpu.alloc(bytes).unwrap();
        let sent = pattern(bytes, bytes);
        gpu.upload(&buffer, 0, &sent).unwrap();
        let mut got = vec![0; bytes];
        gpu.download(&buffer, 0, &mut got).unwrap();
        assert!(sent == got, "{bytes} bytes");
    }
    let buffer = gpu.alloc(21).unwrap();
    let mut expected = pattern(21, 0);
    gpu.upload(&buffer, 0, &expected).unwrap();
    for (offset, len) in [(1, 1), (1, 2), (2, 3), (3, 9), (0, 5), (4, 6), (17, 4), (20, 1), (5, 0)]
    {
        let piece = pattern(len, offset + 90);
        gpu.upload(&buffer, offset, &piece).unwrap();
        expected[offset..offset + len].copy_from_slice(&piece);
        let mut got = vec![0; 21];
        gpu.download(&buffer, 0, &mut got).unwrap();
        assert_eq!(got, expected, "after {len} bytes at {offset}");
        gpu.download(&buffer, offset, &mut got[..len]).unwrap();
        assert_eq!(got[..len], piece);
    }
    assert_eq!(gpu.upload(&buffer, 20, &[1, 2]).unwrap_err().kind, Kind::Index);
    assert_eq!(gpu.download(&buffer, usize::MAX, &mut [0]).unwrap_err().kind, Kind::Index);
}

#[test]
fn large_transfers_are_cut_into_pieces() {
    let Some(gpu) = device() else { return };
    let sent = pattern((70 << 20) + 5, 3);
    let buffer = gpu.alloc(sent.len()).unwrap();
    gpu.upload(&buffer, 0, &sent).unwrap();
    let mut got = vec![0; sent.len() - 1];
    gpu.download(&buffer, 1, &mut got).unwrap();
    assert!(sent[1..] == got);
}

#[test]
fn many_small_uploads_keep_their_order_among_dispatches() {
    let Some(gpu) = device() else { return };
    let (x, y) = (gpu.alloc(4).unwrap(), gpu.alloc(4000).unwrap());
    for i in 0..1000_u32 {
        gpu.upload(&x, 0, &(i * 3).to_le_bytes()).unwrap();
        let z = gpu.alloc(4).unwrap();
        add(&gpu, &x, &z, 1, 5).unwrap();
        gpu.copy(&z, 0, &y, i as usize * 4, 4).unwrap();
    }
    assert!(read(&gpu, &y, 1000).iter().zip(0..).all(|(&v, i)| v == i * 3 + 5));
}

#[test]
fn a_chain_of_dependent_dispatches_is_exact() {
    let Some(gpu) = device() else { return };
    let n = 1000;
    let (a, b) = (gpu.alloc(n * 4).unwrap(), gpu.alloc(n * 4).unwrap());
    gpu.fill(&a, 7).unwrap();
    for i in 0..500_u32 {
        let (from, to) = if i % 2 == 0 { (&a, &b) } else { (&b, &a) };
        add(&gpu, from, to, n as u32, i).unwrap();
    }
    assert_eq!(read(&gpu, &a, n), vec![7 + 499 * 500 / 2; n]);
}

#[test]
fn slices_of_one_page_and_in_place_use_are_legal() {
    let Some(gpu) = device() else { return };
    let (a, b) = (gpu.alloc(100).unwrap(), gpu.alloc(100).unwrap());
    assert!(a.raw() == b.raw() && a.start() != b.start());
    gpu.fill(&a, 1).unwrap();
    add(&gpu, &a, &b, 25, 10).unwrap();
    add(&gpu, &b, &b, 25, 100).unwrap();
    assert_eq!(read(&gpu, &b, 25), [111; 25]);
    assert_eq!(read(&gpu, &a, 25), [1; 25]);
}

#[test]
fn copies_within_and_between_buffers() {
    let Some(gpu) = device() else { return };
    for n in [100, 300_000] {
        let (a, b) = (gpu.alloc(n * 4).unwrap(), gpu.alloc(n * 4).unwrap());
        let values: Vec<u32> = (0..n as u32).collect();
        gpu.upload(&a, 0, bytemuck::cast_slice(&values)).unwrap();
        gpu.copy(&a, 0, &b, 0, n * 4).unwrap();
        assert!(read(&gpu, &b, n) == values);
        // Overlapping, one way and the other.
        gpu.copy(&b, 0, &b, 8, (n - 2) * 4).unwrap();
        gpu.copy(&b, 16, &b, 4, (n - 4) * 4).unwrap();
        let mut expected = values;
        expected.copy_within(0..n - 2, 2);
        expected.copy_within(4..n, 1);
        assert!(read(&gpu, &b, n) == expected);
        assert_eq!(gpu.copy(&a, 2, &b, 0, 4).unwrap_err().kind, Kind::Value);
    }
}

#[test]
fn more_workgroups_than_one_dimension_has() {
    let Some(gpu) = device() else { return };
    let most = u64::from(gpu.info().max_workgroups);
    for n in [0, 1, most, most + 1, 3 * most - 1, most * most + 1, most * most * most] {
        let grid = fold(n, most);
        let total: u64 = grid.iter().map(|&d| u64::from(d)).product();
        assert!(total >= n && grid.iter().all(|&d| u64::from(d) <= most));
        assert!(total - n <= n / 1000 + 2, "{n}: {grid:?}");
    }
    let n = 64 * (most as u32 + 3);
    let x = gpu.alloc(n as usize * 4).unwrap();
    gpu.fill(&x, 1).unwrap();
    add(&gpu, &x, &x, n, 1).unwrap();
    assert!(read(&gpu, &x, n as usize).iter().all(|&v| v == 2));
}

#[test]
fn a_bad_kernel_is_an_error_with_the_compilers_words() {
    let Some(gpu) = device() else { return };
    let x = gpu.alloc(4).unwrap();
    let bad = Kernel { key: "bad", source: &|| String::from("@compute fn main() { nonsense }") };
    let e = gpu.dispatch(&bad, &[&x], &[], [1; 3]).unwrap_err();
    assert_eq!(e.kind, Kind::Runtime);
    assert!(e.msg.contains("'bad'") && e.msg.contains("nonsense"), "{}", e.msg);
    // A binding that the layout lacks, and a count that contradicts the key.
    let two = Kernel { key: "two", source: &|| ADD_ONE.to_owned() };
    assert!(gpu.dispatch(&two, &[&x], &[], [1; 3]).is_err());
    add(&gpu, &x, &x, 1, 1).unwrap();
    let kernel = Kernel { key: "test.add", source: &|| ADD_ONE.to_owned() };
    assert!(gpu.dispatch(&kernel, &[&x], &[], [1; 3]).is_err());
    assert!(gpu.dispatch(&kernel, &[&x, &x], &[0; 129], [1; 3]).is_err());
    assert!(gpu.dispatch(&kernel, &[&x, &x], &[], [u32::MAX, 1, 1]).is_err());
    // The device is none the worse.
    gpu.fill(&x, 3).unwrap();
    assert_eq!(read(&gpu, &x, 1), [3]);
}

#[test]
fn limits_are_memory_errors_and_cached_blocks_give_way() {
    let Some(gpu) = device() else { return };
    let e = gpu.alloc(gpu.info().max_buffer_bytes + 1).err().unwrap();
    assert!(e.kind == Kind::Memory && e.msg.contains("MiB"), "{e}");
    gpu.set_memory_limit(Some(32 << 20));
    let a = gpu.alloc(16 << 20).unwrap();
    drop(gpu.alloc(12 << 20).unwrap());
    // Fits only once the cached 12 MiB are given back.
    let b = gpu.alloc(14 << 20).unwrap();
    let e = gpu.alloc(8 << 20).err().unwrap();
    assert!(e.kind == Kind::Memory && e.hint.is_some(), "{e}");
    drop((a, b));
    let c = gpu.alloc(30 << 20).unwrap();
    assert_eq!(gpu.memory_stats().reserved_bytes, 30 << 20);
    drop(c);
    gpu.empty_cache();
    let stats = gpu.memory_stats();
    assert_eq!((stats.reserved_bytes, stats.allocated_bytes, stats.buffers), (0, 0, 0));
}

#[test]
fn ten_thousand_rounds_need_no_more_memory_than_one() {
    let Some(gpu) = device() else { return };
    let n = 50_000;
    let mut x = gpu.alloc(n * 4).unwrap();
    gpu.fill(&x, 0).unwrap();
    let small = gpu.alloc(40).unwrap();
    gpu.fill(&small, 0).unwrap();
    let mut after_first = None;
    for _ in 0..10_000 {
        let y = gpu.alloc(n * 4).unwrap();
        add(&gpu, &x, &y, 64, 1).unwrap();
        x = y;
        let s = gpu.alloc(40).unwrap();
        add(&gpu, &small, &s, 10, 1).unwrap();
        let made = gpu.memory_stats().driver_allocations;
        assert_eq!(*after_first.get_or_insert(made), made);
    }
    assert_eq!(read(&gpu, &x, 64), [10_000; 64]);
}

#[test]
fn poisoned_memory_reads_as_nan() {
    let Some(gpu) = device() else { return };
    gpu.set_poison(true);
    let x = gpu.alloc(10).unwrap();
    let mut bytes = [0; 10];
    gpu.download(&x, 0, &mut bytes).unwrap();
    assert_eq!(bytes, [0xff; 10]);
}

#[test]
fn a_lost_device_says_so_and_a_new_one_works() {
    if device().is_none() {
        return;
    }
    let gpu = Gpu::get().unwrap();
    let x = gpu.alloc(400).unwrap();
    gpu.fill(&x, 1).unwrap();
    gpu.lose_for_test();
    let mut out = [0; 4];
    assert_eq!(gpu.download(&x, 0, &mut out).unwrap_err().kind, Kind::DeviceLost);
    assert_eq!(gpu.fill(&x, 1).unwrap_err().kind, Kind::DeviceLost);
    assert_eq!(gpu.synchronize().unwrap_err().kind, Kind::DeviceLost);
    assert_eq!(gpu.alloc(1 << 20).err().unwrap().kind, Kind::DeviceLost);
    let new = Gpu::get().unwrap();
    assert!(!Arc::ptr_eq(&new, &gpu) && Arc::ptr_eq(&new, &Gpu::get().unwrap()));
    let y = new.alloc(400).unwrap();
    new.fill(&y, 5).unwrap();
    assert_eq!(read(&new, &y, 100), [5; 100]);
    assert_eq!(add(&new, &x, &y, 1, 1).unwrap_err().kind, Kind::DeviceLost);
}

#[test]
fn threads_record_into_one_stream() {
    let Some(gpu) = device() else { return };
    std::thread::scope(|scope| {
        for t in 0..4_u32 {
            let gpu = &gpu;
            scope.spawn(move || {
                let x = gpu.alloc(4000).unwrap();
                for round in 0..20 {
                    gpu.upload(&x, 0, &[0; 4000]).unwrap();
                    for _ in 0..50 {
                        add(gpu, &x, &x, 1000, t + round).unwrap();
                    }
                    assert_eq!(read(gpu, &x, 1000), vec![50 * (t + round); 1000]);
                }
            });
        }
    });
}

#[test]
fn a_wait_ends_on_interrupt() {
    // Many groups with short loops: llvmpipe cuts a thread off after 65,535 rounds of all its loops.
    const SLOW: &str = "
@group(0) @binding(0) var<storage, read_write> x: array<u32>;
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>) {
    var v = group.x;
    for (var i = 0u; i < 30000u; i++) { v = v * 1664525u + 1013904223u + x[v & 3u]; }
    if (v == 0u) { x[0] = v; }
}
";
    let Some(gpu) = device() else { return };
    if !gpu.info().is_software() {
        // Hardware would be done before the first look.
        return;
    }
    let x = gpu.alloc(16).unwrap();
    gpu.fill(&x, 1).unwrap();
    let kernel = Kernel { key: "test.slow", source: &|| SLOW.to_owned() };
    gpu.dispatch(&kernel, &[&x], &[], [2000, 1, 1]).unwrap();
    // Other tests wait too; only this thread is to be stopped.
    set_interrupt_hook(|| match std::thread::current().name() {
        Some("stopped") => Err(Error::new(Kind::Interrupted, "interrupted")),
        _ => Ok(()),
    });
    std::thread::scope(|scope| {
        let wait = || {
            let start = Instant::now();
            let e = gpu.synchronize().unwrap_err();
            assert_eq!(e.kind, Kind::Interrupted);
            assert!(start.elapsed() < Duration::from_millis(500));
        };
        std::thread::Builder::new().name("stopped".into()).spawn_scoped(scope, wait).unwrap();
    });
    gpu.synchronize().unwrap();
}

#[test]
fn a_wait_ends_at_the_time_limit() {
    let Some(gpu) = device() else { return };
    // The wait below starts longer ago than any limit.
    let start = Instant::now().checked_sub(Duration::from_hours(24));
    let e = start.map(|start| gpu.device.check_wait(start).unwrap_err());
    assert!(e.is_none_or(|e| e.msg.contains("no answer")));
}

#[cfg(unix)]
#[test]
fn a_forked_child_gets_an_error() {
    let Some(gpu) = device() else { return };
    let x = gpu.alloc(4).unwrap();
    gpu.fill(&x, 1).unwrap();
    // SAFETY: the child only checks results and leaves without running destructors of others.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        let refused = gpu.fill(&x, 2).is_err_and(|e| e.msg.contains("fork"));
        drop(x);
        drop(gpu);
        // SAFETY: ends the child at once.
        unsafe { libc::_exit(i32::from(!refused)) };
    }
    let mut status = -1;
    // SAFETY: `status` outlives the call.
    unsafe { libc::waitpid(pid, &raw mut status, 0) };
    assert_eq!(status, 0);
    assert_eq!(read(&gpu, &x, 1), [1]);
}
