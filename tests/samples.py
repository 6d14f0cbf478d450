# ruff: noqa: E501 - tables, one op to a line where it fits
"""Sample arguments for every op: small ones of many shapes, and large ones that run on threads.

Float64 arrays are values (they take the dtype under test), int64 arrays indices, bool arrays masks.
Rows need no entry: theirs are drawn from the domain in the table.
"""

import zlib

import numpy as np
from harness import TABLE


class Draw:
    """Seeded arrays for one op."""

    def __init__(self, name, seed=0):
        self.rng = np.random.default_rng(zlib.crc32(name.encode()) + seed)
        row = TABLE.get(name)
        self.low, self.high = row["domain"] if row else (-3.0, 3.0)

    def __call__(self, *shape):
        """Values from the op's domain, away from halves (where rounding would decide)."""
        x = self.rng.uniform(self.low, self.high, shape)
        return np.asarray(x)

    def distinct(self, *shape):
        """Different values that stay different in every dtype, in random order."""
        n = int(np.prod(shape))
        return np.asarray(self.rng.permutation(n) * 0.25).reshape(shape)

    def positive(self, *shape):
        return np.asarray(self.rng.uniform(0.2, 2.0, shape))

    def below(self, n, *shape):
        """Indices from 0 to n - 1."""
        return np.asarray(self.rng.integers(0, n, shape, dtype=np.int64))

    def perm(self, n):
        return self.rng.permutation(n).astype(np.int64)

    def mask(self, *shape):
        return np.asarray(self.rng.random(shape) < 0.5)


def c(*args, **kwargs):
    return args, kwargs


# Ops that PyTorch, too, defines for floats alone, or whose integer form this project leaves out: they may
# refuse integers and bool.
FLOATS_ONLY = {
    "conv1d", "conv2d", "conv_transpose1d", "conv_transpose2d", "conv_grad_input", "conv_grad_weight",
    "max_pool1d", "max_pool2d", "max_pool", "max_scatter", "max_gather", "avg_pool1d", "avg_pool2d",
    "avg_pool_backward", "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool_backward",
    "adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool", "softmax", "log_softmax",
    "softmax_backward", "log_softmax_backward", "cross_entropy", "nll_loss", "layer_norm", "rms_norm",
    "group_norm", "instance_norm", "batch_norm", "class_loss", "fused_layer_norm", "fused_rms_norm",
    "fused_group_norm", "batch_norm_train", "normalize", "dropout_seeded", "random_bernoulli", "var", "std",
    "vector_norm", "gelu", "logcumsumexp",
}  # fmt: skip
# Arithmetic that is not defined for bool.
NO_BOOL = {"matmul", "mm", "bmm", "mv", "dot", "addmm", "addmv", "baddbmm", "linear", "rsub"}

# What a row's non-tensor parameters are besides their defaults; integers, so that all dtypes take them.
ROW_PARAMS = {
    "add": [{"alpha": 2}], "sub": [{"alpha": 2}], "addcmul": [{"value": 2}],
    "addcdiv": [{"value": 2}], "clamp_numbers": [{"min": 1, "max": 2}, {"max": 1}],
    "leaky_relu": [{"negative_slope": 0.3}], "elu": [{"alpha": 0.7}], "celu": [{"alpha": 0.7}],
    "softplus": [{"beta": 2.0, "threshold": 3.0}], "hardtanh": [{"min_val": -0.5, "max_val": 1.5}],
    "softshrink": [{"lambd": 0.25}], "hardshrink": [{"lambd": 0.25}],
}  # fmt: skip
REQUIRED = {"threshold": {"threshold": 0.5, "value": -2.0}}

ROW_SHAPES = (((2, 3, 4),) * 3, ((37,),) * 3, ((),) * 3, ((0,),) * 3, ((2, 0, 3),) * 3)
BROADCAST = (((3, 1), (4,), (2, 1, 1)), ((), (5,), (1,)), ((2, 3), (1, 3), ()), ((1,), (0,), (1,)))


def row_samples(name, shapes=ROW_SHAPES + BROADCAST):
    row = TABLE[name]
    draw = Draw(name)
    tensors = [p for p in row["params"] if p["kind"] == "Tensor"]
    out = []
    for shape in shapes if len(tensors) > 1 else shapes[: len(ROW_SHAPES)]:
        args = [draw(*s) for s in shape[: len(tensors)]]
        if row["class"] == "Masked":
            args[0] = draw.mask(*shape[0])
        out.append(c(*args, **REQUIRED.get(name, {})))
    for more in ROW_PARAMS.get(name, []):
        out.append(c(*(draw(2, 3, 4) for _ in tensors), **more))
    return out


def reductions(g, **more):
    return [
        c(g(2, 3, 4), **more), c(g(3, 4), dim=0, **more), c(g(3, 4), dim=-1, keepdim=True, **more),
        c(g(2, 3, 4), dim=(0, 2), **more), c(g(2, 3, 4), (1,), True, **more), c(g(70), **more),
        c(g(), **more), c(g(5, 33), dim=1, **more), c(g(33, 5), dim=0, **more),
    ]  # fmt: skip


def empty_reductions(g):
    return [c(g(0)), c(g(2, 0), dim=1), c(g(2, 0), dim=0), c(g(0, 3), dim=0, keepdim=True)]


def along(g, draw, *args, **more):
    """Ops along one dimension."""
    return [
        c(draw(4, 5), 1, *args, **more), c(draw(3, 4, 5), 0, *args, **more),
        c(draw(3, 4, 5), -2, *args, **more), c(draw(40), 0, *args, **more),
    ]  # fmt: skip


