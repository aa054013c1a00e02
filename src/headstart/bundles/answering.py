"""A bundle, opened: the one way from samples to answers, by the code that ``predict`` uses too.

Preprocessing is the object that trained the model, decisions and probabilities are its task's; only
the network itself is computed by ONNX Runtime in place of PyTorch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from headstart.bundles.manifest import check_files
from headstart.bundles.records import BundleRecord, MemberRecord, read_bundle_record
from headstart.bundles.session import MODEL, OnnxSession
from headstart.errors import DataError, ExportError, PackageMissing, StartError
from headstart.preprocessing import Preprocess, read_preprocess
from headstart.tasks import Task, array_of, find_task
from headstart.types import Inputs, Prediction, Ragged, Rows, Schema

Arrays = Mapping[str, np.ndarray]  # of one member, by the names of its inputs


@dataclass(frozen=True)
class BundleMember:
    """One model of a bundle, opened.

    Attributes:
        record: What ``bundle.json`` says of it.
        preprocess: How it reads samples.
        session: Its network.
    """

    record: MemberRecord
    preprocess: Preprocess
    session: OnnxSession


@dataclass(frozen=True)
class Bundle:
    """A bundle that answers.

    Attributes:
        path: Its folder.
        record: ``bundle.json``.
        members: Its models, in order.
        version: The first 12 digits of the SHA-256 of its manifest.
    """

    path: Path
    record: BundleRecord
    members: tuple[BundleMember, ...]
    version: str

    @property
    def schema(self) -> Schema:
        """What is predicted."""
        return self.record.schema

    @cached_property
    def task(self) -> Task:
        """The same, as the task itself."""
        return find_task(self.schema.task).deciding_by(self.record.deciding)

    @property
    def is_pieced(self) -> bool:
        """Whether its networks tell of tokens, of which the preprocessing makes rows."""
        return self.task.tells_words or self.task.finds_texts

    @property
    def preprocess(self) -> Preprocess:
        """How the first member reads samples: the columns and the kind are those of all."""
        return self.members[0].preprocess

    def read(self, samples: Any, names: Sequence[str] | None = None) -> list[Inputs]:
        """Return what a user gives as each member takes it.

        Args:
            samples: As ``Preprocess.read`` takes them.
            names: The same.

        Raises:
            DataError: As ``Preprocess.read`` does, or if a sample cannot be used.
        """
        found = [one.preprocess.read(samples, names) for one in self.members]
        for inputs in found:
            demand_whole(inputs, self.schema)
        return found

    def arrays(self, inputs: Sequence[Inputs], places: np.ndarray) -> list[Arrays]:
        """Return some of the samples that were read, as arrays by name, of each member.

        Args:
            inputs: Of ``read``.
            places: Positions, int64, shape (B,).
        """
        return [
            one.preprocess.batch(given, places)
            for one, given in zip(self.members, inputs, strict=True)
        ]

    def run(
        self, arrays: Sequence[Arrays], features: list[np.ndarray] | None = None
    ) -> list[np.ndarray]:
        """Return what each member's network gives: logits, float32, (B, K), or (M, T, K) of tokens.

        Args:
            arrays: Of each member.
            features: Is given those of the first member, float32, shape (B, D), where it has them.

        Raises:
            DataError: If a number in them is beyond what a network knows.
        """
        wanted = [features, *[None] * len(self.members)]
        return [
            one.session.run(own, each)
            for one, own, each in zip(self.members, arrays, wanted, strict=False)
        ]

    def logits(
        self, arrays: Sequence[Arrays], features: list[np.ndarray] | None = None
    ) -> list[Rows]:
        """Return the logits of each member, a row a sample: (B, K), or ragged of words.

        Args:
            arrays: Of each member.
            features: As for ``run``.

        Raises:
            DataError: As ``run`` does.
        """
        found = self.run(arrays, features)
        return [
            one.preprocess.told(own, made)
            for one, own, made in zip(self.members, arrays, found, strict=True)
        ]

    def outputs(self, logits: Sequence[Rows]) -> Rows:
        """Return calibrated probabilities, (B, K), or values in the targets' own unit.

        Of several members the mean of theirs, as ``model.Ensemble.combine`` joins them.

        Args:
            logits: Of ``logits``, or of ``run``: those of tokens, (M, T, K), or of words, (M, K),
                stay as they are.
        """
        task, schema, first = self.task, self.schema, self.record.members[0]
        if len(self.members) == 1:
            (whole,) = logits
        else:
            each = [
                array_of(_outputs(task, schema, own, one.record))
                for one, own in zip(self.members, logits, strict=True)
            ]
            shares = np.array([one.record.weight for one in self.members], np.float64)
            mean = sum(s * one for s, one in zip(shares / shares.sum(), each, strict=True))
            scaling = {"mean": first.target_mean, "scale": first.target_scale}
            whole = task.logits_of(np.asarray(mean), **scaling).astype(np.float32)
        calibrated = replace(first, temperature=self.record.temperature)
        if self.task.finds_texts and isinstance(whole, np.ndarray):
            return whole  # nobody knows yet where these tokens stand
        if isinstance(whole, np.ndarray) and task.tells_words:
            rows = whole if whole.ndim > 2 else whole[:, None]  # a row is a word
            each_token = _outputs(task, schema, Ragged.even(rows), calibrated)
            return (
                each_token.flat.reshape(whole.shape)
                if isinstance(each_token, Ragged)
                else each_token
            )
        return _outputs(task, schema, whole, calibrated)

    def predictions(self, names: Sequence[str], outputs: Rows) -> list[Prediction]:
        """Return what a person reads of outputs, one record a sample."""
        return self.task.predictions(names, outputs, self.schema)

    def predictions_of(self, inputs: Inputs, outputs: Rows) -> list[Prediction]:
        """Return the same of samples that ``read`` has read: spans at their places in texts."""
        return self.task.predictions_of(inputs, outputs, self.schema)

    def predict(self, samples: Any, names: Sequence[str] | None = None) -> list[Prediction]:
        """Predict new samples, all in one batch.

        Args:
            samples: As ``read`` takes them.
            names: The same.

        Raises:
            DataError: As ``read`` does.
        """
        inputs = self.read(samples, names)
        arrays = self.arrays(inputs, np.arange(len(inputs[0])))
        return self.predictions_of(inputs[0], self.outputs(self.logits(arrays)))


def demand_whole(inputs: Inputs, schema: Schema) -> None:
    """Refuse samples of which one cannot be used.

    Raises:
        DataError: Naming it.
    """
    if inputs.bad_samples:
        bad = inputs.bad_samples[0]
        raise DataError(
            f"'{bad.name}' cannot be used: {bad.reason}. Expected a whole {schema.modality}; "
            "replace it or leave it out."
        )


def _outputs(task: Task, schema: Schema, logits: Rows, record: MemberRecord) -> Rows:
    return task.outputs(
        logits,
        schema,
        temperature=record.temperature,
        target_mean=record.target_mean,
        target_scale=record.target_scale,
    )


def preprocess_of(member: MemberRecord, folder: Path) -> Preprocess:
    """Return how a model of a bundle reads samples.

    Args:
        member: What ``bundle.json`` says of it.
        folder: The bundle.

    Raises:
        ExportError: If a file is missing or damaged.
    """
    try:
        return read_preprocess(member.preprocess, folder / member.folder, member.start)
    except PackageMissing:
        raise
    except StartError as error:
        raise ExportError(f"{folder} cannot be opened: {error}") from error


def open_bundle(folder: Path, *, num_threads: int = 1, is_whole: bool = True) -> Bundle:
    """Open a bundle.

    Args:
        folder: What ``headstart export RUN --to onnx`` wrote.
        num_threads: Of ONNX Runtime.
        is_whole: Whether it has its manifest, which is then checked; not while it is written.

    Raises:
        ExportError: If a file is missing, damaged, or not what was exported, or it writes texts
            (``writing.open_writer``).
    """
    version = check_files(folder)[:12] if is_whole else ""
    record = read_bundle_record(folder)
    if record.writing is not None:
        raise ExportError(
            f"{folder} writes texts ({record.schema.task}), token after token; expected a bundle "
            "that answers in one pass, as what is watched for drift does. Serve it instead: "
            f"headstart serve {folder}."
        )
    if find_task(record.schema.task).matches_texts:
        raise ExportError(
            f"{folder} matches images and texts, by two networks; expected a bundle that answers "
            "in one pass, as what is watched for drift does. Serve it instead: headstart serve "
            f"{folder}."
        )
    num_outputs = find_task(record.schema.task).num_outputs(record.schema)
    members = []
    for one in record.members:
        own = folder / one.folder
        preprocess = preprocess_of(one, folder)
        wanted = preprocess.exported_inputs, num_outputs, num_threads, one.features
        session = OnnxSession(own / MODEL, *wanted)
        members.append(BundleMember(one, preprocess, session))
    return Bundle(folder, record, tuple(members), version)
