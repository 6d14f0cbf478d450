"""Files, numbers and signals that mean harm: a precise exception, no crash, no lost file."""

import contextlib
import json
import os
import signal
import struct
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

import rubigo as rg
from rubigo import nn

F = nn.functional
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="uses Linux's limits")


# Files.


def raw(header, data=b"", length=None):
    """The bytes of a safetensors file with this header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def tensor(dtype="F32", shape=(2,), offsets=(0, 8)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


BIG = 2**63
MALICIOUS = {
    "empty": b"",
    "seven bytes": b"\0" * 7,
    "length beyond the file": raw({}, length=100),
    "length that overflows": raw({}, length=2**64 - 1),
    "length of 100 MB": raw({}, length=100_000_001),
    "no JSON": raw(b"hello"),
    "JSON list": raw([]),
    "half a JSON": raw(b'{"a":'),
    "not UTF-8": raw(b'{"\xff\xfe": 1}'),
    "deep nesting": raw(b'{"a":' * 50_000 + b"1" + b"}" * 50_000),
    "a billion brackets": raw(b"[" * 1_000_000),
    "tensor is a number": raw({"a": 1}),
    "no dtype": raw({"a": {"shape": [2], "data_offsets": [0, 8]}}, b"\0" * 8),
    "unknown dtype": raw({"a": tensor("F31")}, b"\0" * 8),
    "dtype is a number": raw({"a": tensor(5)}, b"\0" * 8),
    "negative size": raw({"a": tensor(shape=(-2,))}, b"\0" * 8),
    "fractional size": raw({"a": tensor(shape=(2.0,))}, b"\0" * 8),
    "size that overflows": raw({"a": tensor(shape=(BIG, 4))}, b"\0" * 8),
    "product that wraps to 8 bytes": raw(
        {"a": tensor(shape=(2**62 + 1, 8), offsets=(0, 32))}, b"\0" * 32
    ),
    "zero times overflow": raw({"a": tensor(shape=(0, BIG, BIG), offsets=(0, 0))}),
    "too many dimensions": raw({"a": tensor(shape=(1,) * 100_000, offsets=(0, 4))}, b"\0" * 4),
    "offsets swapped": raw({"a": tensor(offsets=(8, 0))}, b"\0" * 8),
    "offsets beyond the file": raw({"a": tensor(shape=(20,), offsets=(0, 80))}, b"\0" * 8),
    "offsets near the top": raw({"a": tensor(offsets=(2**64 - 9, 2**64 - 1))}, b"\0" * 8),
    "offsets too large for 64 bits": raw({"a": tensor(offsets=(2**65, 2**65 + 8))}, b"\0" * 8),
    "offsets disagree with the shape": raw({"a": tensor(shape=(3,))}, b"\0" * 8),
    "overlap": raw({"a": tensor(), "b": tensor(offsets=(4, 12))}, b"\0" * 12),
    "the same bytes twice": raw({"a": tensor(), "b": tensor()}, b"\0" * 8),
    "gap": raw({"a": tensor(), "b": tensor(offsets=(16, 24))}, b"\0" * 24),
    "bytes of no tensor": raw({"a": tensor()}, b"\0" * 80),
    "truncated data": raw({"a": tensor()}, b"\0" * 7),
    "same name twice": raw(b'{"a":%s,"a":%s}' % ((json.dumps(tensor()).encode(),) * 2), b"\0" * 8),
    "metadata is a list": raw({"__metadata__": [1]}),
    "metadata is nested": raw({"__metadata__": {"a": {"b": "c"}}}),
    "bool of value 2": raw({"a": tensor("BOOL", (2,), (0, 2))}, b"\x02\x01"),
    "structure is no JSON": raw({"__metadata__": {"rubigo": "{"}}),
    "structure of another version": raw({"__metadata__": {"rubigo": '{"version":99,"tree":1}'}}),
    "structure without a tree": raw({"__metadata__": {"rubigo": '{"version":1}'}}),
    "structure names no tensor": raw(
        {"__metadata__": {"rubigo": '{"version":1,"tree":["tensor","b"]}'}}
    ),
    "structure of unknown kind": raw(
        {"__metadata__": {"rubigo": '{"version":1,"tree":["eval","x"]}'}}
    ),
    "structure with odd keys": raw(
        {"__metadata__": {"rubigo": '{"version":1,"tree":["dict",[[[1],2]]]}'}}
    ),
    "structure with half a pair": raw(
        {"__metadata__": {"rubigo": '{"version":1,"tree":["dict",[["a"]]]}'}}
    ),
    "structure that is a number": raw({"__metadata__": {"rubigo": "7"}}),
    **{
        f"structure {note}": raw({"w": tensor(), "__metadata__": {"rubigo": note}}, b"\0" * 8)
        for note in (
            '{"version":true,"tree":1}',
            '{"version":1.0,"tree":1}',
            '{"version":1,"tree":1,"more":2}',
            '{"version":1,"version":1,"tree":1}',
            '{"version":1,"tree":["list","ab"]}',
            '{"version":1,"tree":["tuple","ab"]}',
            '{"version":1,"tree":["list",{"a":1}]}',
            '{"version":1,"tree":["list",[1],2]}',
            '{"version":1,"tree":["dict",["ab","cd"]]}',
            '{"version":1,"tree":["dict",[["a",1],["a",2]]]}',
            '{"version":1,"tree":["dict",[[1.5,1]]]}',
            '{"version":1,"tree":["dict",[[true,1]]]}',
            '{"version":1,"tree":["float","x"]}',
            '{"version":1,"tree":["float",1]}',
            '{"version":1,"tree":1e999}',
            '{"version":1,"tree":NaN}',
            '{"version":1,"tree":' + "9" * 5000 + "}",
            '{"version":1,"tree":["tensor",["w"],true]}',
            '{"version":1,"tree":["tensor","w","yes"]}',
            '{"version":1,"tree":["tensor"]}',
            '{"version":1,"tree":[]}',
        )
    },
    "structure nested too deep": raw(
        {
            "__metadata__": {
                "rubigo": '{"version":1,"tree":' + '["list",[' * 20_000 + "1" + "]]" * 20_000 + "}"
            }
        }
    ),
    "structure with gradients of integers": raw(
        {
            "a": tensor("I64", (1,)),
            "__metadata__": {"rubigo": '{"version":1,"tree":["tensor","a",true]}'},
        },
        b"\0" * 8,
    ),
    "a pickle": b"\x80\x04\x95\x00\x00\x00\x00\x00\x00\x00\x00N.",
    "a zip": b"PK\x03\x04" + b"\0" * 100,
    "an ELF": b"\x7fELF" + b"\0" * 100,
    "text": b"weights\n" * 50,
}


@pytest.mark.parametrize("name", MALICIOUS)
def test_files_that_lie(name, tmp_path):
    path = tmp_path / "x.safetensors"
    path.write_bytes(MALICIOUS[name])
    start = time.perf_counter()
    with pytest.raises(ValueError) as caught:
        rg.load(path)
    assert str(path) in str(caught.value)
    assert time.perf_counter() - start < 2


def test_files_hold_64_dimensions(tmp_path):
    path = tmp_path / "x"
    rg.save(rg.ones([1] * 64), path)
    assert rg.load(path).shape == (1,) * 64
    with pytest.raises(ValueError, match="has 65 dimensions, a file holds up to 64"):
        rg.save({"a": rg.ones([1] * 65)}, path)
    assert rg.load(path).ndim == 64


def test_every_truncation_of_a_good_file(tmp_path):
    good, bad = tmp_path / "good", tmp_path / "bad"
    rg.save({"w": rg.ones(3, 2), "b": rg.zeros(5, dtype=rg.int8), "n": [1, 2.5, "x"]}, good)
    data = good.read_bytes()
    for n in range(len(data)):
        bad.write_bytes(data[:n])
        with pytest.raises(ValueError):
            rg.load(bad)


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_random_damage_is_an_error_or_other_numbers(tmp_path, data):
    path = tmp_path / "x"
    rg.save({"w": rg.ones(2, 2), "m": rg.tensor([True, False]), "n": 3}, path)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(content))
    with contextlib.suppress(ValueError, MemoryError):
        rg.load(path)


def test_a_header_of_100_megabytes_is_quick_and_small(tmp_path):
    path = tmp_path / "x"
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", 100_000_000))
        f.truncate(100_000_008)
    start = time.perf_counter()
    with pytest.raises(ValueError):
        rg.load(path)
    assert time.perf_counter() - start < 5


def test_files_that_are_none(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        rg.load(tmp_path / "missing")
    assert "missing" in str(caught.value)
    with pytest.raises((ValueError, IsADirectoryError), match=r"folder|irectory"):
        rg.load(tmp_path)
    with pytest.raises(OSError):
        rg.save({}, tmp_path)
    with pytest.raises(OSError):
        rg.save({}, tmp_path / "no" / "folder" / "x")
    for bad in (5, None, b"\0", "a\0b"):
        with pytest.raises((TypeError, ValueError, OSError)):
            rg.load(bad)
    with open(tmp_path / "f", "wb") as f, pytest.raises(TypeError, match="path"):
        rg.save({}, f)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(ValueError, match="regular"):
            rg.load(tmp_path / "pipe")
        with pytest.raises(ValueError):
            rg.load("/dev/zero")


def test_what_a_file_holds(tmp_path):
    path = tmp_path / "x"
    x = rg.ones(2, 3)
    w = rg.tensor([1.0], requires_grad=True)
    nest = {
        "a": [1, 2.5, True, None, "text", float("inf"), np.float64("nan"), (x, x.T)],
        7: {"same": x, "w": w, "__metadata__": x},
        "empty": [{}, (), []],
        "half": x.half(),
        "a.0": x * 2,
    }
    rg.save(nest, path)
    got = rg.load(path)
    assert got["a"][:6] == nest["a"][:6] and got["a"][6] != got["a"][6]
    assert got["a"][7][0].equal(x) and got["a"][7][1].equal(x.T) and type(got["a"][7]) is tuple
    assert got[7]["same"] is got["a"][7][0] and got["empty"] == [{}, (), []]
    assert got["half"].dtype is rg.float16 and got[7]["w"].requires_grad and got[7]["w"].is_leaf
    got[7]["same"][0, 0] = 5
    assert got["a"][7][0][0, 0].item() == 5
    rg.save(x, path)
    assert rg.load(path).equal(x)
    loop = []
    loop.append(loop)
    for bad in (object(), {1.5: x}, [lambda: 1], {"a": {"b": {1, 2}}}, x.numpy(), loop):
        with pytest.raises((TypeError, ValueError, RecursionError)):
            rg.save(bad, path)
    assert rg.load(path).equal(x)
    with pytest.raises(TypeError, match=r"a\.1\.b"):
        rg.save({"a": [1, {"b": object()}]}, path)


def test_files_of_the_safetensors_package(tmp_path):
    numpy_files = pytest.importorskip("safetensors.numpy")
    path = tmp_path / "x"
    rg.save({"w": rg.ones(2, 3), "i": rg.tensor([1, 2])}, path)
    theirs = numpy_files.load_file(path)
    assert theirs["w"].shape == (2, 3) and theirs["i"].tolist() == [1, 2]
    numpy_files.save_file({"odd": np.arange(3, dtype=np.uint8), "w": np.ones((2, 2))}, path)
    got = rg.load(path)
    assert got["odd"].tolist() == [0, 1, 2] and got["w"].dtype is rg.float64


def subprocess_run(code, **kwargs):
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=120,
        **kwargs,
    )


@LINUX
def test_a_full_disk_keeps_the_old_file(tmp_path):
    path = tmp_path / "weights"
    rg.save({"w": rg.ones(10)}, path)
    done = subprocess_run(
        f"""
        import resource, signal, rubigo as rg
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        try:
            rg.save({{"w": rg.zeros(1_000_000)}}, {str(path)!r})
        except OSError as e:
            print("refused", e.errno is not None, {str(path)!r} in str(e))
        """
    )
    assert done.stdout.split() == ["refused", "True", "True"], done.stderr
    assert rg.load(path)["w"].tolist() == [1] * 10
    assert os.listdir(tmp_path) == ["weights"]


@LINUX
def test_a_full_file_system_keeps_the_old_file(tmp_path):
    folder = tmp_path / "small"
    folder.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True
    )
    if mount.returncode:
        pytest.skip("mounting needs root")
    try:
        path = folder / "weights"
        rg.save({"w": rg.ones(10)}, path)
        with pytest.raises(OSError) as caught:
            rg.save({"w": rg.zeros(1_000_000)}, path)
        assert caught.value.errno == 28
        assert rg.load(path)["w"].tolist() == [1] * 10 and os.listdir(folder) == ["weights"]
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError):
        rg.save({}, tmp_path / "x")


def test_saving_through_a_link_replaces_what_it_points_to(tmp_path):
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    rg.save({"n": 1}, tmp_path / "link")
    assert (tmp_path / "link").is_symlink() and rg.load(tmp_path / "real") == {"n": 1}


# Labels, losses, batches.


def test_labels_out_of_range():
    x = rg.randn(4, 3)
    for bad in ([0, 1, 2, 3], [0, 1, 2, -1], [0, 1, 2, 2**40], [-(2**63), 0, 0, 0]):
        with pytest.raises((IndexError, ValueError)) as caught:
            F.cross_entropy(x, rg.tensor(bad))
        text = str(caught.value)
        assert "3" in text and str(next(v for v in bad if not 0 <= v < 3)) in text
    with pytest.raises((IndexError, ValueError)):
        F.embedding(rg.tensor([5]), rg.ones(3, 2))
    for op in (
        lambda i: x.gather(1, i.view(4, 1)),
        lambda i: x.index_select(1, i),
        lambda i: x[:, i],
        lambda i: rg.zeros(4, 3).scatter_add(1, i.view(4, 1), x),
        lambda i: F.one_hot(i, 3),
    ):
        for bad in ([0, 1, 2, 3], [0, 1, 2, 2**40]):
            with pytest.raises((IndexError, ValueError, RuntimeError)):
                op(rg.tensor(bad))


def test_labels_out_of_range_on_a_device(device):
    x = rg.randn(4, 3, device=device)
    with pytest.raises((IndexError, ValueError)):
        F.cross_entropy(x, rg.tensor([0, 1, 2, 3], device=device)).item()
    with pytest.raises((IndexError, ValueError)):
        F.embedding(rg.tensor([5], device=device), rg.ones(3, 2, device=device)).tolist()


def test_labels_that_are_no_numbers():
    x = rg.randn(2, 3)
    nan = float("nan")
    with pytest.raises((TypeError, RuntimeError, IndexError)):
        F.cross_entropy(x, rg.tensor([nan, 1.0]))
    assert F.mse_loss(rg.ones(2), rg.tensor([nan, 1.0])).isnan().item()
    with pytest.raises((TypeError, ValueError)):
        F.cross_entropy(x, rg.tensor([[nan] * 3, [1.0] * 3]).long().float()[0].bool())
    probabilities = F.cross_entropy(x, rg.tensor([[nan, 0.0, 1.0], [1.0, 0.0, 0.0]]))
    assert probabilities.isnan().item()


def test_training_on_labels_that_are_nan_stops_and_says_why():
    model = nn.Linear(2, 1)
    trainer = rg.train.Trainer(model, rg.optim.SGD(model.parameters(), lr=0.1), nn.MSELoss())
    y = rg.zeros(8, 1)
    y[3] = float("nan")
    before = model.weight.detach().clone()
    with pytest.raises(FloatingPointError, match="target is not finite in sample"):
        trainer.fit((rg.ones(8, 2), y), epochs=1, batch_size=8)
    assert model.weight.isfinite().all() and model.weight.equal(before)


@pytest.mark.parametrize("layer", ["linear", "conv", "norm", "pool", "loss"])
def test_a_batch_of_none(layer, device):
    x = rg.zeros(0, 3, 8, 8, device=device, requires_grad=True)
    model = nn.Sequential(
        {
            "linear": nn.Sequential(nn.Flatten(), nn.Linear(192, 4)),
            "conv": nn.Conv2d(3, 4, 3),
            "norm": nn.LayerNorm(8),
            "pool": nn.MaxPool2d(2),
            "loss": nn.Flatten(),
        }[layer]
    ).to(device)
    y = model(x)
    assert y.shape[0] == 0
    if layer == "loss":
        assert F.cross_entropy(y, rg.zeros(0, dtype=rg.int64, device=device)).isnan().item()
        return
    y.sum().backward()
    assert x.grad.shape == x.shape
    for p in model.parameters():
        assert (p.grad == 0).all()


# Sizes.


@pytest.mark.parametrize(
    "make",
    [
        lambda: rg.zeros(2**40),
        lambda: rg.empty(2**62),
        lambda: rg.zeros(2**32, 2**32),
        lambda: rg.zeros(2**20, 2**20, 2**20, 2**20),
        lambda: rg.ones(1).expand(2**45).clone(),
        lambda: rg.ones(1).expand(2**62) + 1,
        lambda: rg.eye(2**24),
        lambda: rg.arange(2**50),
        lambda: rg.ones(2**20, 1) @ rg.ones(1, 2**20),
        lambda: rg.randn(2**44),
        lambda: rg.ones(1).repeat(2**50),
        lambda: F.one_hot(rg.tensor([2**45])),
        lambda: F.pad(rg.ones(1), (0, 2**50)),
        lambda: rg.full((2**41,), 1.0),
    ],
)
def test_huge_requests_are_refused_at_once(make):
    start, cpu = time.perf_counter(), time.process_time()
    with pytest.raises((MemoryError, ValueError, OverflowError)):
        make()
    assert time.perf_counter() - start < 2 and time.process_time() - cpu < 2


@LINUX
def test_a_memory_limit_is_a_memory_error():
    done = subprocess_run(
        """
        import rubigo as rg
        x = rg.ones(10)
        import resource
        resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
        kept = []
        try:
            while True:
                kept.append(rg.empty(1 << 26))
        except MemoryError:
            kept.clear()
            print("refused", rg.ones(10).sum().item())
        """
    )
    assert done.stdout.split() == ["refused", "10.0"], done.stderr[-2000:]


# Signals, forks, threads.

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


# The environment.


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


def test_seeds():
    for seed in (0, 1, 2**63, 2**64 - 1, -1):
        rg.manual_seed(seed)
        assert rg.randn(3).isfinite().all()
    for bad in (2**64, 1.5, "seed", None):
        with pytest.raises((ValueError, TypeError, OverflowError, RuntimeError)):
            rg.manual_seed(bad)
    with pytest.raises((TypeError, RuntimeError, ValueError)):
        rg.set_rng_state(rg.zeros(3))
