"""Words that mean a split, a fold, or samples without a label, in names of all kinds.

One reading for folders, files, columns and their cells, so that ``dev`` is never a split here and
a class there. ``eval``, ``evaluation`` and ``holdout`` are test, unless another name says test.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

WORDS = {
    "train": ("train", "training", "trn", "trainval", "trainset", "xtrain"),
    "val": ("val", "valid", "validation", "validate", "validating", "dev", "development", "xval"),
    "test": ("test", "testing", "tst", "testset", "xtest"),
}
# Too short to be split words alone: languages have these names too.
SHORT = {"tr": "train", "va": "val", "te": "test"}
# Words of which people mean val by some and test by others; of two, the kept one is test.
KEPT = ("holdout",)
UNSURE = ("eval", "evaluation", "evaluate", "publictest", *KEPT)
SPLIT_OF = {word: split for split, words in WORDS.items() for word in words}
SPLIT_OF |= dict.fromkeys(UNSURE, "test") | {"privatetest": "test"}
PLAIN = frozenset(("train", "training", "val", "valid", "validation", "test", "testing"))
LEARNED = {"learn": "train", "learning": "train"}  # split words beside a test alone
STATES = "final|official|full|raw|clean|cleaned|processed|original|balanced|labeled|labelled"
BEFORE = f"seg|obj|img|imgs|image|images|data|dataset|my|the|for|set|{STATES}"
AFTER = (
    "set|sets|split|data|dataset|image|images|imgs|img|pics|photos|pictures|files|folder|part"
    f"|{STATES}"
)
WORD = "|".join(sorted(SPLIT_OF, key=len, reverse=True))
NAME = re.compile(
    rf"(?:\d+ )?(?:(?:{BEFORE}|split|subset|partition) )*({WORD})"
    rf"(?: ?(?:{AFTER}|samples|subset|jpg|jpeg|png|txt|texts|sub))*(?: ?v?\d+)?"
)
FOLD = re.compile(
    r"(?:(?:cv|k|cross validation) ?)?folds?(?: ?\d+)|(?:cv|split|partition|subset) ?\d+"
)
# fmt: off
UNLABELLED = frozenset(
    (
        "nolabel", "nolabels", "nolabeled", "unlabeled", "unlabelled",
        "notlabeled", "notlabelled", "unsup", "unsupervised", "unannotated",
        "notannotated", "segpred", "topredict", "withoutlabel",
        "withoutlabels", "unassigned", "unknownlabel", "unknownlabels", "labelunknown",
        "missinglabel", "missinglabels", "labelmissing", "tolabel", "tobelabeled",
        "tobelabelled", "toannotate", "noclass", "noclasses", "nocategory", "unsorted", "untagged",
    )
)
# fmt: on
ANY_SPLIT = frozenset(("unassigned", "unsplit", "none", "auto"))


def split_of(name: str) -> str | None:
    """Return ``train``, ``val`` or ``test`` where a name means one; None otherwise.

    Example:
        >>> split_of("val2017"), split_of("seg_train"), split_of("train_station")
        ('val', 'train', None)
    """
    match = NAME.fullmatch(_tidy(name))
    return None if match is None else SPLIT_OF[match[1]]


def split_within(name: str) -> str | None:
    """Return the split that a file's name begins or ends with: ``trainLabels``, ``y_test``."""
    words = _tidy(name).split()
    return split_of(name) or next(
        (SPLIT_OF[word] for word in (words[:1] + words[-1:]) if word in SPLIT_OF), None
    )


def splits_among(names: Iterable[str]) -> dict[str, str]:
    """Return the split of each name that means one; ``eval`` is val where another says test.

    Example:
        >>> splits_among(["TRAIN_SET", "EVAL", "HOLDOUT"])
        {'TRAIN_SET': 'train', 'EVAL': 'val', 'HOLDOUT': 'test'}
    """
    names = list(names)
    found = {name: match[1] for name in names if (match := NAME.fullmatch(_tidy(name)))}
    if len(found) == len(names):
        return _settled(found)
    return _all_alike(names) or (_settled(found) if found else _all_short(names))


def _settled(words: dict[str, str]) -> dict[str, str]:
    """Return the split of each name by its word, what is unsure by the words beside it."""
    found = {name: (SPLIT_OF | LEARNED)[word] for name, word in words.items()}
    unsure = [name for name, word in words.items() if word in UNSURE]
    kept = [name for name in unsure if words[name] in KEPT]
    if any(split == "test" for name, split in found.items() if name not in unsure):
        return found | dict.fromkeys(unsure, "val")
    if kept and len(kept) < len(unsure) and "val" not in found.values():
        return found | {name: "val" for name in unsure if name not in kept}
    return found


def _all_short(names: Iterable[str]) -> dict[str, str]:
    """Return the split of each name where all are short words, of train and test at the least."""
    found = {name: SHORT.get(name.lower(), "") for name in names}
    return found if all(found.values()) and {"train", "test"} <= {*found.values()} else {}


def _all_alike(names: Iterable[str]) -> dict[str, str]:
    """Return the split of each name where they differ in nothing but that, train among them.

    ``cats_train`` and ``cats_test``, ``learn`` and ``test``.
    """
    known, meaning, others = SPLIT_OF | LEARNED, dict[str, str](), set[tuple[str, ...]]()
    for name in names:
        words = _tidy(name).split()
        meant = [word for word in words if word in known]
        if len(meant) != 1:
            return {}
        meaning[name] = meant[0]
        others.add(tuple(word for word in words if word != meant[0]))
    found = _settled(meaning)
    is_split = len(others) == 1 and len(set(found.values())) == len(found) > 1
    return found if is_split and "train" in found.values() else {}


def is_unsure(name: str) -> bool:
    """Return whether a name means val to some people and test to others."""
    match = NAME.fullmatch(_tidy(name))
    return match is not None and match[1] in UNSURE


def is_fold(name: str) -> bool:
    """Return whether a name means one of several folds, such as ``fold1`` or ``cv_fold_3``."""
    return FOLD.fullmatch(_tidy(name)) is not None


def is_unlabelled(name: str) -> bool:
    """Return whether a name says that what is inside has no label.

    Example:
        >>> is_unlabelled("Unlabelled Images"), is_unlabelled("no_label"), is_unlabelled("unknown")
        (True, True, False)
    """
    words = re.sub(r"[^a-z]+", " ", _tidy(name)).strip()
    bare = re.sub(rf"(?: (?:{AFTER}|samples|pool|class|category))+$", "", words)
    return any(each.replace(" ", "") in UNLABELLED for each in (words, bare))


def is_left_open(word: str) -> bool:
    """Return whether a cell of a column of splits leaves the choice to the reader."""
    return word.strip().lower() in ANY_SPLIT


def _tidy(name: str) -> str:
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name.strip())
    words = re.sub(r"[\W_]+", " ", words).strip().lower()
    return (
        re.sub(r"\b(hold|held) ?out\b", "holdout", words)
        .replace("public test", "publictest")
        .replace("private test", "privatetest")
    )
