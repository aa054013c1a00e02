"""Which encoding bytes that are not UTF-8 may have: candidates in order, each with what it reads.

An encoding is a candidate if it decodes every byte and leaves no control characters. They are
ordered by how much of what they read looks like writing: words of one script, lower case within
words, letters that languages use, and no signs or boxes between letters.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from itertools import pairwise

SAMPLE_BYTES = 2**16
MAX_FOREIGN = 4000  # characters that are judged
SHOWN = 60
UNWRITTEN = ("Cc", "Cn", "Co")  # control characters, and what no standard names
MOST = 4
CANDIDATES = (
    *("cp1252", "cp1251", "cp1250", "koi8-r", "cp1253", "cp1254", "cp1255", "cp1256", "cp866"),
    *("gb18030", "big5", "shift_jis", "euc-jp", "euc-kr", "iso8859-2", "iso8859-15", "mac-roman"),
)
WIDE = ("gb18030", "big5", "shift_jis", "euc-jp", "euc-kr")
# Frequent letters and signs beyond ASCII: what a wrong table makes of bytes is seldom among them.
COMMON = {
    "cp1252": "äöüßÄÖÜéèêëàâáãåæçîïíñóôòõøœúùû’‘“”„–—…€°·«»¿¡É•",
    "iso8859-15": "",
    "cp1250": "ąćęłńóśźżĄĆĘŁŃÓŚŹŻáčďéěíňřšťúůýžÁČĎÉĚÍŘŠŤÚŮÝŽőűöüäßșțăâî“”„–—…€",
    "iso8859-2": "ąćęłńóśźżĄĆĘŁŃÓŚŹŻáčďéěíňřšťúůýžÁČĎÉĚÍŘŠŤÚŮÝŽőűöüäß",
    "cp1254": "ğışçöüĞİŞÇÖÜâîû’“”–—…€",
    "mac-roman": "",
}
FREQUENT = {
    "CYRILLIC": "оеаинтсрвлкмдпуяыьгзбчйхжшюцщэфъё",
    "GREEK": "αοιετσνηυρπκμλςωγδχθφβξζψάέήίόύώ",
    "HEBREW": "יולאהמתרבשנעדפחקכםצזטגןסךףץ",
    "ARABIC": "اليمنورتبدسعفكهةقحجشصطخزضغثذءظأإىئؤآ",
    "CJK": "的一是不了在人有我他这中大来上个国说們這個國來說時會們很好非常店服务務質量差快慢味道",
}


def likely_encodings(content: bytes) -> list[tuple[str, str]]:
    """Return candidates, best first, at most four, each with the first foreign line as it reads it.

    Args:
        content: Bytes that are not UTF-8.
    """
    sample = _sample(content)
    found = []
    for place, name in enumerate(CANDIDATES):
        try:
            content.decode(name)
            text = sample.decode(name)
        except UnicodeError:
            continue
        if any(unicodedata.category(c) in UNWRITTEN and c not in "\t\r\n\f" for c in set(text)):
            continue
        found.append((-_score(text, name), place, name))
    return [(name, _first_line(content, name)) for _, _, name in sorted(found)[:MOST]]


def _sample(content: bytes) -> bytes:
    """Return the lines that hold bytes beyond ASCII, up to ``SAMPLE_BYTES``."""
    lines: list[bytes] = []
    size = 0
    for line in content.splitlines(keepends=True):
        if not line.isascii():
            lines.append(line)
            size += len(line)
        if size > SAMPLE_BYTES:
            break
    return b"".join(lines)


def wide_encoding(content: bytes) -> str:
    """Return the kind of UTF-16 or UTF-32 that zero bytes show; empty where they show none."""
    if content[:4] in (b"\xff\xfe\0\0", b"\0\0\xfe\xff"):
        return "utf-32"
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "utf-16"
    head = content[:4000]
    zeros = [head[i::2].count(0) for i in (0, 1)]
    if sum(zeros) < max(4, len(head) // 50) or min(zeros) > max(zeros) / 4:
        return ""
    name, line_end = ("utf-16-be", b"\0\n") if zeros[0] > zeros[1] else ("utf-16-le", b"\n\0")
    # ends of lines have a zero byte, too; else it is text with some in its cells
    return name if 2 * head.count(line_end) >= head.count(b"\n") else ""


def _score(text: str, name: str) -> float:
    """Return how much the characters beyond ASCII look like writing, from about -2 to 2."""
    foreign = [(a, b) for a, b in pairwise(" " + text) if b > "\x7f"][:MAX_FOREIGN]
    if not foreign:
        return 0.0
    total = sum(_worth(before, letter, name) for before, letter in foreign)
    return total / len(foreign)


def _worth(before: str, letter: str, name: str) -> float:
    if name in COMMON:
        worth = 1.0 if letter in COMMON[name] else 0.2 if letter.isalpha() else -0.6
        if letter.isalpha() and before > "\x7f" and before.isalpha():
            worth -= 0.6  # words of accented letters alone are another alphabet
    else:
        worth = _script_worth(letter, name)
    if letter.isupper() and before.islower():
        worth -= 1.5  # upper case within a word
    if letter.isalpha() and before.isalpha() and _script(before) != _script(letter):
        worth -= 0.7
    if not letter.isalpha() and before.isalpha() and unicodedata.category(letter) in ("So", "Sm"):
        worth -= 1
    return worth


def _script_worth(letter: str, name: str) -> float:
    script = _script(letter)
    if script in ("HIRAGANA", "KATAKANA"):
        return 1.3 if name in ("shift_jis", "euc-jp") and ord(letter) < 0xFF00 else -0.3
    if script == "HANGUL":
        return 1.2 if name == "euc-kr" else -0.3
    if script == "CJK":
        if letter in FREQUENT["CJK"]:
            return 1.6
        return 0.6 if _is_first_level(letter, name) else -0.4
    if script in FREQUENT:
        if name in WIDE:
            return -0.6
        rank = FREQUENT[script].find(letter.lower())
        return 0.1 if rank < 0 else 1.1 - 0.03 * rank
    if name in WIDE and ("\u3000" <= letter <= "\u303f" or "\uff00" <= letter <= "\uff60"):
        return 0.9  # the full stop and comma of these scripts
    return 0.8 if letter in "’‘“”„–—…€«»№" else -0.6


def _is_first_level(letter: str, name: str) -> bool:
    """Return whether a Chinese character is among the frequent ones of its standard."""
    bounds = {
        "gb18030": ("gb2312", 0xB0, 0xD7),
        "big5": ("big5", 0xA4, 0xC6),
        "shift_jis": ("euc-jp", 0xB0, 0xCF),
        "euc-jp": ("euc-jp", 0xB0, 0xCF),
    }
    if name not in bounds:
        return False
    table, low, high = bounds[name]
    try:
        return low <= letter.encode(table)[0] <= high
    except UnicodeError:
        return False


def _script(letter: str) -> str:
    return unicodedata.name(letter, "").split(" ")[0]


def _first_line(content: bytes, name: str) -> str:
    text = content.decode(name, errors="replace")
    lines: Sequence[str] = text.splitlines()
    foreign = (line for line in lines if not line.removeprefix("\ufeff").isascii())
    line = next(foreign, text)
    at = next((i for i, c in enumerate(line) if c > "\x7f"), 0)
    start = max(0, min(at - 20, len(line) - SHOWN))
    return line[start : start + SHOWN].strip()
