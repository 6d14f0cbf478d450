"""Datasets, samplers, collation and the loader, as a user meets them."""

import collections
import os
import signal
import threading
import time
import traceback

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import rubigo as rg
from rubigo.data import (
    BatchSampler,
    ConcatDataset,
    DataLoader,
    Dataset,
    RandomSampler,
    Sampler,
    SequentialSampler,
    StackDataset,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
    default_collate,
    default_convert,
    load_digits,
    random_split,
)


def generator(seed):
    made = rg.Generator()
    made.manual_seed(seed)
    return made


def loader_threads():
    return [t for t in threading.enumerate() if t.name.startswith("rubigo-loader")]


class Slow(Dataset):
    """Early samples take longest, so that finishing order differs from asking order."""

    def __init__(self, size, bad=None):
        self.size = size
        self.bad = bad

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        time.sleep(0.002 if index % 4 == 0 else 0)
        if index == self.bad:
            raise KeyError("broken file")
        return index


def test_tensor_dataset_rows_and_batches():
    x, y = rg.arange(12).reshape(6, 2), rg.arange(6)
    data = TensorDataset(x, y)
    assert len(data) == 6
    assert data[2][0].tolist() == [4, 5] and data[2][1].item() == 2
    (batch,) = DataLoader(data, batch_sampler=[[5, -6]])
    assert [f.tolist() for f in batch] == [[[10, 11], [0, 1]], [5, 0]]
    with pytest.raises(IndexError, match="index 6 is out of range"):
        list(DataLoader(data, batch_sampler=[[0, 6]]))
    with pytest.raises(ValueError, match=r"\[6, 5\]"):
        TensorDataset(x, rg.arange(5))
    with pytest.raises(ValueError, match="first dimension"):
        TensorDataset(rg.tensor(1.0))


@pytest.mark.parametrize("wrap", [lambda d: d, lambda d: Subset(d, [3, 1, 2, 0, 4])])
def test_fast_path_gives_what_collating_samples_gives(wrap):
    data = wrap(TensorDataset(rg.arange(10.0).reshape(5, 2), rg.arange(5)))
    fast = list(DataLoader(data, batch_size=2))
    slow = list(DataLoader(data, batch_size=2, collate_fn=lambda samples: default_collate(samples)))
    assert [[f.tolist() for f in b] for b in fast] == [[f.tolist() for f in b] for b in slow]
    assert [type(b) for b in fast] == [type(b) for b in slow]


def test_a_batch_does_not_alias_the_dataset():
    x = rg.zeros(4)
    (batch,) = next(iter(DataLoader(TensorDataset(x), batch_size=4)))
    batch += 1
    assert x.tolist() == [0.0] * 4


class Doubled(TensorDataset):
    def __getitem__(self, index):
        return tuple(2 * row for row in super().__getitem__(index))


def test_what_a_subclass_gives_is_not_passed_over():
    (batch,) = DataLoader(Doubled(rg.arange(3)), batch_size=3)
    assert batch[0].tolist() == [0, 2, 4]
    (batch,) = DataLoader(Subset(Doubled(rg.arange(3)), [2, 1]), batch_size=3)
    assert batch[0].tolist() == [4, 2]


class Reads(Dataset):
    """Has an attribute of every name that a loader might be tempted by."""

    def __init__(self):
        self.batch = 32
        self.fetch = self.collate = None

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return index


class ReadsMany(Reads):
    def __init__(self):
        self.asked = []

    def batch(self, size):
        raise AssertionError("a method of the user's own")

    def __getitems__(self, indices):
        self.asked.append(indices)
        return [10 * i for i in indices]


