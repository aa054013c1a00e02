"""A run that writes as a bundle: a folder that writes by ONNX Runtime alone, checked beforehand.

What was exported is opened as a server opens it and asked, from the raw samples on, for every token
that the run itself has written of them, in batches of four sizes: logits may differ by what other
exports' may. Then it writes them itself: the likeliest token each time, the same tokens; and as it
is served, the same texts. Only then does the folder get its name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from headstart.bundles import (
    Agreement,
    BundleRecord,
)
from headstart.bundles.golden import NUM_GOLDEN
from headstart.bundles.writing import IDS, MASK, Arrays, WritingBundle, open_writer
from headstart.bundles.written_golden import (
    NUM_TOKENS,
    compare_written,
    judged,
    verify_writer,
    written_golden_bytes,
)
from headstart.decoding import Search, begin_search, written_by
from headstart.errors import ExportError
from headstart.exporting.bundle_files import ComparedSamples, seal, write_lone_record
from headstart.exporting.folder import building, refuse_occupied
from headstart.exporting.model_card import CARD, model_card
from headstart.exporting.onnx_file import require_onnx
from headstart.exporting.writer_graphs import graph_bytes, graphs_of, writer_network
from headstart.model import Ensemble, Model
from headstart.tensors import evaluating
from headstart.types.texts import Telling

BATCHES = (1, 2, 3, 7)


@dataclass(frozen=True)
class _Asked:
    """Some samples, and what the run writes of them.

    Attributes:
        arrays: Ids and mask, by name.
        greedy: The likeliest tokens.
        served: Tokens as it is served.
        scores: Of these where they were searched for by beams, float32, shape (B,).
    """

    arrays: Arrays
    greedy: Sequence[Sequence[int]]
    served: Sequence[Sequence[int]]
    scores: np.ndarray


def export_writer_bundle(
    ensemble: Ensemble,
    folder: str | Path,
    samples: ComparedSamples,
    *,
    name: str,
    reading: Mapping[str, Any],
    metrics: Mapping[str, Any],
) -> Agreement:
    """Write a run that writes as a bundle.

    Args:
        ensemble: Of one model; left as it is.
        folder: A new or empty folder.
        samples: On which it is compared, given as a server is given them.
        name: Of the model, as a server shall call it.
        reading: How files of the training data were read.
        metrics: ``metrics.json`` of the run, for the model card; may be empty.

    Returns:
        How far the logits of the bundle are from PyTorch's.

    Raises:
        ExportError: If packages are missing, the network cannot be exported, the folder is
            occupied or not writable, or the bundle writes otherwise; then nothing is left behind.
    """
    target, model = Path(folder), ensemble.first
    refuse_occupied(target)
    require_onnx()
    with building(target) as partial:
        record = _write_networks(model, partial, name, reading)
        bundle = open_writer(partial, is_whole=False)
        agreement, num_texts, num_equal = _compare(model, bundle, samples, target)
        parity = {"samples": samples.origin, "batches": list(BATCHES), **asdict(agreement)}
        parity |= {"texts": num_texts, "texts_equal": num_equal}
        record = replace(record, parity=parity)
        seal(partial, record, _golden(model, samples), {CARD: model_card(record, metrics)})
        verify_writer(partial)
    return agreement


def _write_networks(
    model: Model, folder: Path, name: str, reading: Mapping[str, Any]
) -> BundleRecord:
    """Write the network's files and those of its preprocessing; return what to say of them."""
    network, address = writer_network(model), model.encoder.start.address
    for graph in graphs_of(network):
        (folder / graph.file).write_bytes(graph_bytes(graph, address))
    return write_lone_record(model, folder, name, reading, network.rules)


def _raw(model: Model, samples: ComparedSamples, num: int) -> list[Any]:
    """Return the first samples that can be used.

    Raises:
        ExportError: If there is none.
    """
    assert samples.raw is not None, "texts are given as they are"
    raw = list(samples.raw)
    good = model.encoder.preprocess.read(raw).ids[:num].tolist()
    if not good:
        raise ExportError(
            f"Of {samples.origin} none can be read; expected one to compare the export on. Give "
            "the run data whose texts it has room for."
        )
    return [raw[place] for place in good]


