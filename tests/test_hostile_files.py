"""Files that lie, damaged files, full disks: a precise exception, no crash, no lost file."""

import contextlib
import json
import os
import struct
import subprocess
import time

import pytest
from harness import LINUX, subprocess_run
from hypothesis import HealthCheck, given, settings, strategies as st

import rubigo as rg


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
