"""Predict new files with a finished run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from headstart.errors import DataError
from headstart.reporting.console import attached
from headstart.run import Run
from headstart.types import Prediction

_ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif")


def predict(run: str, files: Sequence[str]) -> list[Prediction]:
    """Predict the class of image files.

    Args:
        run: A run folder.
        files: Image files, or folders of image files.

    Returns:
        One prediction a file: the class, its calibrated probability, and those of all classes.

    Raises:
        RunFolderError: If the run folder holds no model.
        DataError: If a file does not exist or is not an image.

    Example:
        >>> import headstart as hs
        >>> hs.predict("runs/digits", ["seven.png"])[0].label  # doctest: +SKIP
        '7'
    """
    opened = run if isinstance(run, Run) else Run(run)
    found: list[str] = []
    for file in [files] if isinstance(files, str | Path) else files:
        path = Path(file)
        if path.is_dir():
            inside = sorted(
                os.path.join(folder, name)
                for folder, _, names in os.walk(path)
                for name in names
                if name.lower().endswith(_ENDINGS)
            )
            if not inside:
                raise DataError(
                    f"{path} holds no image files; expected some that end in "
                    f"{', '.join(_ENDINGS)}. Name the files themselves."
                )
            found += inside
        elif path.is_file():
            found.append(str(path))
        else:
            raise DataError(
                f"{path} does not exist; expected an image file or a folder of them. Check the "
                f"path."
            )
    with attached():
        return opened.predict(found)
