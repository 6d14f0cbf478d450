"""rubigo: deep learning with a Rust core, on the CPU and on any GPU.

>>> import rubigo as rg
>>> x = rg.tensor([1.0, 2.0, 3.0], requires_grad=True)
>>> (x * x).sum().backward()
>>> x.grad
tensor([2., 4., 6.])
"""

import builtins as _builtins
from typing import TYPE_CHECKING

from rubigo import _core
from rubigo._core import (
    __version__ as __version__,
    arange as arange,
    as_tensor as as_tensor,
    bernoulli as bernoulli,
    bfloat16 as bfloat16,
    bool as bool,
    device as device,
    DeviceLostError as DeviceLostError,
    double as double,
    dtype as dtype,
    empty as empty,
    empty_like as empty_like,
    eye as eye,
    float as float,
    float16 as float16,
    float32 as float32,
    float64 as float64,
    from_dlpack as from_dlpack,
    from_numpy as from_numpy,
    full as full,
    full_like as full_like,
    Generator as Generator,
    get_num_threads as get_num_threads,
    get_rng_state as get_rng_state,
    half as half,
    initial_seed as initial_seed,
    int as int,
    int16 as int16,
    int32 as int32,
    int64 as int64,
    int8 as int8,
    linspace as linspace,
    logspace as logspace,
    long as long,
    manual_seed as manual_seed,
    multinomial as multinomial,
    normal as normal,
    ones as ones,
    ones_like as ones_like,
    rand as rand,
    rand_like as rand_like,
    randint as randint,
    randint_like as randint_like,
    randn as randn,
    randn_like as randn_like,
    randperm as randperm,
    result_type as result_type,
    seed as seed,
    set_num_threads as set_num_threads,
    set_rng_state as set_rng_state,
    ShapeError as ShapeError,
    short as short,
    tensor as tensor,
    Tensor as Tensor,
    uint16 as uint16,
    uint32 as uint32,
    uint64 as uint64,
    uint8 as uint8,
    zeros as zeros,
    zeros_like as zeros_like,
)

# Generated from the op table; its `__all__` lists every name.
from rubigo._ops import *
from rubigo._tensor import (
    allclose as allclose,
    aminmax as aminmax,
    broadcast_to as broadcast_to,
    dist as dist,
    equal as equal,
    index_put as index_put,
    isclose as isclose,
    max as max,
    min as min,
    narrow as narrow,
    nonzero as nonzero,
    norm as norm,
    ravel as ravel,
    std as std,
    std_mean as std_mean,
    t as t,
    unflatten as unflatten,
    var as var,
    var_mean as var_mean,
    where as where,
)
from rubigo.autograd import (
    enable_grad as enable_grad,
    inference_mode as inference_mode,
    is_grad_enabled as is_grad_enabled,
    no_grad as no_grad,
    set_grad_enabled as set_grad_enabled,
)

pi: _builtins.float = 3.141592653589793
e: _builtins.float = 2.718281828459045
inf: _builtins.float = _core.tensor(0.0).reciprocal().item()
nan: _builtins.float = inf - inf
newaxis: None = None

