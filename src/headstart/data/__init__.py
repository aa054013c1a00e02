"""Data: from whatever form it has to a split, fingerprinted ``Dataset``, and on to arrays.

``load`` reads images, texts and tables; ``prepare`` turns a split into what a network takes, and
``prepare_values`` what a user hands to ``predict``. For images that is ``decode``, which keeps a
memory-mapped array; ``decode_one`` is the one way from an image to pixels. ``fit_table_spec``
learns from train how the columns of a table become numbers. Left out: augmentation (it happens on
the device), tokenizers and vectorizers (they belong to their encoders), and the audit of what is in
the data.
"""

from headstart.data.columnfit import feature_names, fit_table_spec
from headstart.data.images import decode_one
from headstart.data.inputs import Cells, Terms, Tokens
from headstart.data.loading import load
from headstart.data.pixels import Pixels, decode
from headstart.data.prepare import prepare, prepare_values
from headstart.data.sources.samples import UnreadableImage

__all__ = [
    "Cells",
    "Pixels",
    "Terms",
    "Tokens",
    "UnreadableImage",
    "decode",
    "decode_one",
    "feature_names",
    "fit_table_spec",
    "load",
    "prepare",
    "prepare_values",
]
