"""`rubigo.functional` under PyTorch's name."""

from rubigo.functional import *  # noqa: F403
from rubigo.functional import __all__ as __all__
