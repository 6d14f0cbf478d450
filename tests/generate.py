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
    "Tensor": "_Operand",
    "Tensors": "Iterable[Tensor]",
    "Bool": "builtins.bool",
    "Int": "builtins.int",
    "Float": "builtins.float",
    "Number": "_Number",
    "Ints": "_Size",
    "Floats": "Sequence[builtins.float]",
    "Str": "str",
    "DType": "_DTypeLike",
    "Device": "_DeviceLike",
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


def parameters(op, form, types=None):
    """The parameter list of a stub; `types` replaces the annotations of some."""
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
        if p["name"] in (types or ()):
            out.append(f"{p['name']}: {types[p['name']]}")
            continue
        kind = TYPES[p["kind"]]
        if i == 0 and p["kind"] == "Tensor":
            kind = "Tensor"
        variadic = p["kind"] == "Ints" and f"*{p['name']}:" in op["signature"]
        if variadic:
            out.append(f"*{p['name']}: _Size")
            starred = True
            continue
        optional = p["optional"] or p["default"] == "None"
        text = f"{p['name']}: {kind}{' | None' if optional else ''}"
        out.append(text + (" = ..." if defaulted(p) and (i > last or starred) else ""))
    return ", ".join(out)


PAIR = "tuple[Tensor, Tensor]"
# With the names values and indices; in `_tensor.py`.
NAMED = ("sort", "topk", "kthvalue", "mode", "cummax", "cummin")
TRIPLE = "tuple[Tensor, Tensor, Tensor]"
SEVERAL = "tuple[Tensor, ...]"
RESULTS = {
    **{name: f"{name}_result" for name in NAMED},
    **dict.fromkeys(("max_pool", "adaptive_max_pool"), PAIR),
    **dict.fromkeys(("fused_layer_norm", "fused_rms_norm", "fused_group_norm"), TRIPLE),
    **dict.fromkeys(("batch_norm_train", "class_loss"), TRIPLE),
    "norm_backward": f"Tensor | {SEVERAL}",
}
# These give one tensor unless an argument asks for more: the arguments, with their types when they
# do not ask and when they do, and the result then.
FLAG = ("Literal[False] = ...", "builtins.bool = ...")
ASKED = {
    "median": ({"dim": ("None = ...", "builtins.int")}, "median_result"),
    "unique": ({"return_inverse": FLAG, "return_counts": FLAG}, f"Tensor | {SEVERAL}"),
    "unique_consecutive": ({"return_inverse": FLAG, "return_counts": FLAG}, f"Tensor | {SEVERAL}"),
    **dict.fromkeys(
        ("max_pool1d", "max_pool2d", "adaptive_max_pool1d", "adaptive_max_pool2d"),
        ({"return_indices": FLAG}, f"Tensor | {PAIR}"),
    ),
}


def definition(op, form):
    """One function or method of a stub, with an overload for each kind of result."""
    pad = "" if form == "function" else "    "
    name, doc = op["name"], f'{pad}    """{op["doc"]}."""'
    if form == "inplace":
        return f"{pad}def {name}_({parameters(op, form)}) -> Self:\n{doc}"
    plain = RESULTS.get(name, SEVERAL if op["many"] else "Tensor")
    if name not in ASKED:
        return f"{pad}def {name}({parameters(op, form)}) -> {plain}:\n{doc}"
    asked, more = ASKED[name]
    return "\n".join(
        f"{pad}@overload\n{pad}def {name}({parameters(op, form, types)}) -> {result}:\n{doc}"
        for types, result in (
            ({p: unasked for p, (unasked, _) in asked.items()}, plain),
            ({p: when for p, (_, when) in asked.items()}, more),
        )
    )


def ops_module(table, aliases):
    names = [op["name"] for op in table if op["function"] and op["name"] not in OVERRIDDEN]
    names = sorted([*names, *(alias for alias, _ in aliases)])
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


def stub(table, aliases):
    head = (ROOT / "rust" / "bindings" / "stub.pyi").read_text()
    methods, functions = [], []
    for op in table:
        if op["method"] and op["name"] not in OVERRIDDEN:
            methods.append(definition(op, "method"))
        if op["inplace"]:
            methods.append(definition(op, "inplace"))
        if op["function"] or op["private"]:
            functions.append(definition(op, "function"))
    methods += [f"    {alias} = {name}" for alias, name in aliases]
    in_place = {op["name"] for op in table if op["inplace"]}
    methods += [f"    {alias}_ = {name}_" for alias, name in aliases if name in in_place]
    functions += [f"{alias} = {name}" for alias, name in aliases]
    text = head.replace("    # OPS\n", "\n".join(methods) + "\n")
    return text + "\n" + "\n".join(functions) + "\n"


def main():
    core = load_core()
    table, aliases = core.op_table(), core.aliases()
    files = {
        PACKAGE / "_ops.py": ops_module(table, aliases),
        PACKAGE / "_core.pyi": stub(table, aliases),
    }
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