def _conv(g, n):
    w = (5,) * n
    k = (3,) * n
    out = [
        c(g(2, 3, *w), g(4, 3, *k), g(4)), c(g(1, 2, *w), g(2, 2, *k)),
        c(g(2, 4, *w), g(6, 2, *k), g(6), (2,) * n, (1,) * n, (1,) * n, 2),
        c(g(2, 2, *(7,) * n), g(3, 2, *(2,) * n), None, (1,) * n, (2,) * n, (2,) * n, 1),
        c(g(3, *w), g(2, 3, *(1,) * n), g(2)), c(g(0, 2, *w), g(2, 2, *k)),
    ]  # fmt: skip
    if n == 2:
        out.append(c(g(2, 2, 6, 5), g(2, 2, 3, 2), g(2), (2, 1), (1, 0), (1, 2)))
    return out


def _conv_transpose(g, n):
    w = (4,) * n
    return [
        c(g(2, 3, *w), g(3, 2, *(3,) * n), g(2)), c(g(1, 2, *w), g(2, 2, *(2,) * n)),
        c(g(2, 4, *w), g(4, 3, *(3,) * n), g(6), (2,) * n, (1,) * n, (1,) * n, 2, (1,) * n),
        c(g(1, 2, *w), g(2, 2, *(2,) * n), None, (2,) * n, (0,) * n, (0,) * n, 1, (2,) * n),
    ]  # fmt: skip


def _conv_grad_input(g):
    return [
        c(g(2, 4, 3, 3), g(4, 3, 3, 3), (5, 5), (1, 1), (0, 0), (1, 1), 1),
        c(g(2, 6, 3, 3), g(6, 2, 3, 3), (5, 5), (2, 2), (1, 1), (1, 1), 2),
        c(g(2, 4, 3), g(4, 3, 3), (5,), (1,), (0,), (1,), 1),
    ]


def _conv_grad_weight(g):
    return [
        c(g(2, 3, 5, 5), g(2, 4, 3, 3), (3, 3), (1, 1), (0, 0), (1, 1), 1),
        c(g(2, 4, 5, 5), g(2, 6, 3, 3), (3, 3), (2, 2), (1, 1), (1, 1), 2),
        c(g(2, 3, 5), g(2, 4, 3), (3,), (1,), (0,), (1,), 1),
    ]


def _max_pool(g, n, *more):
    d = g.distinct
    return [
        c(d(2, 2, *(6,) * n), (2,) * n), c(d(1, 2, *(7,) * n), (3,) * n, (2,) * n, (1,) * n),
        c(d(2, *(8,) * n), (2,) * n, (3,) * n, (0,) * n, (2,) * n),
        c(d(1, 1, *(7,) * n), (2,) * n, (2,) * n, (0,) * n, (1,) * n, True),
    ]  # fmt: skip


def _avg_pool(g, n):
    out = [
        c(g(2, 2, *(6,) * n), (2,) * n),
        c(g(1, 2, *(7,) * n), (3,) * n, (2,) * n, (1,) * n),
        c(g(2, *(7,) * n), (3,) * n, (2,) * n, (1,) * n, True, False),
    ]
    if n == 2:
        out.append(c(g(1, 2, 6, 5), (2, 3), (2, 1), (0, 0), False, True, 5))
    return out


def _pooled_indices(name):
    """Positions inside distinct windows of a 4 x 4 plane."""
    block = np.array([[0, 3], [9, 14]], np.int64)
    return np.broadcast_to(block, (2, 2, 2, 2)).copy()


def _classes(g, log=False):
    def x(*shape):
        return np.log(g.positive(*shape) / 4) if log else g(*shape)

    ignoring, other = np.array([1, -100, 0, 4], np.int64), np.array([1, 4, 0, 4], np.int64)
    out = [
        c(x(4, 5), g.below(5, 4)), c(x(4, 5), g.below(5, 4), g.positive(5)),
        c(x(4, 5), ignoring), c(x(4, 5), other, None, 4, "sum"),
        c(x(4, 5), g.below(5, 4), None, -100, "none"), c(x(2, 3, 4), g.below(3, 2, 4)),
        c(x(5), np.asarray(3)),
    ]  # fmt: skip
    if not log:
        p = g.positive(4, 5)
        out += [
            c(x(4, 5), g.below(5, 4), g.positive(5), -100, "mean", 0.1),
            c(x(2, 3, 4), g.below(3, 2, 4), None, -100, "none", 0.2),
            c(x(4, 5), p / p.sum(1, keepdims=True)),
            c(x(4, 5), p / p.sum(1, keepdims=True), g.positive(5), -100, "sum", 0.1),
        ]
    return out


def _scatters(g, *more):
    return [
        c(g(4, 5), 0, np.stack([g.perm(4) for _ in range(5)], 1)[:2], g(2, 5), *more),
        c(g(3, 6), 1, np.stack([g.perm(6) for _ in range(3)])[:, :3], g(3, 3), *more),
        c(g(7), 0, g.perm(7)[:4], g(4), *more),
    ]


def _norm(g, *weights):
    shapes = [((4, 6), (6,)), ((2, 3, 4), (3, 4)), ((5, 33), (33,))]
    out = []
    for shape, normal in shapes:
        out.append(c(g(*shape), normal))
        out.append(c(g(*shape), normal, *(g(*normal) for _ in weights)))
    return out