@pytest.mark.parametrize("workers", [0, 2])
def test_many_samples_are_read_by_the_hook_of_that_name_only(workers):
    batches = [b.tolist() for b in DataLoader(Reads(), 2, num_workers=workers)]
    assert batches == [[0, 1], [2, 3]]
    many = ReadsMany()
    batches = [b.tolist() for b in DataLoader(many, 2, num_workers=workers)]
    assert batches == [[0, 10], [20, 30]] and sorted(many.asked) == [[0, 1], [2, 3]]
    (batch,) = DataLoader(Subset(ReadsMany(), [3, 1]), 2, collate_fn=tuple)
    assert batch == (30, 10)

    class TooFew(ReadsMany):
        def __getitems__(self, indices):
            return [1]

    with pytest.raises(ValueError, match="gave 1 samples for 2 indices"):
        list(DataLoader(TooFew(), 2, num_workers=workers))


def test_subset_takes_lists_as_its_dataset_does():
    part = Subset(TensorDataset(rg.arange(4)), [3, 2, 1])
    assert part[[0, 1]][0].tolist() == [3, 2]


@pytest.mark.parametrize("listed", [list, tuple, np.array, rg.tensor])
def test_subsets_take_indices_of_any_kind(listed):
    rows = TensorDataset(rg.arange(10))
    subset = Subset(rows, listed([3, 4, 5]))
    assert subset.indices == [3, 4, 5]
    assert [b[0].tolist() for b in DataLoader(subset, 2)] == [[3, 4], [5]]
    for one in (1, np.int64(1), rg.tensor(1), np.array(1)):
        assert subset[one][0].item() == 4
    assert subset[listed([0, 2]) if listed is not tuple else [0, 2]][0].tolist() == [3, 5]
    assert Subset({"a": 1, "b": 2}, ["b", "a"])[0] == 2
    for mask in (np.array([True, False]), [True, False]):
        with pytest.raises(TypeError, match="got a mask"):
            Subset(rows, mask)
    with pytest.raises(TypeError, match="float"):
        list(DataLoader(Subset(rows, [1.5])))


def test_datasets_and_samplers_can_be_annotated():
    assert Dataset[int] and DataLoader[int] and Sampler[int] and Subset[int]


def test_pytorchs_module_of_that_name():
    from rubigo.utils.data import DataLoader as same

    assert same is DataLoader and rg.utils.data.Subset is Subset


def test_concat_stack_subset():
    joined = ConcatDataset(["ab", "", "cde"])
    assert [joined[i] for i in range(5)] == list("abcde")
    assert joined[-5] == "a"
    with pytest.raises(IndexError):
        joined[5]
    assert StackDataset(x="ab", y=[1, 2])[1] == {"x": "b", "y": 2}
    with pytest.raises(ValueError, match=r"\[2, 3\]"):
        StackDataset("ab", "cde")
    with pytest.raises(ValueError, match="either positional or keyword"):
        StackDataset("ab", x="ab")
    assert Subset("abc", [2])[0] == "c"


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 40), st.lists(st.floats(0.1, 1.0), min_size=1, max_size=4))
def test_random_split_is_a_partition(size, parts):
    fractions = [part / sum(parts) for part in parts]
    split = random_split(range(size), fractions, generator(1))
    assert sorted(i for part in split for i in part.indices) == list(range(size))
    for part, fraction in zip(split, fractions, strict=True):
        assert abs(len(part) - size * fraction) <= 1 + 1e-6


def test_random_split_by_lengths():
    first = random_split(range(10), [7, 3], generator(3))
    again = random_split(range(10), [7, 3], generator(3))
    assert [p.indices for p in first] == [p.indices for p in again]
    assert [len(p) for p in first] == [7, 3]
    counts = np.array([7, 3])
    assert [p.indices for p in random_split(range(10), counts, generator(3))] == [
        p.indices for p in first
    ]
    with pytest.raises(ValueError, match="neither"):
        random_split(range(10), [7, 4])
    with pytest.raises(ValueError, match="negative"):
        random_split(range(10), [11, -1])


def test_random_sampler_epochs_depend_on_seed_and_epoch_only():
    sampler = RandomSampler(range(50), generator=generator(7))
    epochs = [list(sampler) for _ in range(3)]
    assert all(sorted(e) == list(range(50)) for e in epochs)
    assert epochs[0] != epochs[1] != epochs[2]
    again = RandomSampler(range(50), generator=generator(7))
    rg.rand(100)
    again.set_epoch(2)
    assert list(again) == epochs[2]
    assert list(RandomSampler(range(50), generator=generator(8))) != epochs[0]


