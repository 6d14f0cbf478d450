"""Signals, forks, exits and odd environments: work stops or goes on, and no file is lost."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest
from harness import LINUX, subprocess_run

import rubigo as rg

TRAIN = """
    import sys, rubigo as rg
    model = rg.nn.Sequential(rg.nn.Linear(64, 256), rg.nn.ReLU(), rg.nn.Linear(256, 10))
    optimizer = rg.optim.Adam(model.parameters())
    x, y = rg.randn(512, 64), rg.randint(0, 10, (512,))
    path = sys.argv[1]
    print("ready", flush=True)
    step = 0
    try:
        while True:
            optimizer.zero_grad()
            rg.nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()
            step += 1
            rg.save({"step": step, "model": model.state_dict()}, path)
    except KeyboardInterrupt:
        print("interrupted", step)
"""


def interrupt(code, path, how, delay):
    """Starts the program, sends the signal, gives what it printed and how long it took to stop."""
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout.readline().strip() == "ready", process.stderr.read()
        time.sleep(delay)
        start = time.perf_counter()
        process.send_signal(how)
        out, err = process.communicate(timeout=30)
        return out, err, time.perf_counter() - start
    finally:
        process.kill()


@LINUX
def test_ctrl_c_during_training_keeps_the_checkpoint(tmp_path):
    path = tmp_path / "checkpoint"
    for delay in (0.3, 0.55):
        out, err, seconds = interrupt(TRAIN, path, signal.SIGINT, delay)
        assert out.startswith("interrupted") and not err, err
        assert seconds < 1.5
        got = rg.load(path)
        assert got["step"] >= 1 and got["model"]["0.weight"].isfinite().all()
    assert os.listdir(tmp_path) == ["checkpoint"]


@LINUX
def test_kill_during_training_keeps_the_checkpoint(tmp_path):
    path = tmp_path / "checkpoint"
    interrupt(TRAIN, path, signal.SIGKILL, 0.5)
    assert rg.load(path)["step"] >= 1


@LINUX
@pytest.mark.parametrize(
    "work",
    [
        "while True:\n    x = rg.ones(300, 300) @ rg.ones(300, 300)",
        "while True:\n    x = rg.randn(2000, 2000) @ rg.randn(2000, 2000)",
        "y = x = rg.ones(1, requires_grad=True)\nfor _ in range(1_000_000):\n    y = y * 1\n"
        "while True:\n    y.backward(retain_graph=True)",
    ],
)
def test_ctrl_c_is_heard_between_operations_and_in_long_ones(work, tmp_path):
    indented = textwrap.indent(work, " " * 8)
    code = (
        f"import rubigo as rg\nprint('ready', flush=True)\ntry:\n{indented}\n"
        "except KeyboardInterrupt:\n    print('interrupted')\n"
    )
    out, err, seconds = interrupt(code, tmp_path / "x", signal.SIGINT, 1.0)
    assert "interrupted" in out and not err, err
    assert seconds < 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_computes(tmp_path):
    done = subprocess_run(
        """
        import os, rubigo as rg
        x = rg.ones(1_000_000)
        assert (x + x).sum().item() == 2_000_000
        pid = os.fork()
        if pid == 0:
            try:
                y = rg.ones(1_000_000, requires_grad=True)
                (y * 3).sum().backward()
                ok = y.grad.sum().item() == 3_000_000 and (x @ x).item() == 1_000_000
            except RuntimeError as e:
                ok = "fork" in str(e)
            os._exit(0 if ok else 1)
        import signal
        signal.alarm(60)
        assert os.waitpid(pid, 0)[1] == 0
        assert (x + x).sum().item() == 2_000_000
        print("fine")
        """
    )
    assert done.stdout.strip() == "fine", done.stderr


def test_multiprocessing_carries_tensors():
    done = subprocess_run(
        """
        import multiprocessing as mp, rubigo as rg

        def work(x):
            return x * 2

        if __name__ == "__main__":
            rg.ones(100_000).sum()
            with mp.get_context("fork").Pool(2) as pool:
                print(sum(y.sum().item() for y in pool.map(work, [rg.ones(1000), rg.ones(50_000)])))
        """
    )
    assert done.stdout.strip() == "102000.0", done.stderr


def test_exit_with_live_tensors_threads_and_graphs():
    done = subprocess_run(
        """
        import threading, rubigo as rg
        x = rg.ones(1000, requires_grad=True)
        y = (x * 2).exp()
        y.register_hook(lambda g: g)
        x.me = x
        def spin():
            while True:
                (x * 2).sum().backward()
        threading.Thread(target=spin, daemon=True).start()
        import time
        time.sleep(0.2)
        """
    )
    assert done.returncode == 0 and not done.stderr, (done.returncode, done.stderr)


def test_odd_environment_variables():
    for name, value in [
        ("RUBIGO_NUM_THREADS", "0"),
        ("RUBIGO_NUM_THREADS", "many"),
        ("RUBIGO_NUM_THREADS", "100000"),
    ]:
        done = subprocess_run(
            "import rubigo as rg; print(rg.ones(1_000_000).sum().item())",
            env={**os.environ, name: value},
        )
        assert done.stdout.strip() == "1000000.0" or name in done.stderr, done.stderr
    for bad in (0, -1, 2**40, 1.5, "two"):
        with pytest.raises((ValueError, TypeError, OverflowError)):
            rg.set_num_threads(bad)
