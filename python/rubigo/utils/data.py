"""`rubigo.data` where PyTorch has it.

>>> from rubigo.utils.data import DataLoader
"""

from rubigo.data import *  # noqa: F403
from rubigo.data import __all__ as __all__