def test_random_sampler_num_samples_and_replacement():
    more = list(RandomSampler(range(4), num_samples=10, generator=generator(0)))
    assert len(more) == 10
    assert sorted(more[:4]) == sorted(more[4:8]) == [0, 1, 2, 3]
    drawn = list(RandomSampler(range(3), replacement=True, num_samples=200))
    assert set(drawn) == {0, 1, 2}
    assert list(RandomSampler([])) == []


def test_subset_random_sampler():
    sampler = SubsetRandomSampler([7, 3, 5], generator=generator(0))
    epochs = [list(sampler) for _ in range(5)]
    assert all(sorted(e) == [3, 5, 7] for e in epochs) and len(sampler) == 3
    assert len({tuple(e) for e in epochs}) > 1


def test_weighted_sampler_follows_the_weights():
    drawn = list(WeightedRandomSampler([1.0, 0.0, 3.0], 4000, generator=generator(0)))
    share = collections.Counter(drawn)
    assert share[1] == 0 and abs(share[2] / 4000 - 0.75) < 0.03
    none_twice = list(WeightedRandomSampler([1.0, 0.0, 3.0, 2.0], 3, replacement=False))
    assert sorted(none_twice) == [0, 2, 3]
    with pytest.raises(ValueError, match="weight 1 is nan"):
        WeightedRandomSampler([1.0, float("nan")], 1)
    with pytest.raises(ValueError, match="positive weights"):
        WeightedRandomSampler([1.0, 0.0], 2, replacement=False)


def test_batch_sampler():
    assert list(BatchSampler(range(5), 2, drop_last=True)) == [[0, 1], [2, 3]]
    assert len(BatchSampler(SequentialSampler("abcde"), 2, drop_last=False)) == 3
    for bad in (0, -1, 2.0, True):
        with pytest.raises(ValueError, match="batch_size"):
            BatchSampler(range(5), bad, drop_last=False)


def test_default_collate():
    Point = collections.namedtuple("Point", "x y")
    batch = default_collate(
        [
            {"a": 1, "b": (1.5, "s"), "p": Point(True, np.float32(2)), "n": np.ones(2, "int16")},
            {"a": 2, "b": (2.5, "t"), "p": Point(False, np.float32(3)), "n": np.ones(2, "int16")},
        ]
    )
    assert batch["a"].dtype == rg.int64 and batch["a"].tolist() == [1, 2]
    assert batch["b"][0].dtype == rg.float64 and batch["b"][1] == ("s", "t")
    assert batch["p"].x.dtype == rg.bool and batch["p"].y.tolist() == [2.0, 3.0]
    assert batch["n"].dtype == rg.int16 and tuple(batch["n"].shape) == (2, 2)


def test_collating_keeps_the_kinds_of_mappings_and_strings():
    ordered = collections.OrderedDict(b=1, a="x")
    batch = default_collate([ordered, ordered])
    assert type(batch) is collections.OrderedDict and list(batch) == ["b", "a"]
    assert batch["a"] == ["x", "x"]
    counts = default_collate([collections.defaultdict(int, a=1)] * 2)
    assert type(counts) is collections.defaultdict and counts["nothing"] == 0
    assert default_collate([(1, b"x"), (2, b"y")])[1] == (b"x", b"y")
    assert default_collate(["a", "b"]) == ["a", "b"]
    with pytest.raises(TypeError, match="collate_fn"):
        default_collate([np.array(["a"])])


def test_default_convert():
    Point = collections.namedtuple("Point", "x y")
    point = default_convert(Point(np.ones(2), "a"))
    assert type(point) is Point and point.x.dtype == rg.float64 and point.y == "a"
    assert default_convert((3, [2.5])) == [3, [2.5]]
    assert type(default_convert(collections.OrderedDict(a=1))) is collections.OrderedDict


