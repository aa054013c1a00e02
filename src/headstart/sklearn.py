"""Estimators for scikit-learn: a start and its fine-tuning inside a pipeline or a search.

    from headstart.sklearn import HeadstartClassifier
    cross_val_score(HeadstartClassifier(start="scratch/linear"), X, y)

They take what ``headstart.load`` takes as ``X``: numbers in two axes, a DataFrame, texts, images as
arrays of three or four axes. A fitted one holds the bytes of its run folder and nothing else that
was learned: that is what ``pickle``, ``joblib`` and ``copy`` carry, and what ``to_run`` writes
down; what is unpickled is JSON and safetensors, which headstart reads and checks. scikit-learn
measures by its own splits, so that a fit keeps only a few samples aside as its test split.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from headstart.data import load
from headstart.errors import DataError, OptionError, did_you_mean
from headstart.recipes.carried import opened, read_files
from headstart.recipes.finetune import finetune
from headstart.recipes.fit import fit as fit_best
from headstart.recipes.held_out import hold_out
from headstart.recipes.run import Run
from headstart.storage.run_folder import RunFolder
from headstart.tasks import TASKS
from headstart.types import Prediction

_PLAIN_NAME = re.compile(r"-?\w+([ -]\w+)*")
_OWN = {n: f"{n}=…" for n in ("start", "budget", "device")}  # what the estimator says itself
_OWN |= {"seed": "random_state=…", "quiet": "verbose=…", "out": "to_run(…)", "data": "fit(X, y)"}
_MISSING_NAMES = frozenset(("nan", "na", "none", "null", "nat"))


class _Estimator(BaseEstimator):  # type: ignore[misc]
    """What both estimators share: one fit, its run folder as bytes, and answers from it."""

    _task: str
    files_: dict[str, bytes]
    n_features_in_: int

    def __init__(
        self,
        start: str | None = None,
        *,
        budget: str | None = None,
        options: Mapping[str, object] | None = None,
        val_fraction: float = 0.15,
        test_fraction: float = 0.05,
        device: str = "auto",
        random_state: Any = 0,
        verbose: bool = False,
    ) -> None:
        self.start = start
        self.budget = budget
        self.options = options
        self.val_fraction = val_fraction
        self.test_fraction = test_fraction
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def __sklearn_tags__(self) -> Any:
        """Return what scikit-learn asks before it hands over data."""
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True  # images
        tags.input_tags.string = True
        tags.input_tags.categorical = True  # columns of a DataFrame
        tags.input_tags.allow_nan = True
        tags.target_tags.required = True
        tags.non_deterministic = self.budget is not None or self.start is None  # by the clock
        return tags

    @property
    def metrics_(self) -> dict[str, Any]:
        """Content of the run's ``metrics.json``: figures of the few samples kept aside."""
        import json

        check_is_fitted(self)
        found: dict[str, Any] = json.loads(self.files_["metrics.json"])
        return found

    def to_run(self, out: str | Path) -> Run:
        """Write the run folder of the fitted model, for every verb of headstart.

        Args:
            out: Folder to write; it must not hold a run.

        Returns:
            The run.

        Raises:
            RunFolderError: If something stands in ``out``.
        """
        check_is_fitted(self)
        with RunFolder(out) as folder:
            for name, content in self.files_.items():
                folder.write(name, content)
            folder.finish()
        return Run(out)

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__()
        return {name: value for name, value in state.items() if name != "_run"}

    def _fit(self, X: Any, y: Any, names: np.ndarray | None) -> Self:
        """Fit to samples and their targets, which are checked already.

        Args:
            X: As ``_given`` returned it.
            y: Numbers, or classes by their place in ``names``.
            names: What the classes are called in the run; None of numbers.

        Raises:
            ValueError: If headstart refuses the data.
        """
        draw = check_random_state(self.random_state)
        seed = int(draw.randint(2**31 - 1))
        sides = hold_out(
            y, draw, self.val_fraction, self.test_fraction, is_exclusive=names is not None
        )
        told = y if names is None else names[y]
        pairs = {side: (_rows(X, places), told[places].tolist()) for side, places in sides.items()}
        columns = [f"x{i}" for i in range(X.shape[1])] if _is_plain(X) else None
        with TemporaryDirectory(prefix="headstart-") as place:
            try:
                data = load(pairs, task=self._task, numeric=columns, seed=seed)
                run = self._made(data, f"{place}/run", seed)
            except DataError as error:
                raise ValueError(str(error)) from error
            self.files_ = read_files(run.path)
        self._run = opened(self.files_)
        return self

    def _made(self, data: Any, out: str, seed: int) -> Run:
        """Fit from the start that was named, or from the best one that is found."""
        verb = fit_best if self.start is None else finetune
        _check_said(self.options, inspect.signature(verb).parameters)
        given: dict[str, Any] = {**(self.options or {}), "device": self.device, "seed": seed}
        given |= {"quiet": not self.verbose, "out": out}
        if self.budget is not None:
            given["budget"] = self.budget
        if self.start is not None:
            given["start"] = self.start
        run = verb(data, **given)
        if not isinstance(run, Run):
            raise OptionError("options holds 'dry_run', which fits nothing. Leave it out.")
        return run

    def _given(self, X: Any, y: Any = None, *, is_fit: bool) -> Any:
        """Return samples as headstart takes them, checked as scikit-learn checks them.

        Args:
            X: Samples.
            y: Targets, while fitting.
            is_fit: Whether this is what columns are learned from.
        """
        targets = (y,) if is_fit else ()
        if hasattr(X, "iloc") and hasattr(X, "columns"):
            validate_data(self, X, *targets, reset=is_fit, skip_check_array=True)
            return X
        if _holds_texts(X):
            return [str(text) for text in X]
        if _num_axes(X) > 2:
            return np.asarray(X)
        found = validate_data(
            self,
            X,
            *targets,
            reset=is_fit,
            dtype=np.float64,
            ensure_all_finite="allow-nan",
            ensure_min_samples=2 if is_fit else 1,
            **({"y_numeric": False, "multi_output": True} if is_fit and y is not None else {}),
        )
        return found[0] if isinstance(found, tuple) else found

    def _answers(self, X: Any) -> list[Prediction]:
        """Return what the model says of new samples."""
        check_is_fitted(self)
        samples = self._given(X, is_fit=False)
        if _is_plain(samples):
            import pyarrow as pa

            samples = pa.table({f"x{i}": samples[:, i] for i in range(samples.shape[1])})
        if getattr(self, "_run", None) is None:  # unpickled, or copied
            self._run = opened(self.files_)
        try:
            return self._run.predict(samples)
        except DataError as error:
            raise ValueError(str(error)) from error