def _batch(g):
    m, v = g(3), g.positive(3)
    return [
        c(g(6, 3), None, None, None, None, True), c(g(4, 3, 5), None, None, g(3), g(3), True),
        c(g(2, 3, 4, 4), m, v, g(3), g(3), False), c(g(5, 3), m, v),
        c(g(4, 3, 2), m.copy(), v.copy(), g(3), g(3), True, 0.2, 1e-3),
    ]  # fmt: skip


def _random(*args, **more):
    return [c((40,), *args, **more), c((3, 5), *args, **more), c((0,), *args, **more)]


DEVICE = {"device": "cpu"}

STRUCTURAL = {
    # compositions over rows
    "div": lambda g: [c(g(3, 4), g(4), rounding_mode=m) for m in (None, "floor", "trunc")],
    "clamp": lambda g: [c(g(3, 4), -1, 1), c(g(3, 4), None, g(4)), c(g(3, 4), g(3, 4), g(4))],
    "clamp_min": lambda g: [c(g(3, 4), 1), c(g(3, 4), g(4))],
    "clamp_max": lambda g: [c(g(3, 4), 1), c(g(3, 4), g(4))],
    "pow": lambda g: [c(g(3, 4), n) for n in (0, 1, 2, 3)] + [c(g(3, 4), g.positive(4))],
    "round": lambda g: [c(g(3, 4)), c(g(9))], "bitwise_not": lambda g: [c(g(3, 4))],
    "gelu": lambda g: [c(g(3, 4)), c(g(3, 4), approximate="tanh")],
    "logit": lambda g: [c(g(3, 4)), c(g(3, 4), 0.2)],
    "nan_to_num": lambda g: [c(g(3, 4)), c(np.array([np.nan, np.inf, -np.inf, 1.0]), 2.0, 3.0, -4.0)],
    "rsub": lambda g: [c(g(3, 4), g(4)), c(g(3, 4), g(4), alpha=2)], "sinc": lambda g: [c(g(3, 4))],
    "prelu": lambda g: [c(g(2, 3, 4), g(3)), c(g(3, 4), g(1))],
    # views and copies
    "alias": lambda g: [c(g(3, 4)), c(g())], "clone": lambda g: [c(g(3, 4)), c(g()), c(g(0, 2))],
    "cast": lambda g: [c(g(3, 4), "float64"), c(g(5), "float64")],
    "to_device": lambda g: [c(g(3, 4), "cpu")],
    "view": lambda g: [c(g(3, 4), 2, 6), c(g(3, 4), -1), c(g(), 1, 1), c(g(0, 4), 4, 0)],
    "reshape": lambda g: [c(g(3, 4), 2, 6), c(g(3, 4), -1), c(g(), 1, 1), c(g(0, 4), 4, 0)],
    "permute": lambda g: [c(g(2, 3, 4), 2, 0, 1), c(g(3, 4), -1, 0)],
    "transpose": lambda g: [c(g(2, 3, 4), 0, 2), c(g(3, 4), -1, -2)],
    "expand": lambda g: [c(g(3, 1), 2, 3, 4), c(g(4), 3, -1), c(g(), 2)],
    "slice": lambda g: [c(g(5, 6), 0, 1, 4), c(g(5, 6), 1, -5, None, 2), c(g(5), 0, 4, 2)],
    "select": lambda g: [c(g(3, 4), 0, 1), c(g(2, 3, 4), -1, -2), c(g(4), 0, 3)],
    "squeeze": lambda g: [c(g(1, 3, 1)), c(g(1, 3, 1), 0), c(g(1, 3, 1), (0, 2)), c(g(3), 0)],
    "unsqueeze": lambda g: [c(g(3, 4), 1), c(g(3, 4), -1), c(g(), 0)],
    "unfold": lambda g: [c(g(3, 8), 1, 3, 2), c(g(7), 0, 2, 1), c(g(6, 2), 0, 3, 3)],
    "diagonal": lambda g: [c(g(3, 4)), c(g(4, 3), 1), c(g(2, 3, 4), -1, 2, 1)],
    "strided": lambda g: [c(g(4, 5), (3, 2), (5, 2), 1), c(g(9), (3, 2), (3, 1), 1)],
    "embed": lambda g: [c(g(2, 3), (4, 5), (5, 2), 1), c(g(3), (6,), (2,), 1)],
    "flatten": lambda g: [c(g(2, 3, 4)), c(g(2, 3, 4), 1), c(g(2, 3, 4), 0, 1), c(g())],
    "movedim": lambda g: [c(g(2, 3, 4), 0, 2), c(g(2, 3, 4), (0, 1), (2, 0))],
    # reductions
    "sum": lambda g: reductions(g) + empty_reductions(g),
    "prod": lambda g: reductions(g) + empty_reductions(g),
    "mean": lambda g: reductions(g), "amax": lambda g: _tied(reductions(g)),
    "amin": lambda g: _tied(reductions(g)),
    "any": lambda g: reductions(g) + empty_reductions(g),
    "all": lambda g: reductions(g) + empty_reductions(g),
    "argmax": lambda g: _one_dim(g), "argmin": lambda g: _one_dim(g),
    "var": lambda g: _moments(g), "std": lambda g: _moments(g),
    "logsumexp": lambda g: [c(g(3, 4), 0), c(g(3, 4), (0, 1), True), c(g(2, 3, 4), -1)],
    "vector_norm": lambda g: [
        c(g(3, 4), 2), c(g(3, 4), 1, 0), c(g(3, 4), 3, (0, 1), True), c(g(3, 4), float("inf"), 1),
        c(g(3, 4), float("-inf"), 0), c(g(2, 3, 4), 0.5, (1,)),
    ],
    "count_nonzero": lambda g: [c(np.rint(g(3, 4))), c(np.rint(g(3, 4)), 1), c(np.rint(g(2, 3, 4)), (0, 2))],
    # matmul
    "matmul": lambda g: [
        c(g(3, 4), g(4, 5)), c(g(4), g(4)), c(g(3, 4), g(4)), c(g(4), g(4, 3)),
        c(g(2, 3, 4), g(2, 4, 5)), c(g(2, 1, 3, 4), g(3, 4, 2)), c(g(2, 3, 4), g(4)),
        c(g(33, 17), g(17, 65)), c(g(3, 0), g(0, 2)), c(g(0, 3), g(3, 2)), c(g(2, 3, 4), g(4, 2)),
    ],
    "mm": lambda g: [c(g(3, 4), g(4, 5)), c(g(1, 9), g(9, 1))],
    "bmm": lambda g: [c(g(2, 3, 4), g(2, 4, 5)), c(g(0, 3, 4), g(0, 4, 2))],
    "mv": lambda g: [c(g(3, 4), g(4))], "dot": lambda g: [c(g(7), g(7)), c(g(1), g(1))],
    "outer": lambda g: [c(g(3), g(4))],
    "addmm": lambda g: [c(g(3, 5), g(3, 4), g(4, 5)), c(g(5), g(3, 4), g(4, 5), beta=2, alpha=3)],
    "addmv": lambda g: [c(g(3), g(3, 4), g(4)), c(g(3), g(3, 4), g(4), beta=2, alpha=3)],
    "baddbmm": lambda g: [
        c(g(2, 3, 5), g(2, 3, 4), g(2, 4, 5)), c(g(3, 5), g(2, 3, 4), g(2, 4, 5), beta=2, alpha=3),
    ],
    "linear": lambda g: [
        c(g(3, 4), g(5, 4), g(5)), c(g(3, 4), g(5, 4)), c(g(2, 3, 4), g(5, 4), g(5)),
        c(g(4), g(5, 4), g(5)), c(g(0, 4), g(5, 4), g(5)), c(g(33, 20), g(17, 20), g(17)),
    ],
    # convolution and pooling
    "conv1d": lambda g: _conv(g, 1), "conv2d": lambda g: _conv(g, 2),
    "conv_transpose1d": lambda g: _conv_transpose(g, 1),
    "conv_transpose2d": lambda g: _conv_transpose(g, 2),
    "conv_grad_input": _conv_grad_input, "conv_grad_weight": _conv_grad_weight,
    "max_pool1d": lambda g: _max_pool(g, 1), "max_pool2d": lambda g: _max_pool(g, 2),
    "max_pool": lambda g: _max_pool(g, 1)[:2] + _max_pool(g, 2),
    "max_scatter": lambda g: [c(g(2, 2, 2, 2), _pooled_indices(g), (4, 4), (2, 2))],
    "max_gather": lambda g: [c(g(2, 2, 4, 4), _pooled_indices(g), (4, 4), (2, 2))],
    "avg_pool1d": lambda g: _avg_pool(g, 1), "avg_pool2d": lambda g: _avg_pool(g, 2),
    "avg_pool_backward": lambda g: [
        c(g(2, 2, 3, 3), (6, 6), (2, 2)),
        c(g(1, 2, 4, 4), (7, 7), (3, 3), (2, 2), (1, 1), False, False),
    ],
    "adaptive_avg_pool1d": lambda g: [c(g(2, 3, 7), (3,)), c(g(2, 6), (2,))],
    "adaptive_avg_pool2d": lambda g: [c(g(2, 3, 7, 5), (3, 2)), c(g(2, 6, 6), (1, 1))],
    "adaptive_avg_pool_backward": lambda g: [c(g(2, 3, 3, 2), (7, 5)), c(g(2, 3, 3), (7,))],
    "adaptive_max_pool1d": lambda g: [c(g.distinct(2, 3, 7), (3,))],
    "adaptive_max_pool2d": lambda g: [c(g.distinct(2, 2, 7, 5), (3, 2))],
    "adaptive_max_pool": lambda g: [c(g.distinct(2, 2, 7, 5), (3, 2)), c(g.distinct(2, 3, 7), (3,))],
    # softmax, losses, norms
    "softmax": lambda g: along(g, g), "log_softmax": lambda g: along(g, g),
    "softmax_backward": lambda g: [c(g(4, 5), g.positive(4, 5) / 5, 1), c(g(4, 5), g.positive(4, 5), 0)],
    "log_softmax_backward": lambda g: [c(g(4, 5), -g.positive(4, 5), 1), c(g(4, 5), g(4, 5), 0)],
    "cross_entropy": lambda g: _classes(g), "nll_loss": lambda g: _classes(g, log=True),
    "class_loss": lambda g: [
        c(g(4, 5), g.below(5, 4), None, -100, "mean", 0.0, True), c(g(4, 5), g.below(5, 4), g.positive(5), 2, "sum", 0.1, True),
        c(np.log(g.positive(4, 5) / 4), g.below(5, 4), g.positive(5), -100, "none", 0.0, False),
    ],
    "layer_norm": lambda g: _norm(g, "w", "b"), "rms_norm": lambda g: _norm(g, "w"),
    "group_norm": lambda g: [
        c(g(2, 4, 5), 2), c(g(2, 6, 3, 3), 3, g(6), g(6)), c(g(3, 4), 4 // 2, g(4), g(4), 1e-3),
    ],
    "instance_norm": lambda g: [c(g(2, 3, 5)), c(g(2, 3, 4, 4), None, None, g(3), g(3))],
    "batch_norm": _batch,
    "fused_layer_norm": lambda g: [c(g(4, 6), (6,), g(6), g(6), 1e-5), c(g(2, 3, 4), (3, 4), None, None, 1e-3)],
    "fused_rms_norm": lambda g: [c(g(4, 6), (6,), g(6), None, 1e-5), c(g(2, 3, 4), (3, 4), None, None, 1e-3)],
    "fused_group_norm": lambda g: [c(g(2, 6, 3), (3,), g(6), g(6), 1e-5), c(g(2, 4, 3, 3), (2,), None, None, 1e-3)],
    "batch_norm_train": lambda g: [c(g(4, 3, 5), (), g(3), g(3), 1e-5), c(g(6, 3), (), None, None, 1e-3)],
    "normalize": lambda g: [
        c(g(4, 3, 5), g(3), g.positive(3), g(3), g(3), 1e-5), c(g(6, 3), g(3), g.positive(3), None, None, 1e-3),
    ],
    # joining and splitting
    **dict.fromkeys(
        ("cat", "concat", "concatenate"),
        lambda g: [c([g(2, 3), g(4, 3)]), c([g(2, 3), g(2, 1), g(2, 0)], 1), c([g(4)], -1)],
    ),
    "stack": lambda g: [c([g(2, 3), g(2, 3)]), c([g(2, 3), g(2, 3)], -1), c([g()], 0)],
    **dict.fromkeys(("hstack", "vstack", "dstack"), lambda g: [c([g(2, 3), g(2, 3)]), c([g(3), g(3)])]),
    "split": lambda g: [c(g(5, 3), 2), c(g(5, 3), (1, 4)), c(g(3, 4), 2, 1)],
    "split_with_sizes": lambda g: [c(g(5, 3), (1, 4)), c(g(3, 4), (2, 0, 2), 1)],
    "chunk": lambda g: [c(g(5, 3), 2), c(g(3, 7), 3, 1)], "unbind": lambda g: [c(g(3, 2)), c(g(3, 2), 1)],
    "tensor_split": lambda g: [c(g(7, 2), 3), c(g(7, 2), (2, 5)), c(g(2, 7), (1, 3), 1)],
    "meshgrid": lambda g: [c([g(3), g(4)]), c([g(3), g(4), g(2)], indexing="xy")],
    # indexing
    "index": lambda g: [
        c([g(4, 5), g.below(4, 3)], (0,)), c([g(4, 5), g.below(4, 3), g.below(5, 3)], (0, 1)),
        c([g(3, 4, 5), g.below(3, 2, 1), g.below(5, 3)], (0, 2)),
    ],
    "index_spread": lambda g: [
        c([g(3, 5), g.below(4, 3)], (4, 5), (0,)), c([g(6), g.below(4, 6), g.below(5, 6)], (4, 5), (0, 1)),
    ],
    "index_write": lambda g: [
        c([g(4, 5), g(3, 5), g.perm(4)[:3]], (0,)),
        c([g(4, 5), g(6), g.below(4, 6), g.below(5, 6)], (0, 1), "sum"),
    ],
    "index_put": lambda g: [
        c([g(4, 5), g(3, 5), g.perm(4)[:3]]), c([g(4, 5), g(6), g.below(4, 6), g.below(5, 6)], True),
        c([g(4, 5), g(), g.perm(4)[:2]]),
    ],
    "gather": lambda g: [c(g(4, 5), 0, g.below(4, 2, 5)), c(g(3, 4), -1, g.below(4, 3, 6)), c(g(5), 0, g.below(5, 3))],
    "scatter": lambda g: _scatters(g) + [c(g(5), 0, g.perm(5)[:3], value=2)],
    "scatter_mode": lambda g: _repeated(g, "prod") + _repeated(g, "amax"),
    "scatter_plain": lambda g: _scatters(g, "set") + _repeated(g, "sum"),
    "scatter_add": lambda g: _scatters(g) + _repeated(g),
    "scatter_reduce": lambda g: [
        s for how in ("sum", "prod", "mean", "amax", "amin")
        for s in [*_repeated(g, how), (_repeated(g, how)[0][0], {"include_self": False})]
    ],
    "index_select": lambda g: [c(g(4, 5), 0, g.below(4, 6)), c(g(4, 5), 1, g.below(5, 2)), c(g(4), 0, g.below(4, 0))],
    "index_add": lambda g: [
        c(g(4, 5), 0, g.below(4, 6), g(6, 5)), c(g(4, 5), 1, g.below(5, 3), g(4, 3), alpha=2),
    ],
    "index_copy": lambda g: [c(g(4, 5), 0, g.perm(4)[:2], g(2, 5)), c(g(4, 5), 1, g.perm(5), g(4, 5))],
    "index_fill": lambda g: [c(g(4, 5), 0, g.perm(4)[:2], 2), c(g(4, 5), 1, g.perm(5)[:3], g())],
    "take": lambda g: [c(g(4, 5), g.below(20, 3, 2))],
    "take_along_dim": lambda g: [c(g(4, 5), g.below(4, 2, 5), 0), c(g(4, 5), g.below(20, 7))],
    "masked_fill": lambda g: [c(g(3, 4), g.mask(3, 4), 2), c(g(3, 4), g.mask(4), g())],
    "masked_select": lambda g: [c(g(3, 4), g.mask(3, 4)), c(g(3, 4), g.mask(4)), c(g(3), np.zeros(3, bool))],
    "masked_scatter": lambda g: [c(g(3, 4), g.mask(3, 4), g(12)), c(g(3, 4), g.mask(4), g(12))],
    "nonzero_flat": lambda g: [c(np.rint(g(20)))],
    "nonzero": lambda g: [c(np.rint(g(3, 4))), c(np.rint(g(7)), as_tuple=True), c(np.zeros((2, 2)))],
    "argwhere": lambda g: [c(np.rint(g(3, 4))), c(np.rint(g(2, 2, 3)))],
    "embedding": lambda g: [c(g.below(5, 3, 2), g(5, 4)), c(g.below(5, 9), g(5, 4), 2)],
    "one_hot": lambda g: [c(g.below(4, 5), 6), c(np.array([[0, 2], [1, 3]]), -1)],
    "flip": lambda g: [c(g(3, 4), 0), c(g(2, 3, 4), 0, -1)], "fliplr": lambda g: [c(g(3, 4))],
    "flipud": lambda g: [c(g(3, 4))], "roll": lambda g: [c(g(3, 4), 2), c(g(3, 4), (1, -2), (0, 1))],
    "rot90": lambda g: [c(g(3, 4)), c(g(3, 4), 2), c(g(3, 4), -1), c(g(2, 3, 4), 1, (1, 2))],
    "repeat": lambda g: [c(g(3, 4), 2, 1), c(g(3), 2, 2)], "tile": lambda g: [c(g(3, 4), 2, 1), c(g(3, 4), 2)],
    "repeat_interleave": lambda g: [
        c(g(3, 4), np.asarray(2)), c(g(3, 4), np.array([1, 0, 2]), 0), c(g(3, 4), np.array([2]), 1),
    ],
    "tril": lambda g: [c(g(3, 4)), c(g(2, 4, 3), 1), c(g(4, 4), -1)],
    "triu": lambda g: [c(g(3, 4)), c(g(2, 4, 3), 1), c(g(4, 4), -1)],
    "tril_indices": lambda g: [c(3, 4), c(4, 3, 1), c(4, 3, -1, **DEVICE)],
    "triu_indices": lambda g: [c(3, 4), c(4, 3, 1), c(4, 3, -1, **DEVICE)],
    "diag": lambda g: [c(g(3)), c(g(3), 1), c(g(3, 4)), c(g(3, 4), -1)],
    "diag_embed": lambda g: [c(g(2, 3)), c(g(2, 3), 1, 0, 2)], "trace": lambda g: [c(g(3, 4)), c(g(1, 1))],
    # scans and sorting
    **dict.fromkeys(("cumsum", "cumprod", "logcumsumexp", "cumsum_reverse"), lambda g: along(g, g)),
    **dict.fromkeys(("cummax", "cummin"), lambda g: along(g, g.distinct)),
    "diff": lambda g: [c(g(3, 5)), c(g(3, 5), 2, 0), c(g(5), 1, 0, g(1), g(2))],
    **dict.fromkeys(
        ("sort", "argsort"),
        lambda g: [c(g.distinct(3, 5)), c(g.distinct(5, 3), 0, True), c(g.distinct(2, 3, 4), 1), c(g.distinct(40), 0)],
    ),
    "msort": lambda g: [c(g.distinct(4, 3))],
    "topk": lambda g: [c(g.distinct(3, 6), 2), c(g.distinct(6, 3), 3, 0, False), c(g.distinct(40), 5)],
    "kthvalue": lambda g: [c(g.distinct(3, 6), 2), c(g.distinct(6, 3), 3, 0, True)],
    "order_statistic": lambda g: [c(g.distinct(3, 6), 2), c(g.distinct(6, 3), 3, 0)],
    "median": lambda g: [c(g.distinct(3, 5)), c(g.distinct(3, 6), 1), c(g.distinct(5, 3), 0, True)],
    "mode": lambda g: [c(np.array([[1.0, 2.0, 2.0, 0.5], [3.0, 1.0, 3.0, 3.0]])), c(g.distinct(3, 5), 0)],
    "search": lambda g: [c(np.arange(9.0), g.positive(3, 2) * 4), c(np.arange(9.0), np.arange(5.0), True)],
    "searchsorted": lambda g: [
        c(np.arange(9.0), g.positive(3, 2) * 4), c(np.arange(9.0), np.arange(5.0), right=True),
        c(np.arange(12.0).reshape(2, 6), g.positive(2, 3) * 4, side="right"),
    ],
    "bucketize": lambda g: [c(g.positive(3, 2) * 4, np.arange(9.0)), c(np.arange(5.0), np.arange(9.0), right=True)],
    "isin": lambda g: [c(np.rint(g(3, 4)), np.array([0.0, 1.0, 2.0])), c(np.rint(g(9)), np.array([1.0]), invert=True)],
    "unique": lambda g: [
        c(np.rint(g(20))), c(np.rint(g(20)), True, True, True), c(np.rint(g(9, 2) / 3), dim=0),
    ],
    "unique_consecutive": lambda g: [
        c(np.array([1.0, 1.0, 2.0, 1.0, 1.0])), c(np.array([1.0, 1.0, 2.0, 1.0]), True, True),
    ],
    "bincount": lambda g: [c(g.below(6, 20)), c(g.below(6, 20), g(20)), c(g.below(3, 4), None, 8)],
    "pad_value": lambda g: [c(g(3), (1, 2)), c(g(3, 4), (1, 0, 3, 2), 2), c(g(2, 3, 4), (0, 0, 1, 1, 2, 0))],
    "pad": lambda g: [
        c(g(3, 4), (1, 2)), c(g(3, 4), (1, -1, 2, 0), "constant", 2), c(g(2, 3, 5), (2, 1), "reflect"),
        c(g(2, 3, 5), (2, 1), "replicate"), c(g(2, 3, 5), (2, 1), "circular"),
        c(g(1, 2, 4, 5), (1, 2, 2, 1), "reflect"), c(g(1, 2, 4, 5), (1, 2, 2, 1), "replicate"),
    ],
    # creation
    "zeros": lambda g: [c((2, 3), **DEVICE), c((), **DEVICE), c((0, 2), dtype="int32", **DEVICE)],
    "ones": lambda g: [c((2, 3), **DEVICE), c((), **DEVICE), c((0, 2), dtype="int32", **DEVICE)],
    "full": lambda g: [c((2, 3), 1.5, **DEVICE), c((4,), 7, **DEVICE), c((2,), True, **DEVICE)],
    "zeros_like": lambda g: [c(g(2, 3)), c(g(2), dtype="int64")],
    "ones_like": lambda g: [c(g(2, 3)), c(g(2), dtype="int64")],
    "full_like": lambda g: [c(g(2, 3), 2), c(g(2), 3, dtype="int64")],
    "eye": lambda g: [c(3, **DEVICE), c(2, 4, **DEVICE), c(3, 2, dtype="int64", **DEVICE)],
    "arange": lambda g: [c(0, 7, **DEVICE), c(1, 9, 3, **DEVICE), c(0.0, 1.0, 0.25, **DEVICE), c(5, 0, -2, **DEVICE)],
    "linspace": lambda g: [c(0, 1, 5, **DEVICE), c(-2.0, 3.0, 7, **DEVICE), c(3, 3, 1, **DEVICE)],
    "logspace": lambda g: [c(0, 2, 5, **DEVICE), c(-1.0, 3.0, 5, 2.0, **DEVICE)],
    # random numbers: pure functions of a place in the stream
    "random_bits": lambda g: _random(7, 3, **DEVICE) + [c((9,), 2**40 + 5, 2**33, **DEVICE)],
    "random_uniform": lambda g: _random(-1.0, 2.0, 7, 3, **DEVICE),
    "random_normal": lambda g: _random(0.5, 2.0, 7, 3, **DEVICE),
    "random_int": lambda g: _random(-5, 9, 7, 3, **DEVICE) + _random(-5, 2**40, 7, 3, **DEVICE),
    "random_bernoulli": lambda g: [c(g.positive(3, 4) / 2, None, 7, 3), c(g(40), 0.3, 7, 3)],
    "random_exponential": lambda g: _random(1.5, 7, 3, **DEVICE),
    "dropout_seeded": lambda g: [c(g(3, 5), 0.3, 7, 3), c(g(40), 0.5, 8, 1)],
    "dropout": lambda g: [c(g(3, 4), 0.5, False), c(g(3, 4), 0.0), c(g(3, 4), 1.0)],
}  # fmt: skip


def _tied(found):
    """Some equal extremes, whose gradients are shared."""
    return [*found, c(np.array([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]]), dim=1)]


