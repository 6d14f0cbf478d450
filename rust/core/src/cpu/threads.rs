//! The threads every kernel runs on: rayon's, which stay awake for a moment after each op.
//!
//! rayon makes the threads, parks them and wakes them. What it hands them is not a task but a place in `serve`:
//! they take pieces of any op that is posted, then spin briefly for the next one, and only then go back to rayon.
//! Two empty tasks cost 0.4 us while a worker spins; through rayon's own queue they took 11 to 20 us with its
//! workers awake and 36 to 58 us with them asleep (2 virtual cores), which is longer than most ops of a small model.

use std::any::Any;
use std::cell::Cell;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::Thread;
use std::time::{Duration, Instant};

use super::limits;
use crate::error::{Error, Result};

/// How long an idle worker, or a caller waiting for the last helper, looks for work before it sleeps.
/// Ops of one step follow each other within this time, and waking a sleeping thread costs more than a small op.
const SPIN: Duration = Duration::from_micros(50);
const MAX_THREADS: usize = 1024;

/// 0 until it is first asked for.
static NUM_THREADS: AtomicUsize = AtomicUsize::new(0);
static POOL: AtomicPtr<Pool> = AtomicPtr::new(std::ptr::null_mut());

thread_local! {
    /// Whether this thread is running a task: what it starts itself then runs serially.
    static BUSY: Cell<bool> = const { Cell::new(false) };
}

/// Threads that `run` uses: `RUBIGO_NUM_THREADS`, or else the processors this process may use.
/// A variable that `check_env` refuses counts as unset.
pub fn num_threads() -> usize {
    let n = NUM_THREADS.load(Ordering::Relaxed);
    if n != 0 {
        return n;
    }
    let n = check_env().ok().flatten().unwrap_or_else(|| limits::cpus().min(MAX_THREADS));
    // A `set_num_threads` that came in between stands.
    match NUM_THREADS.compare_exchange(0, n, Ordering::Relaxed, Ordering::Relaxed) {
        Ok(_) => n,
        Err(set) => set,
    }
}

/// Sets how many threads `run` uses from now on, the calling one included.
pub fn set_num_threads(n: usize) -> Result<()> {
    NUM_THREADS.store(valid(n)?, Ordering::Relaxed);
    Ok(())
}

/// What `RUBIGO_NUM_THREADS` says, or why it is refused.
pub fn check_env() -> Result<Option<usize>> {
    let Some(text) = std::env::var_os("RUBIGO_NUM_THREADS") else { return Ok(None) };
    let n = text.to_str().and_then(|t| t.trim().parse().ok()).unwrap_or(0);
    valid(n).map(Some).map_err(|_| {
        Error::value(format!(
            "RUBIGO_NUM_THREADS must be a number from 1 to {MAX_THREADS}, not {:?}",
            text.display().to_string()
        ))
    })
}

fn valid(n: usize) -> Result<usize> {
    if (1..=MAX_THREADS).contains(&n) {
        return Ok(n);
    }
    Err(Error::value(format!("the number of threads must be from 1 to {MAX_THREADS}, not {n}")))
}

/// Runs `f(0)` to `f(tasks - 1)`, in any order, on up to `num_threads()` threads with the calling one among them.
/// Serial for one task, with one thread, and inside a task. A panic in `f` stops the rest and is raised here.
pub fn run(tasks: usize, f: &(dyn Fn(usize) + Sync)) {
    let limit = num_threads();
    let threads = limit.min(tasks);
    let pool = if threads <= 1 || BUSY.get() { None } else { pool(limit - 1) };
    match pool {
        Some(pool) => pool.run(tasks, threads, f),
        None => (0..tasks).for_each(f),
    }
}

/// Runs `f` over `0..n` in pieces of `grain`: the same pieces at any number of threads.
pub fn for_range(n: usize, grain: usize, f: &(dyn Fn(Range<usize>) + Sync)) {
    let grain = grain.max(1);
    run(n.div_ceil(grain), &|i| f(i * grain..(i * grain).saturating_add(grain).min(n)));
}