def _golden(model: Model, samples: ComparedSamples) -> bytes:
    """Return golden samples: the first ones, with the first tokens of what is written of them."""
    preprocess: Any = model.encoder.preprocess
    inputs = preprocess.read(_raw(model, samples, NUM_GOLDEN))
    arrays = preprocess.batch(inputs, np.arange(len(inputs)))
    with evaluating(model), torch.no_grad():
        short = replace(preprocess.telling, num_beams=1, max_tokens=NUM_TOKENS)
        told = written_by(_search(model, arrays, short))
        written = judged(_steps(model, arrays), told)
    texts = [preprocess.text_of(np.array(ids, np.int64)) for ids in told]
    return written_golden_bytes(arrays, written, texts)


def _steps(model: Model, arrays: Arrays) -> Any:
    network: Any = model.encoder.network
    return network.steps(*(torch.from_numpy(arrays[n]).to(model.device) for n in (IDS, MASK)))


def _search(model: Model, arrays: Arrays, how: Telling) -> Search:
    network: Any = model.encoder.network
    asked = zip(arrays[IDS], arrays[MASK] > 0, strict=True)
    prompts = [ids[has] for ids, has in asked]
    return begin_search(_steps(model, arrays), network.rules, how, prompts)


def _asked_of(model: Model, arrays: Arrays) -> _Asked:
    """Let the run itself write."""
    preprocess: Any = model.encoder.preprocess
    greedy = written_by(_search(model, arrays, replace(preprocess.telling, num_beams=1)))
    served = _search(model, arrays, preprocess.telling)
    return _Asked(arrays, greedy, written_by(served), served.scores)


def _compare(
    model: Model, bundle: WritingBundle, samples: ComparedSamples, target: Path
) -> tuple[Agreement, int, int]:
    """Let a bundle write samples in batches of every size; return also how many texts are equal.

    Raises:
        ExportError: If it reads or writes otherwise.
    """
    raw = _raw(model, samples, sum(BATCHES))
    worst: Agreement | None = None
    num_texts = num_equal = start = 0
    for size in BATCHES:
        some = [raw[place % len(raw)] for place in range(start, start + size)]
        start += size
        own: Any = model.encoder.preprocess
        wanted = own.batch(own.read(some), np.arange(size))
        arrays = bundle.preprocess.batch(bundle.read(some), np.arange(size))
        if any(not np.array_equal(arrays[key], wanted[key]) for key in wanted):
            raise _unfaithful(target, samples, "it reads other tokens")
        with evaluating(model), torch.no_grad():
            asked = _asked_of(model, wanted)
            expected = judged(_steps(model, wanted), asked.greedy)
        found = compare_written(bundle.writer.steps(arrays), expected)
        if not found.holds:
            turned = f", and {found.num_wrong} tokens are others" if found.num_wrong else ""
            told = f"logits differ by {found.largest:.2g}, expected at most {found.allowed:.2g}"
            raise _unfaithful(target, samples, f"{told}{turned}")
        worst = found if worst is None or found.largest > worst.largest else worst
        equal, wrong = _count_texts(bundle, asked, found)
        if wrong:
            raise _unfaithful(target, samples, f"{wrong} of {size} texts are others")
        num_texts, num_equal = num_texts + size, num_equal + equal
    assert worst is not None
    return worst, num_texts, num_equal


def _count_texts(bundle: WritingBundle, asked: _Asked, found: Agreement) -> tuple[int, int]:
    """Return how many texts the bundle writes as the run does, and how many are wrong.

    Equal are those of which both ways to write give the same tokens. Of single tokens it is known
    by now that none was turned but of nearly equal ones; of two texts of beams the scores say it.
    """
    greedy = written_by(bundle.search(asked.arrays, replace(bundle.telling, num_beams=1)))
    search = bundle.search(asked.arrays)
    served = written_by(search)
    is_near = np.abs(search.scores - asked.scores) <= 2 * found.allowed
    num_equal = num_wrong = 0
    for row, near in enumerate(is_near.tolist()):
        is_greedy = greedy[row] == list(asked.greedy[row])
        if is_greedy and served[row] == list(asked.served[row]):
            num_equal += 1
        elif not near or not (is_greedy or found.num_turned):
            num_wrong += 1
    return num_equal, num_wrong


def _unfaithful(target: Path, samples: ComparedSamples, how: str) -> ExportError:
    return ExportError(
        f"The export to {target} is not faithful: on {samples.origin} {how}. Nothing was kept. "
        "Please report this with the start's name."
    )
