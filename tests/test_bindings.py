"""Where Python meets the core: waits, signals, memory lent and borrowed."""

import signal
import sys
import threading
import time

import numpy as np
import pytest

import rubigo as rg


@pytest.mark.parametrize("read", [float, bool, lambda t: t.tolist(), lambda t: t.view(1)[0].item()])
def test_other_threads_run_while_the_gpu_is_waited_for(gpu, read):
    x = rg.randn(160, 160, device=gpu)
    stop, gaps = threading.Event(), []

    def watch():
        last = time.perf_counter()
        while not stop.is_set():
            time.sleep(0.001)
            now = time.perf_counter()
            gaps.append(now - last)
            last = now

    y = x
    for _ in range(50):
        y = (y @ x).tanh()
    total = y.sum()
    thread = threading.Thread(target=watch)
    thread.start()
    begun = time.perf_counter()
    read(total)
    waited = time.perf_counter() - begun
    stop.set()
    thread.join()
    # The lock was free for all of the wait but the moments at its ends.
    assert waited < 0.05 or max(gaps) < 0.7 * waited


class Alarm(Exception):
    pass


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs setitimer")
def test_a_signal_handler_s_exception_arrives_as_it_is():
    def ring(number, frame):
        raise Alarm("time is up")

    x = rg.ones(2, requires_grad=True)
    y = x
    for _ in range(300_000):
        y = y * 1.0
    before = signal.signal(signal.SIGALRM, ring)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.02)
        with pytest.raises(Alarm, match="time is up"):
            y.sum().backward()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_lists_that_memory_cannot_hold():
    for shape in ((10**13, 0), (2**62, 5, 0)):
        with pytest.raises(MemoryError):
            rg.empty(*shape).tolist()
    with pytest.raises(ValueError, match="64 deep"):
        rg.zeros([1] * 100_000).tolist()
    assert rg.zeros(3, 0).tolist() == [[], [], []] and rg.zeros(0, 3).tolist() == []


def test_an_array_outlives_the_tensor_s_data():
    t = rg.arange(1_000_000, dtype=rg.float32)
    array = t.numpy()
    t.data = rg.zeros(3)
    other = rg.full((1_000_000,), 7.0)
    rg.cpu.empty_cache()
    assert array[5] == 5 and other[5].item() == 7


@pytest.mark.parametrize("take", [rg.from_numpy, rg.as_tensor, rg.tensor, rg.from_dlpack])
def test_bools_that_are_neither_0_nor_1(take):
    array = np.array([0, 1, 2, 255], np.uint8).view(bool)
    m = take(array)
    assert m.tolist() == [False, True, True, True]
    assert (m == True).tolist() == m.tolist()  # noqa: E712
    assert m.int().tolist() == [0, 1, 1, 1] and m.sum().item() == 3
    assert (~m).tolist() == [True, False, False, False]
    clean = np.array([True, False])
    shared = rg.from_numpy(clean)
    shared[1] = True
    assert clean.tolist() == [True, True]


def test_read_only_memory_is_not_copied_in_secret():
    array = np.ones(3, np.float32)
    array.flags.writeable = False
    with pytest.raises(BufferError):
        rg.from_dlpack(array, copy=False)
    assert rg.from_dlpack(array).tolist() == [1, 1, 1]


def test_the_offset_of_an_array_interface():
    class Part:
        def __init__(self, array, offset):
            self.array = array
            self.__array_interface__ = {
                **array.__array_interface__, "shape": (2,), "offset": offset,
            }  # fmt: skip

    assert rg.as_tensor(Part(np.arange(4, dtype=np.int32), 8)).tolist() == [2, 3]


def test_interfaces_that_lie():
    class Nowhere:
        __array_interface__ = {
            "shape": (1 << 40,), "typestr": "<f4", "data": (0, False), "version": 3,
        }  # fmt: skip

    with pytest.raises(ValueError, match="no memory"):
        rg.as_tensor(Nowhere())
    with pytest.raises(ValueError, match="flags"):
        rg._core.attach_function("F", [], [rg.ones(1)], [], lambda *g: g, lambda: None)
    with pytest.raises(ValueError, match="threads"):
        rg.set_num_threads(-1)


def test_structures_that_contain_themselves(tmp_path):
    loop = {}
    loop["again"] = loop
    with pytest.raises(ValueError, match="contains itself"):
        rg.save(loop, tmp_path / "x")


def test_integers_as_the_data_of_a_variable():
    x = rg.ones(2, requires_grad=True)
    with pytest.raises(RuntimeError, match="floating point"):
        x.data = rg.ones(2, dtype=rg.int64)
    assert x.dtype == rg.float32 and x.requires_grad