/// The pool of this process, with at least so many workers; `None` where the system refuses threads. After a fork
/// the child has no workers, and a lock may be held for ever by a thread that did not come along, so it leaves the
/// parent's pool alone and makes its own.
fn pool(workers: usize) -> Option<&'static Pool> {
    let pid = std::process::id();
    loop {
        let old = POOL.load(Ordering::Acquire);
        // SAFETY: a pool that was once in POOL is never freed.
        if let Some(pool) = unsafe { old.as_ref() }
            && pool.pid == pid
            && pool.workers >= workers
        {
            return Some(pool);
        }
        let new = Box::into_raw(Box::new(Pool::new(pid, workers)?));
        if POOL.compare_exchange(old, new, Ordering::AcqRel, Ordering::Acquire).is_err() {
            // SAFETY: `new` came from Box::into_raw just now and nobody else has seen it.
            drop(unsafe { Box::from_raw(new) });
        // SAFETY: as above.
        } else if let Some(small) = unsafe { old.as_ref() }
            && small.pid == pid
        {
            // Its threads end once they have nothing to do. The rest, some hundred bytes, stays: a caller may be
            // about to post a job to it, and will then do that alone.
            drop(lock(&small.rayon).take());
        }
    }
}

struct Pool {
    pid: u32,
    workers: usize,
    /// `None` once a bigger pool has taken over.
    rayon: Mutex<Option<rayon::ThreadPool>>,
    state: Mutex<State>,
    /// Counts the jobs ever posted: what a spinning worker watches.
    posted: AtomicU32,
    spinning: AtomicUsize,
}

struct State {
    /// Open jobs, oldest first. Each stands on its caller's stack until the caller has taken it out of here
    /// and every worker has left it.
    jobs: Vec<*const Job<'static>>,
    /// Workers that rayon has been given to, or is about to be.
    serving: usize,
}

// SAFETY: the pointers are followed under the rule above, and a `Job` may be shared between threads.
unsafe impl Send for State {}

struct Job<'a> {
    f: &'a (dyn Fn(usize) + Sync),
    tasks: usize,
    threads: usize,
    /// The first task nobody has taken.
    next: AtomicUsize,
    /// Workers that may still join; changed under the pool's lock.
    seats: AtomicUsize,
    /// Workers inside.
    active: AtomicUsize,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    caller: Thread,
}

impl Job<'_> {
    /// Takes tasks until none is left: many at a time at first, single ones at the end.
    fn work(&self) {
        let was_busy = BUSY.replace(true);
        loop {
            let left = self.tasks.saturating_sub(self.next.load(Ordering::Relaxed));
            let take = (left / (4 * self.threads)).max(1);
            let start = self.next.fetch_add(take, Ordering::Relaxed);
            if start >= self.tasks {
                break;
            }
            let tasks = start..(start + take).min(self.tasks);
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| tasks.for_each(self.f))) {
                self.next.store(self.tasks, Ordering::Relaxed);
                lock(&self.panic).get_or_insert(panic);
            }
        }
        BUSY.set(was_busy);
    }

    fn open(&self) -> bool {
        self.seats.load(Ordering::Relaxed) > 0 && self.next.load(Ordering::Relaxed) < self.tasks
    }
}

impl Pool {
    fn new(pid: u32, workers: usize) -> Option<Self> {
        let rayon = rayon::ThreadPoolBuilder::new()
            .num_threads(workers)
            .thread_name(|i| format!("rubigo-{}", i + 1))
            .build()
            .ok()?;
        let rayon = Mutex::new(Some(rayon));
        let state = Mutex::new(State { jobs: Vec::new(), serving: 0 });
        let (posted, spinning) = (AtomicU32::new(0), AtomicUsize::new(0));
        Some(Self { pid, workers, rayon, state, posted, spinning })
    }

    fn run(&'static self, tasks: usize, threads: usize, f: &(dyn Fn(usize) + Sync)) {
        let job = Job {
            f,
            tasks,
            threads,
            next: AtomicUsize::new(0),
            seats: AtomicUsize::new(threads - 1),
            active: AtomicUsize::new(0),
            panic: Mutex::new(None),
            caller: std::thread::current(),
        };
        let posted = std::ptr::from_ref(&job).cast::<Job<'static>>();
        let asleep = {
            let mut state = lock(&self.state);
            state.jobs.push(posted);
            self.posted.fetch_add(1, Ordering::Release);
            self.enlist(
                &mut state,
                (threads - 1).saturating_sub(self.spinning.load(Ordering::Relaxed)),
            )
        };
        self.wake(asleep);
        job.work();
        lock(&self.state).jobs.retain(|&other| other != posted);
        spin_until(|| job.active.load(Ordering::Acquire) == 0);
        while job.active.load(Ordering::Acquire) != 0 {
            std::thread::park();
        }
        let panic = lock(&job.panic).take();
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
    }

