"""Find classes that a mirror image would confuse: left and right, arrows, in many languages.

What cannot be known from names (numbered traffic signs) is left to ``--augment``. A word too many
costs a little accuracy, a word too few costs all of it: when in doubt, nothing is mirrored.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

# One class called so is enough. A word counts with its endings: left, lefts, leftward, lefthand.
_SIDES = (
    *(
        "left",
        "right",
        "links",
        "linke",
        "rechts",
        "rechte",
        "gauche",
        "droit",
        "izquierd",
        "derech",
    ),
    *("sinistr", "destr", "esquerd", "direit", "vanster", "hoger", "venstre", "hojre", "hoyre"),
    *("vasem", "vasen", "oikea", "lewo", "lewa", "lewy", "prawo", "prawa", "prawy", "vlevo"),
    *("vpravo", "levy", "pravy", "doleva", "doprava", "stanga", "dreapta", "aristera", "dexia"),
    *("vlijevo", "vasak", "parem", "kairiau", "kiri", "kanan", "hidari", "migi", "zuoce", "youce"),
    *("лев", "прав", "влево", "вправо", "налево", "направо", "ліво", "αριστερ", "δεξι"),
    *("يسار", "يمين", "שמאל", "ימין", "बाएँ", "बाएं", "दाएँ", "दाएं", "ซ้าย", "ขวา"),
)
_NOT_SIDES = frozenset(
    [
        "leftover",
        "leftovers",
        "rights",
        "righteous",
        "linked",
        "linkage",
        "linking",
        "destroyed",
        "destroyer",
        "destruction",
        "destroy",
        "правда",
        "право",
        "левкой",
        "kiribati",
        "лев",
        "copyright",
        "hogere",
    ]
)
# Scripts that write no blanks between words: found anywhere in a name.
_ANYWHERE = (
    *("左", "右", "왼쪽", "오른쪽", "좌회전", "우회전", "ซ้าย", "ขวา", "箭头", "箭頭", "矢印"),
    *("←", "→", "↖", "↗", "↘", "↙", "⬅", "➡", "↰", "↱", "«", "»"),
)
# Things that point, or are read.
_POINTING = frozenset(
    [
        "arrow",
        "arrows",
        "flecha",
        "flechas",
        "pfeil",
        "pfeile",
        "fleche",
        "fleches",
        "freccia",
        "frecce",
        "seta",
        "setas",
        "pijl",
        "pijlen",
        "strelka",
        "стрелка",
        "strzalka",
        "sipka",
        "clockwise",
        "counterclockwise",
        "anticlockwise",
        "cw",
        "ccw",
        "uturn",
        "chevron",
        "east",
        "west",
        "eastbound",
        "westbound",
        "ost",
        "osten",
        "westen",
        "est",
        "ouest",
        "este",
        "oeste",
        "восток",
        "запад",
        "text",
        "texts",
        "letter",
        "letters",
        "glyph",
        "glyphs",
        "character",
        "characters",
        "handwriting",
        "digit",
        "digits",
        "laterality",
        "sinister",
        "dexter",
    ]
)
# Short words that have other meanings alone: both must be there.
_PAIRS = (
    *(("l", "r"), ("lh", "rh"), ("os", "od"), ("izq", "der")),
    *(("sol", "sag"), ("sol", "sağ"), ("bal", "jobb"), ("trai", "phai"), ("trái", "phải")),
    *(("e", "w"), ("lt", "rt"), ("sx", "dx"), ("lto", "rto"), ("lmlo", "rmlo")),
    *(("lcc", "rcc"), ("forward", "backward"), ("venstre", "hoyre"), ("esq", "dir")),
    *(("b", "d"), ("p", "q"), ("s", "z")),
)


def find_direction(classes: Sequence[str]) -> str | None:
    """Return the name of a class that a mirror image may turn into another; None without one.

    Args:
        classes: Class names.

    Example:
        >>> find_direction(["keep_right", "stop"]), find_direction(["cat", "dog"])
        ('keep_right', None)
    """
    words = {name: _words(name) for name in classes}
    for name, found in words.items():
        if any(mark in name for mark in _ANYWHERE):
            return name
        if any(word in _POINTING or _is_side(word) for word in found):
            return name
    for first, second in _PAIRS:
        one = [name for name, found in words.items() if first in found]
        other = [name for name, found in words.items() if second in found]
        if one and other and one != other:
            return one[0]
    return None


def _is_side(word: str) -> bool:
    return word not in _NOT_SIDES and word.startswith(_SIDES)


def _words(name: str) -> set[str]:
    """Return the words of a class name, small and without accents, and as they are written."""
    apart = re.sub(r"(?<=[^\W\d_A-Z])(?=[A-Z])", " ", unicodedata.normalize("NFC", name))
    written = re.findall(r"[^\W\d_]+", apart.lower())
    joined = "".join(written)
    plain = [_plain(word) for word in written]
    return {*written, *plain, *((joined,) if joined == "uturn" else ())}


def _plain(word: str) -> str:
    parts = unicodedata.normalize("NFD", word.replace("ø", "o").replace("ł", "l"))
    return "".join(part for part in parts if not unicodedata.combining(part))