def test_without_a_batch_size_each_sample_is_converted_or_collated():
    rows = [np.ones(2), np.zeros(2)]
    assert [row.tolist() for row in DataLoader(rows, batch_size=None)] == [[1, 1], [0, 0]]
    summed = DataLoader(rows, batch_size=None, collate_fn=lambda row: row.sum())
    assert list(summed) == [2.0, 0.0]
    groups = DataLoader(np.arange(5), batch_size=None, sampler=[[0, 1], [4]])
    assert [group.tolist() for group in groups] == [[0, 1], [4]]


class Noisy(Dataset):
    def __len__(self):
        return 12

    def __getitem__(self, index):
        time.sleep(0.001 * (index % 3))
        return index + rg.rand(())


def test_random_numbers_of_samples_depend_on_seed_epoch_and_batch_only():
    def epochs(workers, draws=0):
        loader = DataLoader(Noisy(), 3, num_workers=workers, generator=generator(5))
        found = []
        for _ in range(2):
            for batch in loader:
                rg.rand(draws)
                found.append(batch.tolist())
        return found

    rg.manual_seed(1)
    first = epochs(0)
    assert first == epochs(1) == epochs(3, draws=2) and first[:4] != first[4:]
    loader = DataLoader(Noisy(), 3, num_workers=2, generator=generator(5))
    loader.set_epoch(1)
    assert [b.tolist() for b in loader] == first[4:]
    shares = [value % 1 for batch in first for value in batch]
    assert len(set(shares)) == len(shares)


def test_a_thread_outside_of_loaders_has_the_default_generator():
    list(DataLoader(Noisy(), 3))
    rg.manual_seed(3)
    first = rg.rand(2).tolist()
    rg.manual_seed(3)
    assert rg.rand(2).tolist() == first


def test_default_collate_says_what_is_wrong():
    with pytest.raises(ValueError, match=r"sample 1 of the batch has shape \(3,\)"):
        default_collate([rg.zeros(2), rg.zeros(3)])
    with pytest.raises(ValueError, match="number of fields"):
        default_collate([(1, 2), (1,)])
    with pytest.raises(KeyError, match="sample 1 of the batch has no field 'a'"):
        default_collate([{"a": 1}, {"b": 1}])
    with pytest.raises(TypeError, match="collate_fn"):
        default_collate([object()])
    with pytest.raises(ValueError, match="0 samples"):
        default_collate([])


@pytest.mark.parametrize("workers", [1, 3])
def test_order_is_that_of_no_workers(workers):
    def epochs(workers):
        loader = DataLoader(Slow(23), 4, shuffle=True, num_workers=workers, generator=generator(5))
        return [[b.tolist() for b in loader] for _ in range(2)]

    assert epochs(workers) == epochs(0)
    assert not loader_threads()


def test_loader_length_and_drop_last():
    assert len(DataLoader(range(5), 2)) == len(list(DataLoader(range(5), 2))) == 3
    assert len(DataLoader(range(5), 2, drop_last=True)) == 2
    singles = DataLoader(["a", "b"], batch_size=None)
    assert list(singles) == ["a", "b"] and len(singles) == 2
    passing = iter(DataLoader(range(5), 2))
    next(passing)
    assert len(passing) == 3
    assert DataLoader([1], generator=None).generator is None
    assert len(list(DataLoader(range(4), np.int64(2)))) == 2
    assert list(DataLoader([], 2)) == []
    assert list(DataLoader([], 2, shuffle=True)) == []


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_names_the_sample_and_keeps_its_traceback(workers):
    with pytest.raises(KeyError, match="broken file") as caught:
        list(DataLoader(Slow(20, bad=13), 4, num_workers=workers))
    assert caught.value.__notes__ == ["raised while loading sample 13 of Slow"]
    lines = "".join(traceback.format_exception(caught.value))
    assert 'raise KeyError("broken file")' in lines
    assert not loader_threads()


