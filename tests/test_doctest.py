"""Every example in a docstring of the package runs and prints what it says."""

import doctest
import importlib
import inspect
import pkgutil
import re

import pytest

import rubigo as rg

NUMBER = re.compile(r"[-+]?(?:\d+\.\d*|\.\d+|\d+)(?:[eE][-+]?\d+)?")


class Checker(doctest.OutputChecker):
    """Equal texts, with numbers that have a decimal point compared to four digits."""

    def check_output(self, want, got, flags):
        if super().check_output(want, got, flags):
            return True
        if NUMBER.sub("#", " ".join(want.split())) != NUMBER.sub("#", " ".join(got.split())):
            return False
        pairs = zip(NUMBER.findall(want), NUMBER.findall(got), strict=True)
        return all(
            a == b or ("." in a and float(a) == pytest.approx(float(b), rel=1e-4, abs=1e-6))
            for a, b in pairs
        )


def modules():
    names = [m.name for m in pkgutil.walk_packages(rg.__path__, "rubigo.")]
    return ["rubigo", *sorted(n for n in names if not n.endswith((".__main__", "._core")))]


def examples(module):
    """The module's own examples, and in the main module those of the op table's doc lines too."""
    found = doctest.DocTestFinder(exclude_empty=True).find(module, module.__name__)
    if module.__name__ == "rubigo":
        finder = doctest.DocTestFinder(exclude_empty=True, recurse=False)
        for name in sorted(dir(rg._core)):
            value = getattr(rg._core, name)
            if inspect.isbuiltin(value) and value.__doc__:
                found += finder.find(value, f"rubigo.{name}", module=False, globs={})
    return [t for t in found if t.examples]


@pytest.mark.parametrize("name", modules())
def test_examples(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name)
    runner = doctest.DocTestRunner(
        Checker(), verbose=False, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    )
    for test in examples(module):
        rg.manual_seed(0)
        runner.run(test)
    result = runner.summarize(verbose=False)
    assert result.failed == 0, capsys.readouterr().out


def test_the_first_names_have_examples():
    for value in (rg.nn.Linear, rg.nn.Module, rg.optim.SGD, rg.no_grad, rg.save, rg.autograd.grad):
        assert ">>>" in (value.__doc__ or ""), value


DOCUMENTED = (
    rg.autograd, rg.nn.functional, rg.nn, rg.nn.init, rg.nn.utils, rg.metrics, rg.testing,
)  # fmt: skip
ENTRY = re.compile(r"^\s+((?:\w+, )*\w+): \S", re.M)
ELSEWHERE = re.compile(r"\b[Aa]rguments as (?:in|for) `(\w+)`")


def public(module):
    """The functions and classes of a module that are written in Python."""
    every = hasattr(module, "__all__") or module is rg.nn
    for name in getattr(module, "__all__", None) or dir(module):
        value = getattr(module, name)
        home = str(getattr(value, "__module__", ""))
        written = home.startswith("rubigo.") and not home.startswith("rubigo._core")
        mine = not name.startswith("_") and written and (every or home == module.__name__)
        error = isinstance(value, type) and issubclass(value, Exception)
        if mine and callable(value) and not error:
            yield name, value


def explained(module, value):
    """The arguments of which a docstring says something, or the one that it refers to."""
    text = inspect.getdoc(value) or ""
    names = {name for entry in ENTRY.findall(text) for name in entry.split(", ")}
    for other in ELSEWHERE.findall(text):
        names |= explained(module, getattr(module, other))
    return names


@pytest.mark.parametrize("module", DOCUMENTED, ids=lambda module: module.__name__)
def test_every_argument_is_explained(module):
    lacking = {}
    for name, value in public(module):
        given = {p for p in inspect.signature(value).parameters if not p.startswith("_")}
        missing = given - {"args", "kwargs"} - explained(module, value)
        if missing or ">>>" not in (inspect.getdoc(value) or ""):
            lacking[name] = missing or "an example"
    assert not lacking


def members(holder):
    """The public names of the package, a module or a class, and what they stand for."""
    names = vars(holder) if isinstance(holder, type) else getattr(holder, "__all__", dir(holder))
    for name in names:
        value = getattr(holder, name)
        home = getattr(value, "__module__", None) or "rubigo"
        if not name.startswith("_") and home.partition(".")[0] == "rubigo":
            yield name, value


def without_text(holder, seen):
    """The paths of the public functions, classes, methods and properties without a docstring."""
    for name, value in members(holder):
        described = callable(value) or isinstance(value, property)
        described |= isinstance(holder, type) and inspect.isgetsetdescriptor(value)
        if described and not inspect.getdoc(value):
            yield f"{holder.__name__}.{name}"
        ours = inspect.ismodule(value) and value.__name__.startswith("rubigo.")
        if (ours or isinstance(value, type)) and value not in seen:
            seen.add(value)
            yield from without_text(value, seen)


def test_everything_public_has_a_docstring():
    seen = set()
    lacking = sorted(without_text(rg, seen))
    assert len(seen) > 100 and not lacking


def test_the_readme_runs():
    import pathlib
    import re

    text = (pathlib.Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.S)
    assert len(blocks) == 2
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})
