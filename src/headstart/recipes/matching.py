"""Answers of a run that matches images and texts: the best of the texts or images given."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.errors import DataError, OptionError
from headstart.recipes.findings import tell_findings
from headstart.recipes.run import Run
from headstart.types import BadSample, Predictions

if TYPE_CHECKING:
    import numpy as np

    from headstart.data.sources.given_tables import AsTrained


def check_matching(run: Run, texts: str | None, images: str | None) -> bool:
    """Return whether a run matches images and texts, and has been given what to choose among.

    Args:
        run: Of the task.
        texts: A file of texts, or None.
        images: A folder or file of images, or None.

    Raises:
        OptionError: One of both is needed and not said, or is said and means nothing.
    """
    from headstart.tasks import find_task

    task = find_task(run.schema.task)
    given = (("texts", texts, "a file with a text a line"), ("images", images, "a folder of them"))
    for name, value, expected in given:
        if value is not None and not isinstance(value, (str, os.PathLike)):
            raise OptionError(
                f"{name} is of type {type(value).__name__}; expected the path of {expected}. Write "
                "them there."
            )
    said = [f"--{name}" for name, value in (("texts", texts), ("images", images)) if value]
    if not task.matches_texts and said:
        raise OptionError(
            f"{' and '.join(said)} say what to choose among, and {run.path} tells "
            f"{task.asked(run.schema.label, len(run.schema.classes)) or task.name}; expected a run "
            "that matches images and texts. Leave it out."
        )
    if task.matches_texts and len(said) != 1:
        raise OptionError(
            f"{run.path} matches images and texts, and {'both are' if said else 'nothing is'} "
            "given to choose among; expected one of both. Say headstart predict RUN FILE… --texts "
            "captions.txt for the best text of each image, or headstart predict RUN 'SOME TEXT' "
            "--images FOLDER for the best image of each text."
        )
    return task.matches_texts


def match_given(
    run: Run, given: Any, texts: str | None, images: str | None, how: AsTrained
) -> Predictions:
    """Return the best of what there is to choose among, for each sample.

    Args:
        run: One that matches images and texts.
        given: Images, files and folders of them, or images in memory; or texts, where ``images``
            is said.
        texts: A file with a text a line.
        images: A folder of images, or one.
        how: The training data was read.

    Returns:
        One prediction a sample: its label is the text, or the name of the image; its probabilities
        are those of all there are to choose among, in their order.

    Raises:
        DataError: Something does not exist or cannot be read.
    """
    from headstart.tasks.matched import best_of

    if texts is not None:
        candidates = _lines(texts)
        of_texts = _embedded(run, candidates, texts)
        names, of_images, bad = _images(run, _parts(run, given, how))
        return Predictions([*best_of(names, candidates, of_images @ of_texts.T), *bad])
    asked = [str(one) for one in given]
    files, of_images, bad = _images(run, _parts(run, [str(images)], how))
    if not files:
        raise DataError(f"No image of {images} can be used. Give whole images.")
    alike = _embedded(run, asked, "what was given") @ of_images.T
    return Predictions([*best_of(asked, files, alike), *bad])


def _lines(path: str) -> list[str]:
    """Return the texts of a file, one a line.

    Raises:
        DataError: It is not there, or holds none.
    """
    from headstart.data.sources.text_source import read_text_bytes

    try:
        text = read_text_bytes(Path(path), path, None).decode()
    except OSError as error:
        raise DataError(
            f"{path} cannot be read ({error.strerror or error}); expected a file with a text a "
            "line. Check the path."
        ) from error
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        raise DataError(f"{path} holds no text; expected one a line. Write some into it.")
    return list(dict.fromkeys(lines))


def _embedded(run: Run, texts: Sequence[str], where: str) -> np.ndarray:
    from headstart.model.matching import embed_texts

    return embed_texts(run.model, texts, [f"text {i} of {where}" for i in range(1, len(texts) + 1)])


def _parts(run: Run, given: Any, how: AsTrained) -> Iterable[tuple[Any, Sequence[str] | None]]:
    """Return images that are read at once, and their names; those in memory have none."""
    from headstart.data.sources.unlabelled import reader_of

    is_named = isinstance(given, list) and all(isinstance(o, str | os.PathLike) for o in given)
    if not is_named:
        return [(given, None)]
    reader = reader_of(run.schema)
    return reader.read(reader.listed(given), how)


def _images(
    run: Run, parts: Iterable[tuple[Any, Sequence[str] | None]]
) -> tuple[list[str], np.ndarray, list[BadSample]]:
    """Return names and embeddings of images, and those that cannot be read."""
    import numpy as np

    from headstart.model import model_outputs
    from headstart.model.matching import image_embeddings

    model = run.ensemble
    names, rows, bad = list[str](), list[np.ndarray](), list[BadSample]()
    for samples, called in parts:
        for each in model.incoming(samples, called):
            bad += each[0].bad_samples
            tell_findings(each[0].findings)
            if len(each[0]):
                outputs = model_outputs(model, model.run(each, phase="predictions"))
                names += each[0].names
                rows.append(image_embeddings(outputs))
    width = run.model.encoder.num_features
    return names, np.concatenate([np.zeros((0, width), np.float32), *rows]), bad
