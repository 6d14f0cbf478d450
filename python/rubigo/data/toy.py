"""Small data sets that other installed packages carry; nothing is downloaded."""

from __future__ import annotations

import rubigo as rg


def load_digits() -> tuple[rg.Tensor, rg.Tensor]:
    """The 1797 handwritten digits of scikit-learn, scaled from 0..16 to [0, 1].

    Returns:
        images of shape (1797, 1, 8, 8), float32, and labels 0..9 of shape (1797,), int64.

    Reference: Alpaydin and Kaynak, "Optical Recognition of Handwritten Digits", UCI, 1998.

    >>> images, labels = load_digits()
    >>> tuple(images.shape), tuple(labels.shape)
    ((1797, 1, 8, 8), (1797,))
    """
    try:
        from sklearn import datasets
    except ImportError as error:
        raise ImportError(
            "load_digits reads the data from scikit-learn: pip install scikit-learn"
        ) from error
    images, labels = datasets.load_digits(return_X_y=True)
    scaled = (images / 16.0).astype("float32").reshape(-1, 1, 8, 8)
    return rg.from_numpy(scaled), rg.from_numpy(labels.astype("int64"))
