"""Proves that the suite can fail: disturbs each op in turn and runs that op's tests.

Needs a build with the feature `mutate` (`make mutate` makes one). Every disturbance must be caught
by a test. What survives, or was never reached by the op's tests, is listed, and is a failure unless
`tests/survivors.txt` explains it; an explanation that is no longer needed is a failure too.
"""

import os
import sys
import time
from pathlib import Path

os.environ.setdefault("RUBIGO_REQUIRE_GPU", "0")
sys.path.insert(0, str(Path(__file__).parent))

import test_gradients
import test_ops

from rubigo import _core

SURVIVORS = Path(__file__).parent / "survivors.txt"
# What catches a disturbance, by kind and device.
ON_CPU = {
    "value": [test_ops.test_values],
    "edge": [test_ops.test_values],
    "dtype": [test_ops.test_values],
    "gradient": [test_gradients.test_gradient],
    # The second also compares the gradient that makes a graph with the one that makes none.
    "second_gradient": [test_gradients.test_second_gradient, test_gradients.test_gradient],
}
ON_GPU = {
    "value": [lambda name: test_ops.test_gpu(name, "gpu")],
    "edge": [lambda name: test_ops.test_gpu(name, "gpu")],
    "dtype": [lambda name: test_ops.test_gpu(name, "gpu")],
    "gradient": [lambda name: test_gradients.test_gpu_gradient(name, "gpu")],
    "second_gradient": [lambda name: test_gradients.test_gpu_gradient(name, "gpu")],
}


def explained():
    """Survivors with a reason: `op | kind | device | reason` lines."""
    if not SURVIVORS.exists():
        return {}
    lines = (line.split("|", 3) for line in SURVIVORS.read_text().splitlines())
    return {
        tuple(p.strip() for p in parts[:3]): parts[3].strip() for parts in lines if len(parts) == 4
    }


def outcome(tests, name, kind, device):
    """caught, survived, or unreached: the tests of the op never ran it on this device."""
    _core.set_mutation(name, kind, device)
    try:
        for test in tests:
            try:
                test(name)
            except BaseException as error:
                if isinstance(error, KeyboardInterrupt):
                    raise
                if type(error).__name__ == "Skipped":
                    continue
                return "caught"
        return "survived" if _core.mutation_hits() else "unreached"
    finally:
        _core.set_mutation(None)


def differentiated(row):
    """Whether the op has a gradient of its own: a composition's is that of its parts."""
    name = row["name"]
    by_name = name in test_gradients.NAMES and test_gradients.differentiable(name)
    return by_name and row["kind"] != "composition"


def main():
    if not hasattr(_core, "set_mutation"):
        raise SystemExit("this build has no mutations: run `make mutate`")
    devices = {"cpu": ON_CPU}
    if _core.gpu_error() is None:
        devices["gpu"] = ON_GPU
    known = explained()
    counts = {"caught": 0, "survived": 0, "unreached": 0}
    bad, needed = [], set()
    start = time.time()
    for row in _core.op_table():
        name = row["name"]
        for device, kinds in devices.items():
            for kind, tests in kinds.items():
                if "gradient" in kind and not differentiated(row):
                    continue
                got = outcome(tests, name, kind, device)
                counts[got] += 1
                if got == "caught":
                    continue
                needed.add((name, kind, device))
                if (name, kind, device) not in known:
                    bad.append(f"{got}: {name} | {kind} | {device}")
    idle = [key for key in known if key not in needed and key[2] in devices]
    bad += [f"caught, though survivors.txt lists it: {' | '.join(key)}" for key in idle]
    total = sum(counts.values())
    print(f"{total} disturbances: {counts} in {time.time() - start:.0f} s")
    print(*bad, sep="\n", end="\n" if bad else "")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