    /// How many workers to wake for `wanted` seats: at most two, each of which wakes two more if there is work, so
    /// that a big pool wakes as a tree.
    fn enlist(&self, state: &mut State, wanted: usize) -> usize {
        let count = wanted.min(2).min(self.workers.saturating_sub(state.serving));
        state.serving += count;
        count
    }

    fn wake(&'static self, count: usize) {
        if count == 0 {
            return;
        }
        if let Some(rayon) = &*lock(&self.rayon) {
            (0..count).for_each(|_| rayon.spawn(|| self.serve()));
        }
    }

    /// A worker's turn: pieces of jobs as long as there are any, or may soon be.
    fn serve(&'static self) {
        while let Some(job) = self.next_job() {
            // SAFETY: `join` counted us in `active`, so the caller keeps the job alive until the count drops.
            let job = unsafe { &*job };
            job.work();
            let caller = job.caller.clone();
            // From here on the job may be gone.
            if job.active.fetch_sub(1, Ordering::Release) == 1 {
                caller.unpark();
            }
        }
    }

    fn next_job(&'static self) -> Option<*const Job<'static>> {
        loop {
            let posted = self.posted.load(Ordering::Acquire);
            if let Some(job) = self.join(lock(&self.state)) {
                return Some(job);
            }
            self.spinning.fetch_add(1, Ordering::Relaxed);
            spin_until(|| self.posted.load(Ordering::Acquire) != posted);
            self.spinning.fetch_sub(1, Ordering::Relaxed);
            let mut state = lock(&self.state);
            // Under the lock, so that a job posted now is either seen here or wakes somebody.
            if self.posted.load(Ordering::Acquire) == posted {
                state.serving -= 1;
                return None;
            }
        }
    }

    /// Takes a seat at the oldest job that has one.
    fn join(&'static self, mut state: MutexGuard<'_, State>) -> Option<*const Job<'static>> {
        // SAFETY: a job in `jobs` is alive while the lock is held, because its caller needs it to take it out.
        let job = *state.jobs.iter().find(|&&job| unsafe { &*job }.open())?;
        let seats = unsafe {
            (*job).active.fetch_add(1, Ordering::Relaxed);
            (*job).seats.fetch_sub(1, Ordering::Relaxed) - 1
        };
        let asleep = self.enlist(&mut state, seats);
        drop(state);
        self.wake(asleep);
        Some(job)
    }
}

