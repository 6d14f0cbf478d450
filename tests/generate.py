"""Writes the files that are generated from the op table: python/rubigo/_ops.py and _core.pyi.

`--check` writes nothing and fails when they are not current.
"""

import importlib.machinery
import importlib.util
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "python" / "rubigo"
TYPES = {
    "Tensor": "Tensor | float",
    "Tensors": "Sequence[Tensor]",
    "Bool": "builtins.bool",
    "Int": "builtins.int",
    "Float": "builtins.float",
    "Number": "Number",
    "Ints": "builtins.int | Sequence[builtins.int]",
    "Floats": "Sequence[builtins.float]",
    "Str": "str",
    "DType": "_DType",
    "Device": "_Device | str",
}
# Python gives these names several forms, in `_tensor.py`.
OVERRIDDEN = {"var", "std", "where", "max", "min", "nonzero"}


def load_core():
    """The extension module itself, without the package, which may be about to be generated."""
    spec = importlib.util.find_spec("rubigo")
    places = list(spec.submodule_search_locations) if spec else [str(PACKAGE)]
    for place in places:
        for suffix in importlib.machinery.EXTENSION_SUFFIXES:
            path = Path(place) / f"_core{suffix}"
            if path.exists():
                found = importlib.util.spec_from_file_location("_core", path)
                module = importlib.util.module_from_spec(found)
                found.loader.exec_module(module)
                return module
    raise SystemExit("rubigo._core is not built: run `make build` first")


def parameters(op, form):
    """The parameter list of a stub."""
    out = []
    starred = False

    def defaulted(p):
        return bool(p["default"]) or p["optional"]

    params = op["params"]
    # A default counts only when everything after it has one, too.
    last = max((i for i, p in enumerate(params) if not defaulted(p)), default=-1)
    for i, p in enumerate(params):
        if i == 0 and form != "function":
            out.append("self")
            continue
        if p["keyword_only"] and not starred:
            out.append("*")
            starred = True
        kind = TYPES[p["kind"]]
        if i == 0 and p["kind"] == "Tensor":
            kind = "Tensor"
        variadic = p["kind"] == "Ints" and f"*{p['name']}:" in op["signature"]
        if variadic:
            out.append(f"*{p['name']}: builtins.int | Sequence[builtins.int]")
            starred = True
            continue
        optional = p["optional"] or p["default"] == "None"
        text = f"{p['name']}: {kind}{' | None' if optional else ''}"
        out.append(text + (" = ..." if defaulted(p) and (i > last or starred) else ""))
    return ", ".join(out)


def result(op):
    several = op["kind"] in ("composition", "dynamic", "kernel") and op["name"] in SEVERAL
    return "tuple[Tensor, ...]" if several else "Tensor"


SEVERAL = {
    "split", "chunk", "unbind", "tensor_split", "split_with_sizes", "hsplit", "vsplit", "sort",
    "topk", "kthvalue", "median", "mode", "cummax", "cummin", "unique", "batch_norm_train",
}  # fmt: skip


def ops_module(table):
    names = sorted(op["name"] for op in table if op["function"])
    lines = [
        '"""Generated from the op table by tests/generate.py; edit the row, not this file."""',
        "",
        "from rubigo._core import (",
        *[f"    {name} as {name}," for name in names],
        ")",
        "",
        "__all__ = [",
        *[f'    "{name}",' for name in names],
        "]",
        "",
    ]
    return "\n".join(lines)


def stub(table):
    head = (ROOT / "rust" / "bindings" / "stub.pyi").read_text()
    methods, functions = [], []
    for op in table:
        doc = f'        """{op["doc"]}."""'
        if op["method"] and op["name"] not in OVERRIDDEN:
            methods.append(
                f"    def {op['name']}({parameters(op, 'method')}) -> {result(op)}:\n{doc}"
            )
        if op["inplace"]:
            methods.append(f"    def {op['name']}_({parameters(op, 'method')}) -> Self:\n{doc}")
        if op["function"] or op["private"]:
            functions.append(
                f"def {op['name']}({parameters(op, 'function')}) -> {result(op)}:\n"
                f'    """{op["doc"]}."""'
            )
    text = head.replace("    # OPS\n", "\n".join(methods) + "\n")
    return text + "\n" + "\n".join(functions) + "\n"


def main():
    table = load_core().op_table()
    files = {PACKAGE / "_ops.py": ops_module(table), PACKAGE / "_core.pyi": stub(table)}
    stale = [p for p, text in files.items() if not p.exists() or p.read_text() != text]
    if "--check" in sys.argv:
        if stale:
            names = ", ".join(p.name for p in stale)
            raise SystemExit(f"not current: {names}; run `make generate`")
        return
    for path, text in files.items():
        path.write_text(text)


if __name__ == "__main__":
    main()
