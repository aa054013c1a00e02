"""Where a model looked: regions of an image, words of a text, columns of a table.

Every way of explaining is checked before it is shown: deleting what it names must lower the model's
own answer more than deleting as much elsewhere (``faithfulness.py``).
"""

from headstart.explaining.explain import EXPLANATIONS, Explained, explain_run, explain_samples

__all__ = ["EXPLANATIONS", "Explained", "explain_run", "explain_samples"]
