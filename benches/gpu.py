"""What the GPU path reaches in bandwidth, arithmetic and overhead, beside PyTorch on CUDA.

    python benches/gpu.py [--small]

Each case is checked against the CPU before it is timed. A time is the median over blocks of
several calls that end in one wait for the device. Bytes count what must be read and written once.
"""

import argparse
import json
import statistics
import time

import numpy as np

import rubigo as rg


def peer():
    """PyTorch, if it is installed and sees a CUDA device."""
    try:
        import torch
    except ImportError:
        return None
    return torch if torch.cuda.is_available() else None


TORCH = peer()


def pair(shape, seed=0):
    """The same numbers for both: on rubigo's GPU, and on CUDA or None."""
    x = np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)
    return rg.from_numpy(x).to("gpu"), TORCH.from_numpy(x.copy()).cuda() if TORCH else None


def unary(f, n):
    x, tx = pair(n)
    return lambda: f(x), lambda: f(tx), lambda: f(x.cpu())


def add(n):
    (a, ta), (b, tb) = pair(n), pair(n, 1)
    return lambda: a + b, lambda: ta + tb, lambda: a.cpu() + b.cpu()


def matmul(n):
    (a, ta), (b, tb) = pair((n, n)), pair((n, n), 1)

    def few():
        # A few rows are enough to see that the product is right, and the CPU has them soon.
        return a[:8].cpu() @ b.cpu()

    return lambda: a @ b, lambda: ta @ tb, few


def linear_step(batch):
    """One training step of 784-256-128-10: overhead more than arithmetic."""

    def network(nn):
        return nn.Sequential(
            nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10)
        )

    def step(lib, model, x, y):
        optimizer = lib.optim.Adam(model.parameters(), lr=1e-3)
        loss_of = lib.nn.CrossEntropyLoss()

        def run():
            optimizer.zero_grad()
            loss = loss_of(model(x), y)
            loss.backward()
            optimizer.step()
            return loss

        return run

    x, tx = pair((batch, 784))
    labels = np.arange(batch) % 10
    rg.manual_seed(0)
    model = network(rg.nn)
    twin = network(rg.nn)
    twin.load_state_dict(model.state_dict())
    ours = step(rg, model.to("gpu"), x, rg.from_numpy(labels).to("gpu"))
    check = step(rg, twin, x.cpu(), rg.from_numpy(labels))
    theirs = None
    if TORCH:
        target = TORCH.from_numpy(labels.copy()).cuda()
        theirs = step(TORCH, network(TORCH.nn).cuda(), tx, target)
    return ours, theirs, check


def cases(small):
    n = 1 << (20 if small else 26)
    rows = (256, 1024) if small else (65536, 1024)
    side = 256 if small else 4096
    size = rows[0] * rows[1] * 4
    return {
        "add": (add(n), "GB/s", 12 * n / 1e9),
        "exp": (unary(lambda x: x.exp(), n), "GB/s", 8 * n / 1e9),
        "sum": (unary(lambda x: x.sum(), n), "GB/s", 4 * n / 1e9),
        "softmax of rows of 1024": (unary(lambda x: x.softmax(1), rows), "GB/s", 2 * size / 1e9),
        f"matmul {side}": (matmul(side), "TFLOP/s", 2 * side**3 / 1e12),
        "add of 10 elements": (add(10), "calls/ms", 1e-3),
        "read one number": (unary(lambda x: x.sum().item(), 16), "calls/ms", 1e-3),
        "MLP training step, batch 64": (linear_step(64), "steps/ms", 1e-3),
    }


def block(f, count, wait):
    wait()
    start = time.perf_counter()
    for _ in range(count):
        f()
    wait()
    return (time.perf_counter() - start) / count


def timed(f, wait, repeats):
    block(f, 3, wait)
    count = max(1, min(2000, int(0.03 / max(block(f, 2, wait), 1e-7))))
    return statistics.median(block(f, count, wait) for _ in range(repeats))


def close(got, want):
    got = np.asarray(got.detach().cpu().numpy() if hasattr(got, "detach") else got)
    want = np.asarray(want.detach().numpy() if hasattr(want, "detach") else want)
    got = got[: len(want)] if want.ndim == 2 else got
    np.testing.assert_allclose(got, want, rtol=1e-3, atol=2e-3 * max(1.0, np.abs(want).max()))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--small", action="store_true", help="sizes for a software GPU")
    parser.add_argument("--repeats", type=int, default=7)
    args = parser.parse_args()
    print(f"GPU: {rg.gpu.info()['name']}; PyTorch on CUDA: {'yes' if TORCH else 'no'}")
    print(f"{'case':<28} {'rubigo':>10} {'':<8} {'torch':>10} {'ratio':>7}")
    results = {}
    for name, ((ours, theirs, check), unit, work) in cases(args.small).items():
        close(ours(), check())
        mine = timed(ours, rg.gpu.synchronize, args.repeats)
        line = f"{name:<28} {work / mine:>10.2f} {unit:<8}"
        results[name] = {"seconds": mine, unit: work / mine}
        if TORCH and theirs:
            other = timed(theirs, TORCH.cuda.synchronize, args.repeats)
            results[name]["ratio"] = mine / other
            line += f" {work / other:>10.2f} {mine / other:>7.2f}"
        print(line)
    print(json.dumps(results))


if __name__ == "__main__":
    main()
