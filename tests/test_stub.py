"""The stub and the extension have the same names: a checker believes the stub alone."""

import ast
from pathlib import Path

import rubigo as rg
from rubigo import _core

TREE = ast.parse((Path(rg.__file__).parent / "_core.pyi").read_text(encoding="utf-8"))
# Of the build that disturbs its ops, and a module that only lists functions.
UNTYPED = {"set_mutation", "mutation_hits", "_functions"}


def names(body):
    """What a body defines; a type alias is no name of the extension's."""
    for node in body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            yield node.name
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Name):
            yield ast.unparse(node.targets[0])
        elif isinstance(node, ast.AnnAssign) and ast.unparse(node.annotation) != "TypeAlias":
            yield ast.unparse(node.target)


def test_functions_and_constants():
    found = {name for name in dir(_core) if not name.startswith("__")} - UNTYPED
    assert set(names(TREE.body)) - {"__version__"} == found


def test_members():
    classes = [node for node in TREE.body if isinstance(node, ast.ClassDef)]
    for node in classes:
        cls = getattr(_core, node.name)
        typed = set(names(node.body))
        missing = {name for name in typed if not hasattr(cls, name)}
        assert not missing, f"{node.name} has no {missing}"
        untyped = {name for name in vars(cls) if not name.startswith("__")} - typed
        assert not untyped, f"the stub of {node.name} lacks {untyped}"