def test_break_and_interrupt_leave_no_thread():
    for _ in DataLoader(Slow(100), 2, num_workers=3):
        break
    assert not loader_threads()
    with pytest.raises(KeyboardInterrupt):
        for _ in DataLoader(Slow(100), 2, num_workers=3):
            raise KeyboardInterrupt
    assert not loader_threads()


def test_ctrl_c_is_heard_while_waiting_for_a_worker():
    release = threading.Event()

    class Hangs(Slow):
        def __getitem__(self, index):
            release.wait(10)
            return index

    timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        list(DataLoader(Hangs(100), 1, num_workers=2))
    # Neither the two samples under way are waited for nor the queued ones.
    assert time.monotonic() - started < 2
    release.set()
    for thread in loader_threads():
        thread.join(2)
    assert not loader_threads()


def test_prefetch_is_bounded():
    asked = []

    class Noted(Slow):
        def __getitem__(self, index):
            asked.append(index)
            return index

    batches = iter(DataLoader(Noted(100), 1, num_workers=2, prefetch_factor=3))
    next(batches)
    time.sleep(0.1)
    assert len(asked) <= 7
    batches.close()


def test_timeout_names_the_batch():
    release = threading.Event()

    class Hangs(Slow):
        def __getitem__(self, index):
            if index == 2:
                release.wait(10)
            return index

    loader = DataLoader(Hangs(4), 1, num_workers=1, timeout=0.3)
    try:
        with pytest.raises(RuntimeError, match="timed out: batch 2"):
            list(loader)
    finally:
        release.set()


@pytest.mark.parametrize(
    "options",
    [
        {"sampler": [0], "shuffle": True},
        {"batch_sampler": [[0]], "batch_size": 2},
        {"batch_sampler": [[0]], "shuffle": True},
        {"batch_size": 0},
        {"drop_last": True, "batch_size": None},
        {"num_workers": -1},
        {"prefetch_factor": 2},
        {"timeout": -1},
        {"persistent_workers": True},
    ],
)
def test_loader_refuses_contradictions(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        DataLoader(range(4), **options)


LOADERS = [
    {},
    {"batch_size": 2, "shuffle": True, "drop_last": True},
    {"batch_size": None},
    {"sampler": [1, 0]},
    {"batch_sampler": [[0], [1]]},
    {"num_workers": 1, "timeout": 3, "persistent_workers": True},
    {"num_workers": 1, "prefetch_factor": 5, "pin_memory_device": "cpu", "in_order": False},
]


@pytest.mark.parametrize("options", LOADERS)
def test_loaders_have_the_attributes_of_pytorchs(options):
    torch = pytest.importorskip("torch")
    ours, theirs = DataLoader(range(3), **options), torch.utils.data.DataLoader(range(3), **options)
    for name in (
        "dataset", "batch_size", "num_workers", "drop_last", "timeout", "prefetch_factor",
        "persistent_workers", "pin_memory", "pin_memory_device", "worker_init_fn",
        "multiprocessing_context", "in_order", "generator",
    ):  # fmt: skip
        assert getattr(ours, name) == getattr(theirs, name), name
    for name in ("sampler", "batch_sampler", "collate_fn"):
        mine, other = getattr(ours, name), getattr(theirs, name)
        assert type(mine).__name__ == type(other).__name__, name
        assert getattr(mine, "__name__", None) == getattr(other, "__name__", None)
    for name in ("dataset", "batch_size", "sampler", "batch_sampler", "drop_last"):
        for loader in (ours, theirs):
            with pytest.raises(ValueError, match=name):
                setattr(loader, name, None)


def test_loader_needs_a_map_dataset():
    with pytest.raises(TypeError, match="generator"):
        DataLoader(i for i in range(3))


def test_digits():
    pytest.importorskip("sklearn")
    images, labels = load_digits()
    assert tuple(images.shape) == (1797, 1, 8, 8) and images.dtype == rg.float32
    assert labels.dtype == rg.int64 and sorted(set(labels.tolist())) == list(range(10))
    assert images.min().item() == 0.0 and images.max().item() == 1.0
