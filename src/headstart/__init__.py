"""Find the best starting point for labelled data, fine-tune from it inside a time budget.

    import headstart as hs

    run = hs.fit("photos/", budget="30m", out="runs/photos")
    print(run.report())
    run.predict(["new.jpg"])

Names are imported when first used (PEP 562), so that ``import headstart`` and ``--help`` load no
torch. The function behind the verb ``starts`` is ``list_starts`` here, because ``headstart.starts``
is the room that builds them: one name must not mean two things. Behind ``runs`` is ``list_runs``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from headstart.lazily import names_from

if TYPE_CHECKING:
    from headstart.data import load
    from headstart.errors import (
        DataError,
        DeviceError,
        DivergenceError,
        ExportError,
        HeadstartError,
        Interrupted,
        OptionError,
        RunFolderError,
        StartError,
    )
    from headstart.recipes.cache import cache
    from headstart.recipes.check import check
    from headstart.recipes.compare import compare
    from headstart.recipes.doctor import doctor
    from headstart.recipes.evaluate import evaluate
    from headstart.recipes.export import export
    from headstart.recipes.finetune import finetune
    from headstart.recipes.fit import fit
    from headstart.recipes.monitor import monitor
    from headstart.recipes.predict import predict
    from headstart.recipes.pretrain import pretrain
    from headstart.recipes.rank import rank
    from headstart.recipes.report import report
    from headstart.recipes.run import open_run as open
    from headstart.recipes.runs import runs as list_runs
    from headstart.recipes.serve import serve
    from headstart.recipes.starts import starts as list_starts
    from headstart.recipes.verify import sign, verify
    from headstart.recipes.watch import watch
    from headstart.starts import wrap_module
    from headstart.types import ImageSpec

__version__ = "0.1.0"

# Every public name and where it lives; the command line takes its verbs from this table too.
PLACES: dict[str, tuple[str, str]] = {
    "load": ("headstart.data", "load"),
    "doctor": ("headstart.recipes.doctor", "doctor"),
    "list_starts": ("headstart.recipes.starts", "starts"),
    "check": ("headstart.recipes.check", "check"),
    "rank": ("headstart.recipes.rank", "rank"),
    "fit": ("headstart.recipes.fit", "fit"),
    "finetune": ("headstart.recipes.finetune", "finetune"),
    "pretrain": ("headstart.recipes.pretrain", "pretrain"),
    "evaluate": ("headstart.recipes.evaluate", "evaluate"),
    "compare": ("headstart.recipes.compare", "compare"),
    "list_runs": ("headstart.recipes.runs", "runs"),
    "predict": ("headstart.recipes.predict", "predict"),
    "report": ("headstart.recipes.report", "report"),
    "export": ("headstart.recipes.export", "export"),
    "sign": ("headstart.recipes.verify", "sign"),
    "verify": ("headstart.recipes.verify", "verify"),
    "serve": ("headstart.recipes.serve", "serve"),
    "monitor": ("headstart.recipes.monitor", "monitor"),
    "cache": ("headstart.recipes.cache", "cache"),
    "watch": ("headstart.recipes.watch", "watch"),
    "open": ("headstart.recipes.run", "open_run"),
    "ImageSpec": ("headstart.types", "ImageSpec"),
    "wrap_module": ("headstart.starts", "wrap_module"),
    "HeadstartError": ("headstart.errors", "HeadstartError"),
    "OptionError": ("headstart.errors", "OptionError"),
    "DataError": ("headstart.errors", "DataError"),
    "StartError": ("headstart.errors", "StartError"),
    "RunFolderError": ("headstart.errors", "RunFolderError"),
    "DeviceError": ("headstart.errors", "DeviceError"),
    "ExportError": ("headstart.errors", "ExportError"),
    "DivergenceError": ("headstart.errors", "DivergenceError"),
    "Interrupted": ("headstart.errors", "Interrupted"),
}

__all__ = [
    "DataError",
    "DeviceError",
    "DivergenceError",
    "ExportError",
    "HeadstartError",
    "ImageSpec",
    "Interrupted",
    "OptionError",
    "RunFolderError",
    "StartError",
    "__version__",
    "cache",
    "check",
    "compare",
    "doctor",
    "evaluate",
    "export",
    "finetune",
    "fit",
    "list_runs",
    "list_starts",
    "load",
    "monitor",
    "open",
    "predict",
    "pretrain",
    "rank",
    "report",
    "serve",
    "sign",
    "verify",
    "watch",
    "wrap_module",
]


__getattr__ = names_from("headstart", PLACES)


def __dir__() -> list[str]:
    return sorted({*__all__, *globals()})