class HeadstartClassifier(ClassifierMixin, _Estimator):  # type: ignore[misc]
    """A classifier that begins from a start: by name, or the best that is found in a budget.

    Args:
        start: Address of the start, as ``headstart.finetune`` takes it; when not given
            ``headstart.fit`` looks for one.
        budget: What a fit may take, for example ``"30s"``; the verb's own when not given.
        options: Further options of the verb, by name, for example ``{"num_epochs": 5}``.
        val_fraction: Share of the samples by which is chosen.
        test_fraction: Share of the samples kept aside for the run's own report.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.
        random_state: Seed of everything: an int, a ``RandomState``, or None.
        verbose: Whether to show progress.

    Attributes:
        classes_: What is told apart, sorted, shape (K,).
        files_: The run folder: content by file name.
        metrics_: Content of ``metrics.json``.

    Example:
        >>> import numpy as np
        >>> X = np.repeat([[0.0], [1.0]], 30, axis=0) + np.linspace(0, 0.1, 60)[:, None]
        >>> y = np.repeat(["low", "high"], 30)
        >>> model = HeadstartClassifier(start="scratch/linear").fit(X, y)  # doctest: +SKIP
        >>> model.predict([[0.9]])  # doctest: +SKIP
        array(['high'], dtype='<U4')
    """

    _task = next(name for name in TASKS if TASKS[name].is_exclusive)
    classes_: np.ndarray

    def fit(self, X: Any, y: Any) -> Self:
        """Fit to labelled samples.

        Args:
            X: Numbers, shape (N, F); a DataFrame; N texts; or images, shape (N, H, W) or (N, H, W,
                C).
            y: Classes, shape (N,).

        Returns:
            Itself.

        Raises:
            ValueError: If they cannot be learned from.
        """
        X = self._given(X, y, is_fit=True)
        y = column_or_1d(y, warn=True)
        check_classification_targets(y)
        _check_lengths(X, y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(
                f"y holds one class ({self.classes_[0]}); expected two or more. Give samples of "
                "another class, too."
            )
        self._names = _class_names(self.classes_)
        return self._fit(X, codes, np.asarray(self._names, dtype=object))

    def predict(self, X: Any) -> np.ndarray:
        """Return the class of each sample, shape (N,).

        Args:
            X: As ``fit`` takes it.
        """
        answers = self._answers(X)
        places = {name: place for place, name in enumerate(self._names)}
        found: np.ndarray = self.classes_[[places[one.label] for one in answers]]
        return found

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return calibrated probabilities, shape (N, K), in the order of ``classes_``.

        Args:
            X: As ``fit`` takes it.
        """
        answers = self._answers(X)
        order = [self._run.classes_in_order.index(name) for name in self._names]
        return np.asarray([one.probabilities for one in answers], np.float64)[:, order]


class HeadstartRegressor(RegressorMixin, _Estimator):  # type: ignore[misc]
    """A regressor that begins from a start: by name, or the best that is found in a budget.

    Args:
        start: Address of the start, as ``headstart.finetune`` takes it; when not given
            ``headstart.fit`` looks for one.
        budget: What a fit may take, for example ``"30s"``; the verb's own when not given.
        options: Further options of the verb, by name, for example ``{"strategy": "lora"}``.
        val_fraction: Share of the samples by which is chosen.
        test_fraction: Share of the samples kept aside for the run's own report.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.
        random_state: Seed of everything: an int, a ``RandomState``, or None.
        verbose: Whether to show progress.

    Attributes:
        files_: The run folder: content by file name.
        metrics_: Content of ``metrics.json``.

    Example:
        >>> model = HeadstartRegressor(start="scratch/linear")
        >>> model.fit([[0.0], [1.0], [2.0], [3.0]] * 9, [0.0, 2.0, 4.0, 6.0] * 9)  # doctest: +SKIP
    """

    _task = next(name for name in TASKS if TASKS[name].is_linear)

    def fit(self, X: Any, y: Any) -> Self:
        """Fit to samples with numbers.

        Args:
            X: Numbers, shape (N, F); a DataFrame; N texts; or images, shape (N, H, W) or (N, H, W,
                C).
            y: Numbers, shape (N,).

        Returns:
            Itself.

        Raises:
            ValueError: If they cannot be learned from.
        """
        X = self._given(X, y, is_fit=True)
        y = column_or_1d(y, warn=True, dtype=np.float64)
        _check_lengths(X, y)
        return self._fit(X, y, None)

    def predict(self, X: Any) -> np.ndarray:
        """Return the number of each sample, shape (N,).

        Args:
            X: As ``fit`` takes it.
        """
        return np.asarray([one.value for one in self._answers(X)], np.float64)


def _is_plain(X: Any) -> bool:
    """Return whether samples are rows of numbers without names."""
    return isinstance(X, np.ndarray) and X.ndim == 2


def _holds_texts(X: Any) -> bool:
    """Return whether samples are texts: one axis of str."""
    if isinstance(X, np.ndarray) and X.ndim != 1:
        return False
    if not isinstance(X, (list, tuple, np.ndarray)) and not hasattr(X, "to_numpy"):
        return False
    return len(X) > 0 and isinstance(next(iter(X)), str)


def _num_axes(X: Any) -> int:
    """Return how many axes an array has; a list may be of arrays, of a sparse matrix it is two."""
    if hasattr(X, "ndim"):
        return int(X.ndim)
    if isinstance(X, (list, tuple)) and len(X) and hasattr(X[0], "ndim"):
        return 1 + int(X[0].ndim)
    return 2


def _check_lengths(X: Any, y: np.ndarray) -> None:
    if len(X) != len(y):
        raise ValueError(
            f"X has {len(X)} samples and y has {len(y)} targets; expected as many. Give one a "
            "sample."
        )
    if len(y) and y.dtype.kind == "f" and not np.isfinite(y).all():
        raise ValueError(
            "Input y contains NaN or infinity; expected a target for each sample. Leave out those "
            "without one."
        )


def _class_names(classes: np.ndarray) -> list[str]:
    """Return what classes are called in a run: as they are, where that is safe for all of them."""
    names = [str(one) for one in classes.tolist()]
    is_plain = all(_PLAIN_NAME.fullmatch(n) and n.lower() not in _MISSING_NAMES for n in names)
    if is_plain and len({name.casefold() for name in names}) == len(names):
        return names
    return [f"class {place}" for place in range(len(names))]


def _rows(X: Any, places: np.ndarray) -> Any:
    """Return some of the samples."""
    if isinstance(X, list):
        return [X[place] for place in places]
    return X.iloc[places].reset_index(drop=True) if hasattr(X, "iloc") else X[places]


def _check_said(options: object, known: Mapping[str, object]) -> None:
    """Refuse options that the verb does not take, or that the estimator says in its own words."""
    if options is not None and not isinstance(options, Mapping):
        told = "expected a dict. Write it like {'num_epochs': 5}."
        raise OptionError(f"options is {options!r:.40}; {told}")
    for name in options or ():
        told = f"which the estimator says itself. Say {_OWN.get(name)} in its place."
        if name not in _OWN:
            near = did_you_mean(str(name), list(known))
            told = f"which is none.{near} 'headstart help finetune' (or fit) lists them."
        if name in _OWN or name not in known:
            raise OptionError(f"options holds '{name}', {told}")
