"""Make a small instruction set of the project's own pages: headings ask, paragraphs answer.

    python benchmarks/own_docs.py /tmp/own-docs.jsonl

A row is a chat of one question and one answer. The question is a page's title with the heading of a
section ("Tags for the words of a text: what is read?"), the answer the section's first paragraph of
prose, its marks of emphasis and links taken off. Sections without prose, and paragraphs of fewer
than forty characters or more than six hundred, are left out. The column ``page`` keeps the sections
of a page on one side of the split (``--group page``).
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator
from pathlib import Path

DOCS = Path(__file__).parent.parent / "docs"
LEAST, MOST = 40, 600
_LINK, _MARKS = re.compile(r"\[([^\]]*)\]\([^)]*\)"), re.compile(r"[*_`]+")
_NO_PROSE = ("|", "```", "    ", "- ", "* ", "1. ", "<", ">", "!")


def plain(text: str) -> str:
    """Return prose without links and marks, on one line."""
    return " ".join(_MARKS.sub("", _LINK.sub(r"\1", text)).split())


def sections(path: Path) -> Iterator[tuple[str, str, str]]:
    """Yield the title of a page, a heading, and the first paragraph of prose below it."""
    title = heading = ""
    is_code = has_answer = False
    lines: list[str] = []
    for line in [*path.read_text(encoding="utf-8").splitlines(), "#"]:
        if line.startswith("```"):
            is_code, lines = not is_code, []
            continue
        is_end = not line.strip() or line.startswith("#")
        if is_end and lines and not has_answer:
            answer = plain(" ".join(lines))
            if LEAST <= len(answer) <= MOST:
                yield title, heading, answer
                has_answer = True
        if is_end or is_code or line.startswith(_NO_PROSE):
            lines = []
        else:
            lines.append(line)
        if line.startswith("# ") and not is_code:
            title, heading, has_answer = plain(line[2:]), "", False
        elif line.startswith("##") and not is_code:
            heading, has_answer = plain(line.lstrip("# ")), False


def chats(folder: Path) -> list[dict[str, object]]:
    """Return a chat for each section of the pages in a folder."""
    found: list[dict[str, object]] = []
    for path in sorted(folder.glob("*.md")):
        for title, heading, answer in sections(path):
            asked = f"headstart, {title}: {heading}?" if heading else f"headstart, {title}?"
            turns = [
                {"role": "user", "content": asked},
                {"role": "assistant", "content": answer},
            ]
            found.append({"messages": turns, "page": path.stem})
    return found


def main() -> None:
    """Write the set."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--docs", type=Path, default=DOCS)
    given = parser.parse_args()
    rows = chats(given.docs)
    given.out.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    pages = len({row["page"] for row in rows})
    print(f"{len(rows)} questions of {pages} pages: {given.out}")


if __name__ == "__main__":
    main()
