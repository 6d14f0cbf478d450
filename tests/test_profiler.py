"""The profiler: which op took how long, for which module."""

import threading

import pytest

import rubigo as rg
from rubigo import nn, optim


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4)])

    def forward(self, x):
        for layer in self.layers:
            x = layer(x).tanh()
        return x


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = Block()
        self.again = self.encoder  # a second name for one module
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        return self.head(self.encoder(x)).exp()


FIRST, SECOND = "encoder.layers[0] (Linear)", "encoder.layers[1] (Linear)"


@pytest.fixture
def trained(device):
    """The profile of one step."""
    model = Net().to(device)
    optimizer = optim.Adam(model.parameters())
    x = rg.randn(8, 4, device=device)
    with rg.profile(model) as p:
        model(x).square().mean().backward()
        optimizer.step()
    return p


def ops(p, module):
    return {row.op: row for row in p.rows if row.module == module}


def test_modules_are_named_by_path_and_class_and_once(trained):
    modules = {row.module for row in trained.rows}
    assert modules == {"", "Net", "encoder (Block)", FIRST, SECOND, "head (Linear)"}
    assert ops(trained, "Net").keys() >= {"exp"}
    assert ops(trained, "encoder (Block)")["tanh"].calls == 2


def test_a_backward_belongs_to_the_module_of_its_forward(trained):
    for module in (FIRST, SECOND, "head (Linear)"):
        found = ops(trained, module)
        assert found["linear"].calls == 1
        # The gradients of weight, bias and, except in the first layer, of the input.
        assert found["matmul"].calls == (1 if module == FIRST else 2)
        assert found["sum"].calls == 1
    # Elementwise ops have a fused derivative, which is no op of its own.
    assert ops(trained, "encoder (Block)")["tanh_backward"].calls == 2
    assert ops(trained, "Net")["exp_backward"].calls == 1
    assert ops(trained, "")["adam_step"].calls == 1
    assert "linear" not in ops(trained, "") and "matmul" not in ops(trained, "")


def test_totals_agree_and_bytes_are_counted(trained):
    by_op, by_module = trained.by("op"), trained.by("module")
    for column in (1, 2, 3):
        total = sum(row[column] for row in by_op)
        assert total == pytest.approx(sum(row[column] for row in by_module)) and total > 0
    for row in trained.rows:
        assert row.bytes > 0 and row.calls > 0 and row.seconds >= 0
    assert [row[2] for row in by_op] == sorted((row[2] for row in by_op), reverse=True)
    # x (8, 4), w (4, 4), b (4,) in, (8, 4) out, of 4 bytes each.
    assert ops(trained, FIRST)["linear"].bytes == 4 * (32 + 16 + 4 + 32)
    with pytest.raises(ValueError, match="op"):
        trained.by("layer")


def test_the_table_names_what_took_longest(trained):
    text = str(trained)
    assert SECOND in text and "adam_step" in text and "(no module)" in text
    assert len(trained.table("module", limit=2).splitlines()) == 3
    long = nn.Sequential(nn.Sequential(nn.Sequential()))
    long[0][0].add_module("a_layer_with_quite_a_long_name_indeed", nn.ReLU())
    x = rg.ones(1)
    with rg.profile(long) as p:
        long(x)
    header, row = p.table("module").splitlines()
    assert len(header) == len(row)


def test_an_error_in_the_block_leaves_nothing_behind():
    class Fails(nn.Module):
        def forward(self, x):
            raise KeyError("no")

    model = nn.Sequential(nn.Linear(4, 4), Fails())
    x = rg.ones(1, 4)
    with pytest.raises(KeyError), rg.profile(model) as p:
        model(x)
    assert [row.module for row in p.rows] == ["[0] (Linear)"]
    with rg.profile() as later:
        rg.ones(2) + 1
    assert {row.module for row in later.rows} == {""}
    # Inside the block too, a failed module is left.
    with rg.profile(model) as p:
        with pytest.raises(KeyError):
            model(rg.ones(1, 4))
        rg.ones(2).exp()
    assert ops(p, "")["exp"].calls == 1


def test_nothing_is_measured_outside_of_the_block_and_all_threads_inside():
    rg.ones(3).exp()
    with rg.profile() as p:
        worker = threading.Thread(target=lambda: rg.ones(3).sin())
        worker.start()
        worker.join()
    rg.ones(3).cos()
    names = {row.op for row in p.rows}
    assert "sin" in names and not names & {"exp", "cos"}


def test_a_block_within_another_counts_for_both():
    x = rg.ones(3)
    with rg.profile() as outer:
        x.exp()
        with rg.profile() as inner:
            x.exp()
            x.sin()
        x.cos()
    assert {op: row.calls for op, row in ops(inner, "").items()} == {"exp": 1, "sin": 1}
    assert {op: row.calls for op, row in ops(outer, "").items()} == {"exp": 2, "sin": 1, "cos": 1}
    assert len(outer.rows) == 3 and outer.rows[0].bytes > 0
