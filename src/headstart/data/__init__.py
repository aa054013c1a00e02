"""Data: from whatever form it has to a split, fingerprinted ``Dataset``.

``load`` reads images, texts and tables. How samples become arrays is the business of
``preprocessing``. Left out: the audit of what is in the data.
"""

from headstart.data.loading import load

__all__ = ["load"]
