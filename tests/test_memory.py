"""Memory comes back, training grows nothing, and the import is light."""

import contextlib
import gc
import os
import subprocess
import sys

import pytest

import rubigo as rg
from rubigo import nn


def used():
    gc.collect()
    return rg.cpu.memory_stats()["allocated_bytes"]


def resident():
    with open("/proc/self/statm") as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


LINUX = pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="reads Linux's /proc")


def test_statistics_count_tensors():
    before = used()
    x = rg.empty(1_000_000)
    assert used() - before >= x.nbytes
    view, alias = x[10:], x.detach()
    assert used() - before < 1.2 * x.nbytes
    del x
    assert used() - before >= view.nbytes
    del view, alias
    assert used() == before
    stats = rg.cpu.memory_stats()
    assert (
        stats["cached_bytes"] <= stats["cache_limit_bytes"]
        and stats["peak_bytes"] >= stats["allocated_bytes"]
    )


def test_the_peak_and_the_cache():
    rg.cpu.reset_peak_memory_stats()
    low = rg.cpu.memory_stats()["peak_bytes"]
    rg.empty(4_000_000)
    assert rg.cpu.memory_stats()["peak_bytes"] >= low + 16_000_000
    rg.cpu.empty_cache()
    assert rg.cpu.memory_stats()["cached_bytes"] < 1 << 20


def test_everything_comes_back_after_work():
    def work():
        model = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 10))
        optimizer = rg.optim.AdamW(model.parameters())
        for _ in range(3):
            optimizer.zero_grad()
            y = model(rg.randn(16, 1, 8, 8))
            nn.functional.cross_entropy(y, rg.randint(0, 10, (16,))).backward()
            optimizer.step()
        x = rg.randn(300, 300, requires_grad=True)
        (g,) = rg.autograd.grad((x @ x).tanh().sum(), x, create_graph=True)
        g.square().sum().backward()
        x.grad.numpy()
        rg.sort(x.detach().view(-1))
        with pytest.raises(rg.ShapeError):
            model(rg.ones(2, 2))

    work()
    before = used()
    for _ in range(3):
        work()
    assert used() == before


def test_everything_comes_back_on_a_device(device):
    if device == "cpu":
        stats = rg.cpu.memory_stats
    else:
        stats = rg.gpu.memory_stats

    def work():
        x = rg.randn(64, 64, device=device, requires_grad=True)
        for _ in range(5):
            (x @ x).tanh().sum().backward()
        return x.grad.sum().item()

    work()
    gc.collect()
    before = stats()["allocated_bytes"]
    for _ in range(10):
        work()
    gc.collect()
    assert stats()["allocated_bytes"] == before


@LINUX
def test_two_thousand_steps_grow_nothing():
    model = nn.Sequential(
        nn.Linear(8, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.1), nn.Linear(32, 3)
    )
    optimizer = rg.optim.Adam(model.parameters(), lr=1e-3)
    x, y = rg.randn(64, 8), rg.randint(0, 3, (64,))
    losses = []

    def train(steps):
        for _ in range(steps):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            losses[:] = [loss.item()]

    train(200)
    memory, objects, before = used(), len(gc.get_objects()), resident()
    train(2000)
    assert used() == memory and len(gc.get_objects()) <= objects + 20
    assert resident() - before < 4 << 20


@LINUX
def test_ten_thousand_steps_with_hooks_that_capture_their_module_grow_nothing():
    model = rg.nn.Sequential(rg.nn.Linear(4, 8), rg.nn.ReLU(), rg.nn.Linear(8, 1))
    optimizer = rg.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)
    x, y = rg.randn(5, 4), rg.randn(5, 1)
    calls = [0]

    def forward_hook(module, args, output):
        output.register_hook(lambda g, m=module, top=model: calls.__setitem__(0, calls[0] + 1))

    for module in model:
        module.register_forward_hook(forward_hook)
        module.register_full_backward_hook(lambda m, gi, go, top=model: None)

    def train(steps):
        for _ in range(steps):
            optimizer.zero_grad()
            ((model(x) - y) ** 2).mean().backward()
            optimizer.step()

    train(300)
    gc.collect()
    objects, memory = len(gc.get_objects()), rg.cpu.memory_stats()["allocated_bytes"]
    before = resident()
    train(10_000)
    gc.collect()
    assert len(gc.get_objects()) <= objects + 20
    assert rg.cpu.memory_stats()["allocated_bytes"] <= memory
    assert resident() - before < 4 << 20
    assert calls[0] == 3 * 10_300


@LINUX
def test_exceptions_and_prints_grow_nothing():
    x = rg.ones(100)
    dtype = rg.dtype("float64")

    def work(n):
        for _ in range(n):
            for bad in (
                lambda: x + rg.ones(3),
                lambda: x[200],
                lambda: rg.tensor([[1], [1, 2]]),
                lambda: x.exp(1, 2),
            ):
                with contextlib.suppress(ValueError, IndexError, TypeError):
                    bad()
            repr(x[:3]), x.tolist(), x.shape, x.to(dtype), x.numpy(), rg.tensor([1.0, 2.0])

    work(300)
    memory, before = used(), resident()
    work(3000)
    assert used() == memory and resident() - before < 4 << 20


CLEAN = {k: v for k, v in os.environ.items() if not k.startswith(("COV", "PYTEST"))}


def run(code):
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=CLEAN, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_the_import_takes_below_60_milliseconds_of_cpu():
    code = "import time; a = time.process_time(); import rubigo; print(time.process_time() - a)"
    run(code)
    assert min(float(run(code)[0]) for _ in range(7)) < 0.060


def test_the_import_loads_nothing_heavy():
    code = (
        "import sys; import rubigo as rg; rg.ones(3).exp().sum().item();"
        "print(*sys.modules); print('threads', __import__('threading').active_count())"
    )
    # A site-packages folder may load things for every interpreter.
    bare = run("import sys; print(*sys.modules)")
    loaded = run(code)
    for name in (
        "numpy",
        "torch",
        "asyncio",
        "rubigo.nn",
        "rubigo.train",
        "matplotlib",
        "json",
        "inspect",
    ):
        assert name not in loaded or name in bare, name
    assert loaded[-1] == "1"


def test_every_module_can_be_imported_alone():
    code = (
        "import importlib, pkgutil, rubigo\n"
        "for m in pkgutil.walk_packages(rubigo.__path__, 'rubigo.'):\n"
        "    if not m.name.endswith('__main__'): importlib.import_module(m.name)\n"
        "for name in dir(rubigo): getattr(rubigo, name)\n"
        "print('fine')"
    )
    assert run(code) == ["fine"]
