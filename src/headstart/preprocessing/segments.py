"""Where words begin in a script that writes no blanks between them: Chinese, by jieba.

jieba is an extra (``zh``): a dictionary of words and how often they occur. It would keep that as
Python's marshal among temporary files, where anybody may have put one; here it is read from the
package each time, with a folder of our own that goes at once.
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np

from headstart.errors import PackageMissing
from headstart.extras import install_command

_LOOKED_AT = 200_000  # characters
_MOSTLY = 0.3  # of the letters


def is_chinese(texts: Sequence[str]) -> bool:
    """Return whether a good part of the letters of texts are Chinese characters, and no kana.

    Args:
        texts: Any texts, of which the first 200,000 characters are looked at.

    Example:
        >>> is_chinese(["这家酒店的服务很好"]), is_chinese(["a good hotel"])
        (True, False)
    """
    letters, num = 0, 0
    kana = 0
    for text in texts:
        for letter in text:
            letters += letter.isalpha()
            num += "\u4e00" <= letter <= "\u9fff"
            kana += "\u3040" <= letter <= "\u30ff"
        if letters > _LOOKED_AT:
            break
    return num > _MOSTLY * max(1, letters) and kana < 0.1 * num


def segment_chinese(text: str) -> np.ndarray:
    """Return where the words of a text begin, int64, rising.

    Args:
        text: Chinese, perhaps with words of other scripts between.

    Raises:
        DataError: If jieba is not installed.

    Example:
        >>> segment_chinese("服务很好").tolist()  # doctest: +SKIP
        [0, 2, 3]
    """
    words = _tokenizer().cut(text)
    lengths = np.array([len(word) for word in words], np.int64)
    begins: np.ndarray = np.cumsum(lengths) - lengths
    return begins


def require_segmenter() -> None:
    """Refuse whole words of Chinese where jieba is missing.

    Raises:
        DataError: If it is.
    """
    if find_spec("jieba") is None:
        raise PackageMissing(
            f"Whole words of Chinese are found by 'jieba', which is not installed. Install it: "
            f"{install_command('headstart[zh]')}; or leave out --whole-words, and single "
            f"characters are hidden."
        )


@cache
def _tokenizer() -> Any:
    require_segmenter()
    with warnings.catch_warnings():
        # its patterns are written as no Python from 3.12 on likes
        warnings.simplefilter("ignore")
        import jieba  # type: ignore[import-untyped]

    jieba.setLogLevel(logging.WARNING)
    found = jieba.Tokenizer()
    with tempfile.TemporaryDirectory() as folder:
        found.tmp_dir = folder
        found.initialize()
    return found