if TYPE_CHECKING:
    from rubigo import (
        autograd as autograd,
        cli as cli,
        cpu as cpu,
        data as data,
        functional as functional,
        gpu as gpu,
        metrics as metrics,
        nn as nn,
        optim as optim,
        plots as plots,
        profiler as profiler,
        serialization as serialization,
        testing as testing,
        train as train,
        types as types,
        utils as utils,
    )
    from rubigo._printing import set_printoptions as set_printoptions
    from rubigo.functional import (
        adaptive_avg_pool1d as adaptive_avg_pool1d,
        adaptive_max_pool1d as adaptive_max_pool1d,
        alpha_dropout as alpha_dropout,
        avg_pool1d as avg_pool1d,
        batch_norm as batch_norm,
        bilinear as bilinear,
        binary_cross_entropy_with_logits as binary_cross_entropy_with_logits,
        conv1d as conv1d,
        conv2d as conv2d,
        conv_transpose1d as conv_transpose1d,
        conv_transpose2d as conv_transpose2d,
        cosine_embedding_loss as cosine_embedding_loss,
        cosine_similarity as cosine_similarity,
        embedding as embedding,
        feature_alpha_dropout as feature_alpha_dropout,
        group_norm as group_norm,
        hinge_embedding_loss as hinge_embedding_loss,
        instance_norm as instance_norm,
        kl_div as kl_div,
        layer_norm as layer_norm,
        margin_ranking_loss as margin_ranking_loss,
        max_pool1d as max_pool1d,
        max_pool2d as max_pool2d,
        pairwise_distance as pairwise_distance,
        pixel_shuffle as pixel_shuffle,
        pixel_unshuffle as pixel_unshuffle,
        poisson_nll_loss as poisson_nll_loss,
        prelu as prelu,
        rms_norm as rms_norm,
        rrelu as rrelu,
        triplet_margin_loss as triplet_margin_loss,
    )
    from rubigo.profiler import profile as profile
    from rubigo.serialization import load as load, save as save
    from rubigo.types import (
        broadcast_shapes as broadcast_shapes,
        broadcast_tensors as broadcast_tensors,
        finfo as finfo,
        iinfo as iinfo,
        is_floating_point as is_floating_point,
        is_tensor as is_tensor,
        meshgrid as meshgrid,
        numel as numel,
        promote_types as promote_types,
    )

# Loaded at first use, so that `import rubigo` stays quick.
_LAZY_MODULES = (
    "autograd", "cli", "cpu", "data", "functional", "gpu", "metrics", "nn", "optim",
    "plots", "profiler", "serialization", "testing", "train", "types",
    "utils",
)  # fmt: skip
# In PyTorch these are functions of the package as well as of nn.functional.
_FUNCTIONAL = (
    "adaptive_avg_pool1d", "adaptive_max_pool1d", "alpha_dropout", "avg_pool1d",
    "batch_norm", "bilinear", "binary_cross_entropy_with_logits", "conv1d",
    "conv2d", "conv_transpose1d", "conv_transpose2d", "cosine_embedding_loss",
    "cosine_similarity", "embedding", "feature_alpha_dropout", "group_norm",
    "hinge_embedding_loss", "instance_norm", "kl_div", "layer_norm",
    "margin_ranking_loss", "max_pool1d", "max_pool2d", "pairwise_distance",
    "pixel_shuffle", "pixel_unshuffle", "poisson_nll_loss", "prelu",
    "rms_norm", "rrelu", "triplet_margin_loss",
)  # fmt: skip
_LAZY_NAMES = {
    **dict.fromkeys(_FUNCTIONAL, "functional"),
    "save": "serialization",
    "load": "serialization",
    "profile": "profiler",
    "set_printoptions": "_printing",
    "finfo": "types",
    "iinfo": "types",
    "is_tensor": "types",
    "is_floating_point": "types",
    "numel": "types",
    "promote_types": "types",
    "broadcast_shapes": "types",
    "broadcast_tensors": "types",
    "meshgrid": "types",
}


# Hidden from type checkers, for which it would make any name right.
if not TYPE_CHECKING:

    def __getattr__(name: str):
        from importlib import import_module

        if name in _LAZY_MODULES:
            return import_module(f"rubigo.{name}")
        if name in _LAZY_NAMES:
            value = getattr(import_module(f"rubigo.{_LAZY_NAMES[name]}"), name)
            globals()[name] = value
            return value
        raise AttributeError(f"module 'rubigo' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY_MODULES, *_LAZY_NAMES})


def is_gpu_available() -> _builtins.bool:
    """Whether a GPU can be opened; `rubigo.gpu.why_not()` tells why not."""
    return _core.gpu_error() is None
