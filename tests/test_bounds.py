"""Sizes, steps and counts at the edge of 64 bits: refused or right, never out of bounds."""

import numpy as np
import pytest

import rubigo as rg
from rubigo import _core

HUGE = 2**63 - 1


@pytest.mark.parametrize("step", [HUGE, 2**63 - 5, 2**63 - 20000, 2**62 + 1, 7])
@pytest.mark.parametrize("n", [0, 1, 10, 65536])
def test_slices_with_giant_steps(step, n):
    x = rg.arange(n)
    assert x[::step].tolist() == list(range(n))[::step]
    assert x[1::step].tolist() == list(range(n))[1::step]


def test_windows_with_giant_steps():
    x = rg.arange(10)
    assert x.unfold(0, 3, HUGE).tolist() == [[0, 1, 2]]
    assert x[:: 2**63 - 5].unfold(0, 1, HUGE).tolist() == [[0]]
    with pytest.raises(RuntimeError, match="unfold"):
        x[:: 2**63 - 5].unfold(0, 3, HUGE)


def test_a_view_stays_inside_of_its_memory():
    x = rg.zeros(4)
    for shape, strides, offset in (
        ([], [], -1), ([5], [1], 0), ([2], [HUGE], 0), ([2, 2], [1], 0), ([3], [1], 2),
        ([-1], [1], 0), ([2**33, 2**33], [1, 1], 0),
    ):  # fmt: skip
        with pytest.raises((ValueError, IndexError)):
            _core.strided(x, shape, strides, offset)
    for size, strides, offset in (
        ([], [1], 0), (5, [], 0), (5, [1], 3), (5, [HUGE], 0), (5, [-1], 4), (-5, [1], 0),
        (0, [-1, 2], 1),
    ):  # fmt: skip
        with pytest.raises((ValueError, IndexError)):
            _core.embed(rg.zeros(3), size, strides, offset)


def test_joining_beyond_64_bits():
    z = rg.zeros(1).expand(2**60 - 1)
    with pytest.raises(MemoryError):
        rg.cat([z] * 16 + [rg.zeros(17)])
    with pytest.raises(MemoryError):
        rg.stack([z] * 16)
    with pytest.raises(MemoryError):
        z.repeat(2**10, 2**20)
    with pytest.raises(MemoryError):
        rg.zeros(1, 3).tile(2**40, 2**40)


@pytest.mark.parametrize("mode", ["replicate", "constant"])
def test_padding_beyond_memory(mode):
    for size in (2**42, HUGE - 10):
        with pytest.raises((MemoryError, RuntimeError)):
            rg.nn.functional.pad(rg.zeros(1, 3), (size, 0), mode=mode)


def test_more_views_than_memory_holds():
    with pytest.raises(MemoryError):
        rg.zeros(0).chunk(2**40)
    with pytest.raises(MemoryError):
        rg.zeros(0).tensor_split(2**40)
    with pytest.raises(MemoryError):
        rg.zeros(1).expand(2**40).unbind()
    with pytest.raises(MemoryError):
        rg.zeros(1).expand(2**40).split(1)


def test_flips_and_triangles():
    x = rg.zeros(1, dtype=rg.bool).expand(2**45)
    with pytest.raises(MemoryError):
        x.flip(0)
    assert rg.tensor([[1, 2], [3, 4]]).flip(0, 1).tolist() == [[4, 3], [2, 1]]
    with pytest.raises((MemoryError, RuntimeError)):
        rg.tril_indices(0, HUGE)


def test_many_views_of_views():
    x = rg.zeros(20_001, requires_grad=True)
    y = x * 1
    for _ in range(20_000):
        y = y[1:]
    y += 5
    y.sum().backward()
    assert x.grad.sum().item() == 1.0 and np.argmax(x.grad.numpy()) == 20_000


def test_views_of_nothing(device):
    x = rg.zeros(2, 0, device=device)
    assert x[1].cpu().tolist() == [] and [part.tolist() for part in x.unbind()] == [[], []]
    found = rg.zeros(4, 4, device=device).nonzero(as_tuple=True)
    assert [i.cpu().tolist() for i in found] == [[], []]
    with pytest.raises(MemoryError):
        rg.zeros(2**40, 0).flip(0)
