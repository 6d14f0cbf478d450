"""Ratios to PyTorch, interleaved in one run, each with a check that both computed the same.

    python benches/vs_torch.py [--threads N] [--repeats N] [--only NAME]

A ratio below 1 means that rubigo took less time. Blocks of both libraries alternate; a pause in
between, longer than idle workers spin, lets the other library's go to sleep. The median of the
ratios of the blocks is printed.
"""

import argparse
import json
import statistics
import time

import numpy as np

import rubigo as rg

try:
    import torch
except ImportError:
    raise SystemExit("this compares with PyTorch: pip install torch") from None


def close(a, b, rtol=1e-4, atol=1e-5):
    a = a.detach().numpy() if hasattr(a, "detach") else np.asarray(a)
    b = b.detach().numpy() if hasattr(b, "detach") else np.asarray(b)
    np.testing.assert_allclose(a, b, rtol=rtol, atol=atol)


def pair(shape, seed=0):
    x = np.random.default_rng(seed).standard_normal(shape).astype("float32")
    return rg.from_numpy(x), torch.from_numpy(x.copy())


def small_add():
    (a, ta), (b, tb) = pair(10), pair(10, 1)
    return lambda: a + b, lambda: ta + tb, close


def big_add():
    (a, ta), (b, tb) = pair(10_000_000), pair(10_000_000, 1)
    return lambda: a + b, lambda: ta + tb, close


def big_exp():
    a, ta = pair(10_000_000)
    return lambda: a.exp(), lambda: ta.exp(), close


def big_sum():
    a, ta = pair(10_000_000)
    return lambda: a.sum(), lambda: ta.sum(), lambda x, y: close(x, y, 1e-3, 1.0)


def matmul():
    (a, ta), (b, tb) = pair((1024, 1024)), pair((1024, 1024), 1)
    return lambda: a @ b, lambda: ta @ tb, lambda x, y: close(x, y, 1e-3, 1e-2)


def _copy_parameters(model, reference):
    with rg.no_grad():
        for p, q in zip(model.parameters(), reference.parameters(), strict=True):
            p.copy_(rg.from_numpy(q.detach().numpy().copy()))


def _steps(model, optimizer, x, y, tmodel, toptimizer, tx, ty):
    loss, tloss = rg.nn.CrossEntropyLoss(), torch.nn.CrossEntropyLoss()

    def step():
        optimizer.zero_grad()
        value = loss(model(x), y)
        value.backward()
        optimizer.step()
        return value

    def tstep():
        toptimizer.zero_grad()
        value = tloss(tmodel(tx), ty)
        value.backward()
        toptimizer.step()
        return value

    return step, tstep, lambda a, b: close(a, b, 1e-2, 1e-3)


def digits_step():
    """The demo's network: batch 32 of 1x8x8 pictures."""

    def network(nn):
        return nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(),
            nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(32, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
            nn.Flatten(), nn.Linear(32, 10),
        )  # fmt: skip

    model, tmodel = network(rg.nn), network(torch.nn)
    _copy_parameters(model, tmodel)
    x, tx = pair((32, 1, 8, 8))
    labels = np.arange(32) % 10
    return _steps(
        model, rg.optim.AdamW(model.parameters(), lr=1e-3), x, rg.from_numpy(labels),
        tmodel, torch.optim.AdamW(tmodel.parameters(), lr=1e-3), tx,
        torch.from_numpy(labels.copy()),
    )  # fmt: skip


def mlp_step():
    """784-256-128-10, batch 64, Adam."""

    def network(nn):
        return nn.Sequential(
            nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10)
        )

    model, tmodel = network(rg.nn), network(torch.nn)
    _copy_parameters(model, tmodel)
    x, tx = pair((64, 784))
    labels = np.arange(64) % 10
    return _steps(
        model, rg.optim.Adam(model.parameters(), lr=1e-3), x, rg.from_numpy(labels),
        tmodel, torch.optim.Adam(tmodel.parameters(), lr=1e-3), tx, torch.from_numpy(labels.copy()),
    )  # fmt: skip


CASES = {
    "add of 10 elements": small_add,
    "add of 1e7 elements": big_add,
    "exp of 1e7 elements": big_exp,
    "sum of 1e7 elements": big_sum,
    "matmul 1024": matmul,
    "digits training step": digits_step,
    "MLP training step": mlp_step,
}


def timed(f, count):
    start = time.perf_counter()
    for _ in range(count):
        f()
    return (time.perf_counter() - start) / count


def compare(make, repeats):
    ours, theirs, check = make()
    check(ours(), theirs())
    count = max(1, int(0.02 / max(timed(ours, 3), 1e-7)))
    ratios, mine, other = [], [], []
    for _ in range(repeats):
        time.sleep(0.03)
        mine.append(timed(ours, count))
        time.sleep(0.03)
        other.append(timed(theirs, count))
        ratios.append(mine[-1] / other[-1])
    return statistics.median(ratios), min(mine), min(other)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--threads", type=int, default=rg.get_num_threads())
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--only", default="", help="run the cases whose name contains this")
    args = parser.parse_args()
    rg.set_num_threads(args.threads)
    torch.set_num_threads(args.threads)
    print(f"threads: {args.threads}, instruction set: {rg.cpu.features()['isa']}")
    print(f"{'case':<24} {'ratio':>7} {'rubigo':>12} {'torch':>12}")
    results = {}
    for name, make in CASES.items():
        if args.only not in name:
            continue
        ratio, mine, other = compare(make, args.repeats)
        results[name] = ratio
        print(f"{name:<24} {ratio:>7.2f} {mine * 1e6:>9.1f} us {other * 1e6:>9.1f} us")
    print(json.dumps({"threads": args.threads, "ratios": results}))


if __name__ == "__main__":
    main()