/// Spins until `done` or for `SPIN`, and not at all with more threads than processors.
fn spin_until(done: impl Fn() -> bool) {
    if num_threads() > limits::cpus() {
        return;
    }
    let start = Instant::now();
    while start.elapsed() < SPIN {
        for _ in 0..32 {
            if done() {
                return;
            }
            std::hint::spin_loop();
        }
        // Whoever is waited for may be queued for this very processor.
        std::thread::yield_now();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The number of threads is global, so tests that set it take turns.
    static TURN: Mutex<()> = Mutex::new(());

    fn with_threads<R>(n: usize, f: impl FnOnce() -> R) -> R {
        let _turn = lock(&TURN);
        let before = num_threads();
        set_num_threads(n).unwrap();
        let result = f();
        set_num_threads(before).unwrap();
        result
    }

    #[test]
    fn every_task_runs_once() {
        for threads in [1, 2, 3, 8] {
            with_threads(threads, || {
                for tasks in [0, 1, 2, 3, 7, 64, 1000] {
                    let ran: Vec<AtomicUsize> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
                    run(tasks, &|i| {
                        ran[i].fetch_add(1, Ordering::Relaxed);
                    });
                    assert!(ran.iter().all(|n| n.load(Ordering::Relaxed) == 1));
                }
            });
        }
    }

    #[test]
    fn pieces_do_not_depend_on_the_threads() {
        let pieces = |threads, n, grain| {
            let pieces = Mutex::new(Vec::new());
            with_threads(threads, || {
                for_range(n, grain, &|r| lock(&pieces).push((r.start, r.end)));
            });
            let mut pieces = pieces.into_inner().unwrap();
            pieces.sort_unstable();
            pieces
        };
        assert_eq!(pieces(1, 10, 4), [(0, 4), (4, 8), (8, 10)]);
        assert_eq!(pieces(3, 10, 4), pieces(1, 10, 4));
        assert_eq!(pieces(2, 5, usize::MAX), [(0, 5)]);
        assert_eq!(pieces(2, 2, 0), [(0, 1), (1, 2)]);
        assert_eq!(pieces(4, 0, 16), []);
    }

    #[test]
    fn several_threads_take_part() {
        with_threads(2, || {
            let inside = AtomicUsize::new(0);
            // Each task waits for the other: one thread alone would wait for ever.
            run(2, &|_| {
                inside.fetch_add(1, Ordering::SeqCst);
                while inside.load(Ordering::SeqCst) < 2 {
                    std::thread::yield_now();
                }
            });
        });
    }

    #[test]
    fn nested_runs_are_serial() {
        with_threads(4, || {
            let sum = AtomicUsize::new(0);
            run(8, &|i| {
                let own = std::thread::current().id();
                run(10, &|j| {
                    assert_eq!(own, std::thread::current().id());
                    sum.fetch_add(i * j, Ordering::Relaxed);
                });
            });
            assert_eq!(sum.into_inner(), 28 * 45);
        });
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_goes_on() {
        for threads in [1, 4] {
            with_threads(threads, || {
                for bad in 0..50 {
                    let caught = catch_unwind(|| run(50, &|i| assert_ne!(i, bad, "bad task")));
                    let message = caught.unwrap_err();
                    assert!(message.downcast_ref::<String>().unwrap().contains("bad task"));
                }
                let count = AtomicUsize::new(0);
                for_range(100, 1, &|r| {
                    count.fetch_add(r.len(), Ordering::Relaxed);
                });
                assert_eq!(count.into_inner(), 100);
            });
        }
    }

    #[test]
    fn several_callers_share_the_pool() {
        with_threads(3, || {
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        for _ in 0..500 {
                            let sum = AtomicUsize::new(0);
                            run(20, &|i| {
                                sum.fetch_add(i, Ordering::Relaxed);
                            });
                            assert_eq!(sum.into_inner(), 190);
                        }
                    });
                }
            });
        });
    }

    /// Each growth of the number of threads makes a pool; the one before must not stay.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_pool_that_is_too_small_goes() {
        let mine = || {
            let names = std::fs::read_dir("/proc/self/task").unwrap().map(|t| {
                std::fs::read_to_string(t.unwrap().path().join("comm")).unwrap_or_default()
            });
            names.filter(|name| name.starts_with("rubigo-")).count()
        };
        for n in 2..40 {
            with_threads(n, || run(2 * n, &|_| {}));
        }
        // The other tests' pool had 4 threads or this one's 39; what ends takes a moment.
        let start = Instant::now();
        while mine() > 39 && start.elapsed() < Duration::from_secs(10) {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(mine() <= 39, "{} threads", mine());
    }

    #[test]
    fn refuses_numbers_out_of_range() {
        for n in [0, MAX_THREADS + 1] {
            assert_eq!(set_num_threads(n).unwrap_err().kind, crate::error::Kind::Value);
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_forked_child_has_its_own_pool() {
        with_threads(4, || {
            run(8, &|_| {});
            // SAFETY: the child only computes and leaves by _exit.
            match unsafe { libc::fork() } {
                0 => {
                    let (sum, inside) = (AtomicUsize::new(0), AtomicUsize::new(0));
                    run(100, &|i| {
                        sum.fetch_add(i, Ordering::Relaxed);
                    });
                    run(2, &|_| {
                        inside.fetch_add(1, Ordering::SeqCst);
                        while inside.load(Ordering::SeqCst) < 2 {
                            std::thread::yield_now();
                        }
                    });
                    // SAFETY: ends the child without running the test harness's exit code.
                    unsafe { libc::_exit(i32::from(sum.into_inner() != 4950)) };
                }
                child => {
                    let mut status = -1;
                    // SAFETY: waits for the child made above.
                    unsafe { libc::waitpid(child, &raw mut status, 0) };
                    assert_eq!(status, 0);
                }
            }
        });
    }
}