def test_the_largest_integers():
    most = 2**64 - 1
    assert rg.full((2,), most, dtype=rg.uint64).tolist() == [most, most]
    assert rg.full_like(rg.zeros(2, dtype=rg.uint64), most).tolist() == [most, most]
    assert rg.zeros(2, dtype=rg.uint64).fill_(most).tolist() == [most, most]
    with pytest.raises(RuntimeError, match="without overflow"):
        rg.full((2,), most)
    with pytest.raises(RuntimeError, match="without overflow"):
        rg.zeros(2, dtype=rg.int64).fill_(most)


def lets_others_in(call, tries=5000):
    """Whether a thread that counts gets a turn during the call: no other way leads to one.

    A short wait may end before the system has woken that thread, so there are many tries.
    """
    count, stop = 0, False

    def run():
        nonlocal count
        while not stop:
            count += 1
            time.sleep(0)

    before = sys.getswitchinterval()
    thread = threading.Thread(target=run)
    sys.setswitchinterval(1000)
    try:
        thread.start()
        while not count:
            time.sleep(0)
        for _ in range(tries):
            seen = count
            call()
            if count > seen:
                return True
        return False
    finally:
        stop = True
        sys.setswitchinterval(before)
        thread.join()


def test_the_counting_thread_waits_its_turn():
    x = rg.ones(3)
    assert not lets_others_in(lambda: x + 1, tries=1000)
    assert not lets_others_in(lambda: sum(range(100_000)), tries=20)


BIG = 3_000_000
# What is made before, and what is done with it: results larger than the arguments, too.
WORK = {
    "normal": (lambda: (rg.zeros(BIG), rg.ones(BIG)), rg.normal),
    "normal_": (lambda: [rg.empty(BIG)], lambda x: x.normal_()),
    "random_": (lambda: [rg.empty(BIG)], lambda x: x.random_()),
    "expand and copy": (lambda: [rg.ones(1).expand(BIG)], lambda x: x.clone()),
    "repeat": (lambda: [rg.ones(1)], lambda x: x.repeat(BIG)),
    "tile": (lambda: [rg.ones(3)], lambda x: x.tile((BIG // 3,))),
    "broadcast": (lambda: (rg.ones(2000, 1), rg.ones(1, 2000)), lambda a, b: a + b),
    "outer": (lambda: (rg.ones(2000), rg.ones(2000)), rg.outer),
    "one_hot": (
        lambda: [rg.zeros(2, dtype=rg.int64)],
        lambda x: rg.nn.functional.one_hot(x, BIG),
    ),
    "pad": (lambda: [rg.ones(1)], lambda x: rg.nn.functional.pad(x, (BIG, BIG))),
    "arange": (list, lambda: rg.arange(BIG)),
    "full": (list, lambda: rg.full((BIG,), 3.0)),
    "eye": (list, lambda: rg.eye(2000)),
    "tril_indices": (list, lambda: rg.tril_indices(1500, 1500)),
    "index": (lambda: (rg.ones(1), rg.zeros(BIG, dtype=rg.int64)), lambda x, i: x[i]),
    "tensor": (lambda: [np.ones(BIG)], rg.tensor),
    "bools": (lambda: [np.ones(BIG, bool)], rg.from_numpy),
}


@pytest.mark.parametrize("name", WORK)
def test_other_threads_run_during_work(name):
    prepare, work = WORK[name]
    given = prepare()
    assert lets_others_in(lambda: work(*given))


READS = {
    "item": lambda x, i: x.item(),
    "bool": lambda x, i: bool(x),
    "tensor": lambda x, i: rg.tensor([x, x]),
    "index": lambda x, i: THREE[i],
    "set": lambda x, i: THREE.__setitem__(i, 2),
    "int": lambda x, i: THREE.select(0, i),
}
THREE = rg.ones(3)


@pytest.mark.parametrize("name", READS)
def test_other_threads_run_during_waits(name, gpu):
    x, i = rg.tensor(1.5, device=gpu), rg.tensor(1, device=gpu)
    assert lets_others_in(lambda: READS[name](x, i))


def test_an_exception_is_raised_once():
    """What a hook raised does not come up again with a later error."""
    x = rg.ones(2, requires_grad=True)
    x.register_hook(lambda g: 1 / 0)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            (x * 2).sum().backward()
    with pytest.raises(RuntimeError, match="grad can be implicitly created only"):
        rg.ones(2, requires_grad=True).mul(2).backward()


def test_an_exception_that_was_swallowed_stays_away():
    y = rg.ones(2, requires_grad=True)

    def inner(g):
        with rg.enable_grad():
            z = rg.ones(2, requires_grad=True)
            z.register_hook(lambda g: [][1])
            with pytest.raises(IndexError):
                (z * 2).sum().backward()

    y.register_hook(inner)
    (y * 2).sum().backward()
    with pytest.raises(RuntimeError, match="scalar outputs"):
        rg.ones(2, requires_grad=True).mul(2).backward()
    with pytest.raises(RuntimeError, match="second time"):
        s = (y * y).sum()
        s.backward()
        s.backward()
