"""A finished run, opened: its report, and predictions on new files."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.errors import DataError, OptionError, RunFolderError
from headstart.recipes.findings import tell_findings
from headstart.storage.records import find_record
from headstart.types import BadSample, Prediction, Schema

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

    from headstart.model import Ensemble, Model
    from headstart.preprocessing import Preprocess


class Run:
    """A run folder.

    Args:
        path: The folder.
        module: The user's own module, where the run was started from one.

    Raises:
        RunFolderError: If the folder holds no model.
    """

    def __init__(self, path: str | Path, module: nn.Module | None = None) -> None:
        self.path = Path(path)
        self._module = module
        if not os.path.isfile(self.path / "model.json"):
            if os.path.isdir(self.path / "state"):
                raise RunFolderError(
                    f"{self.path} holds an unfinished run that has no model yet; expected a "
                    f"finished one. Wait for it, or go on with the same command and --out "
                    f"{shlex.quote(str(self.path))} --resume."
                )
            from headstart.bundles.records import BUNDLE

            if os.path.isfile(self.path / BUNDLE):
                raise RunFolderError(
                    f"{self.path} is a bundle, an export that a server answers with; expected the "
                    f"run that it was made from. Give that, or say headstart serve "
                    f"{shlex.quote(str(self.path))}."
                )
            raise RunFolderError(
                f"{self.path} is not a run folder (it has no model.json); expected the --out of a "
                f"run. 'headstart fit DATA --out {self.path}' makes one."
            )

    def __repr__(self) -> str:
        return f"Run('{self.path}')"

    @cached_property
    def ensemble(self) -> Ensemble:
        """What answers, in eval mode, on the CPU: one model, or several together."""
        from headstart.model import open_ensemble

        return open_ensemble(self.path, self._module)

    @property
    def model(self) -> Model:
        """The model, in eval mode, on the CPU.

        Raises:
            RunFolderError: If several models answer together: ``ensemble`` holds them.
        """
        from headstart.model.folder import refuse_ensemble

        refuse_ensemble(self.path, self.model_record)
        return self.ensemble.first

    @property
    def schema(self) -> Schema:
        """What is predicted, and of what."""
        return self.ensemble.schema

    @property
    def preprocess(self) -> Preprocess:
        """How samples are read."""
        return self.ensemble.preprocess

    @property
    def metrics(self) -> dict[str, Any]:
        """Content of ``metrics.json``; empty while the run is unfinished."""
        return self._read("metrics.json")

    @property
    def options(self) -> dict[str, Any]:
        """Content of ``options.json``."""
        return self._read("options.json")

    @property
    def data(self) -> dict[str, Any]:
        """Content of ``data.json``."""
        return self._read("data.json")

    @property
    def model_record(self) -> dict[str, Any]:
        """Content of ``model.json``."""
        return self._read("model.json")

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the probabilities."""
        return tuple(self.model_record["schema"]["classes"])

    @property
    def record(self) -> dict[str, Any]:
        """What a program wants to know of it: the folder, and what its JSON files hold."""
        return {
            "run": str(self.path),
            "metrics": self.metrics,
            "model": self.model_record,
            "data": self.data,
            "options": self.options,
        }

    def _repr_html_(self) -> str:
        """Return what a notebook shows of it: its figures with their intervals."""
        from headstart.reporting.notebook import html_run, html_text

        if "objective" in self.model_record:
            return html_text(self.report())
        return html_run(self.path.name, self.metrics, self.model_record)

    def report(self) -> str:
        """Return what a person wants to know of the run, as plain text."""
        from headstart.reporting import render_text
        from headstart.reporting.pretrained_text import render_pretrained_text

        render = render_pretrained_text if "objective" in self.model_record else render_text
        return render(self.metrics, self.model_record, self.data, self.options)

    def predict(self, samples: Any, *, names: Sequence[str] | None = None) -> list[Prediction]:
        """Predict new samples.

        Args:
            samples: Images: a list of paths, encoded bytes, PIL images, or arrays (H, W) or (H, W,
                C) of uint8 or of floats in [0, 1]; or one array of all, as training takes it.
                Texts: a list of str, a pandas column, or a DataFrame or pyarrow Table with the
                column of the training data (or ``text``); no paths. Tables: rows as dicts, a
                DataFrame, or a pyarrow Table.
            names: What to call each sample in answers and errors; when not given, an image that is
                a path has its path, everything else its kind and number: "text 1", "row 1".

        Returns:
            One prediction a sample, in order.

        Raises:
            DataError: If a sample cannot be read, a column is missing, or names are not as many as
                samples.

        Example:
            >>> run.predict(["new.jpg"])[0].label  # doctest: +SKIP
            'rose'
        """
        return self.predict_usable(samples, names, leaves_out=False)[0]

    def predict_proba(self, samples: Any) -> np.ndarray:
        """Return the calibrated probabilities of new samples.

        Args:
            samples: As ``predict`` takes them.

        Returns:
            float64, shape (N, K), in the order of ``classes``; rows sum to 1 where a sample has
            exactly one class.

        Raises:
            OptionError: If the run tells numbers, which have no probabilities.
            DataError: As ``predict`` does.

        Example:
            >>> run.predict_proba(["new.jpg"]).shape  # doctest: +SKIP
            (1, 5)
        """
        import numpy as np

        if not self.ensemble.task.has_classes:
            raise OptionError(
                f"{self.path} tells numbers, which have no probabilities; expected a run that "
                f"tells classes. Use predict: its records hold the values."
            )
        told = [one.probabilities for one in self.predict(samples)]
        return np.array(told, np.float64).reshape(len(told), len(self.schema.classes))

    def predict_usable(
        self, samples: Any, names: Sequence[str] | None = None, *, leaves_out: bool = True
    ) -> tuple[list[Prediction], list[BadSample]]:
        """Predict those of new samples that can be read, and return the others with their reasons.

        Args:
            samples: As ``predict`` takes them.
            names: As ``predict`` takes them.
            leaves_out: Whether what cannot be read is left out; else it is refused.

        Raises:
            DataError: As ``predict`` does, where nothing is left out.
        """
        from headstart.model import model_outputs
        from headstart.preprocessing.odd_rows import readable_rows

        model, found, left_out = self.ensemble, list[Prediction](), list[BadSample]()
        if leaves_out:
            samples, names, left_out = readable_rows(model.preprocess, samples, names)
            if names is not None and not names:
                return found, left_out
        for each in model.incoming(samples, names):
            inputs = each[0]
            left_out += inputs.bad_samples
            if inputs.bad_samples and not leaves_out:
                bad = inputs.bad_samples[0]
                raise DataError(
                    f"'{bad.name}' cannot be used: {bad.reason}. Expected a whole "
                    f"{model.schema.modality}; replace it or leave it out."
                )
            tell_findings(inputs.findings)
            if not len(inputs):
                continue
            outputs = model_outputs(model, model.run(each, phase="predictions"))
            found += model.task.predictions_of(inputs, outputs, model.schema)
        return found, left_out

    def coefficients(self) -> tuple[dict[str, float], float]:
        """Return the weights of a linear regression in the columns' own units, and the intercept.

        Raises:
            OptionError: If the run is no linear regression on a table.

        Example:
            >>> run.coefficients()  # doctest: +SKIP
            ({'x': 2.0}, 0.0)
        """
        from headstart.preprocessing import TablePreprocess
        from headstart.starts.tables.builders import coefficients

        model = self.model
        read = model.encoder.preprocess
        is_linear = model.encoder.start.address == "scratch/linear"
        if not isinstance(read, TablePreprocess) or not is_linear or not model.task.is_linear:
            raise OptionError(
                f"{self.path} is a {model.schema.task} run from '{model.encoder.start.address}'; "
                f"coefficients are those of a regression from 'scratch/linear'. Fine-tune that."
            )
        return coefficients(
            model.head.weight.detach().cpu().numpy(),
            float(model.head.bias.detach()),
            read.spec,
            target_mean=model.target_mean,
            target_scale=model.target_scale,
        )

    def _read(self, name: str) -> dict[str, Any]:
        return find_record(self.path, name) or {}


def open_run(path: str | Path, *, module: nn.Module | None = None) -> Run:
    """Open a run folder.

    Args:
        path: The folder.
        module: The user's own module, where the run was started from one.

    Raises:
        RunFolderError: If the folder holds no model.
    """
    return Run(path, module)
