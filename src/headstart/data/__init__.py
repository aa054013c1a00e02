"""Data: from whatever form it has to a split, fingerprinted ``Dataset``, and to pixels.

``load`` reads, ``decode`` turns a split into a memory-mapped array once, ``decode_one`` is the one
way from an image to pixels. Left out: augmentation (it happens on the device) and the audit of
what is in the data.
"""

from headstart.data.images import decode_one
from headstart.data.loading import load
from headstart.data.pixels import Pixels, decode
from headstart.data.samples import UnreadableImage

__all__ = ["Pixels", "UnreadableImage", "decode", "decode_one", "load"]