def _one_dim(g):
    return [
        c(g.distinct(3, 5)), c(g.distinct(3, 5), 0), c(g.distinct(2, 3, 4), -1, True), c(g.distinct(40)),
        c(np.array([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]]), 1), c(g()),
    ]  # fmt: skip


def _moments(g):
    return [
        c(g(3, 4)), c(g(3, 4), 0), c(g(2, 3, 4), (0, 2), correction=0, keepdim=True),
        c(g(5, 33), 1), c(g(3, 4) + 1000.0, 1, correction=0),
    ]  # fmt: skip


def _repeated(g, *more):
    return [c(g(4, 5), 0, g.below(4, 6, 5), g(6, 5), *more), c(g(3), 0, g.below(3, 9), g(9), *more)]


# Large enough for several threads; ops that are absent run their small samples instead.
N = 70_001
BIG = {
    "sum": lambda g: [c(g(3 * N)), c(g(300, 401), 0), c(g(300, 401), 1)],
    "prod": lambda g: [c(1 + g(3 * N) * 1e-5), c(1 + g(300, 401) * 1e-3, 0)],
    "mean": lambda g: [c(g(3 * N)), c(g(300, 401), 0)], "amax": lambda g: [c(g(3 * N)), c(g(300, 401), 0)],
    "amin": lambda g: [c(g(3 * N)), c(g(300, 401), 1)], "any": lambda g: [c(np.zeros(3 * N))],
    "all": lambda g: [c(np.ones(3 * N))], "argmax": lambda g: [c(g(3 * N)), c(g(300, 401), 0)],
    "argmin": lambda g: [c(g(3 * N)), c(g(300, 401), 1)], "var": lambda g: [c(g(3 * N)), c(g(300, 401), 0)],
    "std": lambda g: [c(g(3 * N)), c(g(300, 401), 1)], "logsumexp": lambda g: [c(g(300, 401), 1), c(g(300, 401), 0)],
    "vector_norm": lambda g: [c(g(3 * N)), c(g(300, 401), 3, 1)], "clone": lambda g: [c(g(3 * N))],
    "matmul": lambda g: [c(g(257, 300), g(300, 129)), c(g(8, 65, 70), g(8, 70, 33)), c(g(2000, 300), g(300))],
    "linear": lambda g: [c(g(300, 200), g(150, 200), g(150))],
    "bmm": lambda g: [c(g(16, 65, 70), g(16, 70, 33))], "addmm": lambda g: [c(g(129), g(257, 300), g(300, 129))],
    "conv1d": lambda g: [c(g(8, 16, 200), g(32, 16, 5), g(32), (1,), (2,))],
    "conv2d": lambda g: [
        c(g(8, 16, 28, 28), g(32, 16, 3, 3), g(32), (1, 1), (1, 1)),
        c(g(8, 16, 28, 28), g(16, 1, 3, 3), None, (1, 1), (1, 1), (1, 1), 16),
    ],
    "conv_transpose2d": lambda g: [c(g(8, 16, 14, 14), g(16, 8, 3, 3), g(8), (2, 2), (1, 1))],
    "max_pool2d": lambda g: [c(g(8, 16, 28, 28), (2, 2))], "avg_pool2d": lambda g: [c(g(8, 16, 28, 28), (2, 2))],
    "adaptive_avg_pool2d": lambda g: [c(g(8, 16, 28, 28), (7, 5))],
    "softmax": lambda g: [c(g(300, 401), 1), c(g(300, 401), 0)],
    "log_softmax": lambda g: [c(g(300, 401), 1), c(g(300, 401), 0)],
    "cross_entropy": lambda g: [c(g(3000, 40), g.below(40, 3000))], "nll_loss": lambda g: [c(g(3000, 40), g.below(40, 3000))],
    "layer_norm": lambda g: [c(g(300, 401), (401,), g(401), g(401))], "rms_norm": lambda g: [c(g(300, 401), (401,), g(401))],
    "group_norm": lambda g: [c(g(16, 32, 15, 15), 8, g(32), g(32))],
    "batch_norm": lambda g: [c(g(16, 32, 15, 15), None, None, g(32), g(32), True)],
    "cat": lambda g: [c([g(N), g(2 * N)]), c([g(300, 200), g(300, 201)], 1)],
    "gather": lambda g: [c(g(300, 401), 0, g.below(300, 500, 401))],
    "scatter_add": lambda g: [c(g(300, 401), 0, g.below(300, 500, 401), g(500, 401)), c(g(50), 0, g.below(50, N), g(N))],
    "index_add": lambda g: [c(g(100, 401), 0, g.below(100, 500), g(500, 401))],
    "index_put": lambda g: [c([g(1000), g(N), g.below(1000, N)], True)],
    "index": lambda g: [c([g(1000, 70), g.below(1000, 2000)], (0,))],
    "embedding": lambda g: [c(g.below(1000, 3000), g(1000, 64))], "index_select": lambda g: [c(g(1000, 70), 0, g.below(1000, 2000))],
    "cumsum": lambda g: [c(g(3 * N), 0), c(g(300, 401), 0), c(g(300, 401), 1)],
    "cumprod": lambda g: [c(1 + g(300, 401) * 1e-3, 1)], "logcumsumexp": lambda g: [c(g(300, 401), 1)],
    "sort": lambda g: [c(g(300, 401)), c(g(3 * N))], "argsort": lambda g: [c(g(3 * N))], "topk": lambda g: [c(g(300, 401), 7)],
    "random_bits": lambda g: [c((3 * N,), 7, 3)], "random_uniform": lambda g: [c((3 * N,), 0.0, 1.0, 7, 3)],
    "random_normal": lambda g: [c((3 * N,), 0.0, 1.0, 7, 3)], "random_int": lambda g: [c((N,), 0, 9, 7, 3)],
    "random_permutation": lambda g: [c(N, 7, 3)], "dropout_seeded": lambda g: [c(g(3 * N), 0.3, 7, 3)],
    "random_multinomial": lambda g: [c(g.positive(40, 1000), 500, True, 7, 3), c(g.positive(40, 1000), 50, False, 7, 3)],
}  # fmt: skip

# Ops whose results are no function of the arguments' values alone, checked by their properties in test_ops.py.
PROPERTIES = {
    "random_permutation": lambda g: [c(40, 7, 3, **DEVICE), c(0, 7, 3, **DEVICE), c(1, 7, 3, **DEVICE)],
    "random_multinomial": lambda g: [
        c(g.positive(3, 6), 4, False, 7, 3), c(g.positive(6), 20, True, 7, 3),
    ],
    "class_loss_backward": lambda g: [
        c(g(6, 5), g.below(5, 6), g.positive(5), 2, "mean", 0.1, True), c(g(6, 5), g.below(5, 6), None, -100, "none", 0.0, True),
        c(np.log(g.positive(6, 5) / 4), g.below(5, 6), g.positive(5), -100, "sum", 0.0, False),
    ],
    "norm_backward": lambda g: [
        c("fused_layer_norm", (6,), g(4, 6), g(6), g(6)), c("fused_rms_norm", (6,), g(4, 6), g(6), None),
        c("fused_group_norm", (3,), g(2, 6, 3), g(6), g(6)), c("batch_norm_train", (), g(4, 3, 5), g(3), g(3)),
    ],
    "empty": lambda g: [c((2, 3), **DEVICE), c((0,), **DEVICE)], "empty_like": lambda g: [c(g(2, 3))],
}  # fmt: skip


def samples(name, seed=0):
    """The small samples of an op; None where nobody wrote any."""
    if TABLE[name]["kind"] == "row":
        return row_samples(name)
    make = STRUCTURAL.get(name) or PROPERTIES.get(name)
    return make(Draw(name, seed)) if make else None


def big_samples(name):
    """Samples of a size that runs on several threads."""
    if TABLE[name]["kind"] == "row":
        return row_samples(name, (((3 * N,),) * 3,))[:1]
    make = BIG.get(name)
    return make(Draw(name)) if make else samples(name)
