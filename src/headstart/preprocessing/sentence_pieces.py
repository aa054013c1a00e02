"""Fast tokenizers of what transformers has in Python alone: Marian's (OPUS-MT) and M2M100's.

Both are SentencePiece files beside a table of ids that is ordered otherwise. transformers' own
converter makes a fast tokenizer of a SentencePiece model; here the model's pieces are put into the
table's order first. Marian reads by one model and writes by another, over one table: a piece of
the other side stands in the vocabulary under a name that no text holds, so that it is never chosen
and still decoded. Left out: pieces that the table does not hold, which transformers reads as
unknown; here a text's next best pieces stand for them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from headstart.errors import StartError, first_line
from headstart.extras import install_command, quiet_transformers
from headstart.preprocessing.json_records import read_json
from headstart.preprocessing.languages import is_language
from headstart.preprocessing.tokenizer_files import CONFIG_NAME, TOKENIZER_NAME
from headstart.preprocessing.tokens import GENERAL_CLASS, NO_LIMIT, TextTokenizer

_READ, _TOLD, _SHARED = "source.spm", "target.spm", "sentencepiece.bpe.model"
_TABLE = "vocab.json"
_HIDDEN = "\ue000"  # of private use: stands before a piece that this side does not know
_PENALTY = 10.0  # SentencePiece's, of what is unknown
_UNUSED = 5  # SentencePiece's type of a piece that is never chosen
_SPECIAL = ("<s>", "<pad>", "</s>", "<unk>")


def convert_pieces(folder: Path, origin: str) -> tuple[TextTokenizer, TextTokenizer | None] | None:
    """Return the tokenizers of a folder that holds SentencePiece files and a table of ids.

    Args:
        folder: Of transformers.
        origin: Names the start in a refusal.

    Returns:
        That of texts and that of targets, without a limit of ours; None for the second where both
        are one. None where the folder holds a fast tokenizer, or something else.

    Raises:
        StartError: If a file is damaged or missing, or a package is.
    """
    if (folder / TOKENIZER_NAME).exists() or not (folder / _TABLE).exists():
        return None
    config = read_json(folder / CONFIG_NAME) if (folder / CONFIG_NAME).exists() else {}
    if (folder / _SHARED).exists():
        return _side(folder, _SHARED, _m2m_languages(config), config, origin), None
    if not ((folder / _READ).exists() and (folder / _TOLD).exists()):
        return None
    if config.get("separate_vocabs"):
        raise StartError(
            f"'{origin}' has a table of ids for either side (separate_vocabs). Expected one of "
            "both, as nearly all Marian models have. Choose another start."
        )
    return _side(folder, _READ, (), config, origin), _side(folder, _TOLD, (), config, origin)


def _m2m_languages(config: Mapping[str, Any]) -> Sequence[str]:
    """Return the tokens of languages that transformers puts behind M2M100's table."""
    from transformers.models.m2m_100.tokenization_m2m_100 import FAIRSEQ_LANGUAGE_CODES

    codes: Mapping[str, Sequence[str]] = FAIRSEQ_LANGUAGE_CODES
    found = codes.get(str(config.get("language_codes", "m2m100")), codes["m2m100"])
    return [f"__{code}__" for code in found]


def _side(
    folder: Path, name: str, languages: Sequence[str], config: Mapping[str, Any], origin: str
) -> TextTokenizer:
    """Return the tokenizer of one SentencePiece file."""
    from tokenizers import AddedToken, decoders, processors

    ids = _read_table(folder / _TABLE, origin)
    backend = _backend(folder / name, ids, origin)
    codes = [token for token in ids if is_language(token)]
    names = [*(token for token in _SPECIAL if token in ids), *codes, *languages]
    backend.add_special_tokens([AddedToken(t, normalized=False, special=True) for t in names])
    # a text of M2M100 begins with its language; which one it is may be changed later
    first = f"{languages[0]} " if languages else ""
    told = ("</s>", *languages[:1])
    backend.post_processor = processors.TemplateProcessing(
        single=f"{first}$A </s>", special_tokens=[(t, backend.token_to_id(t)) for t in told]
    )
    backend.decoder = decoders.Sequence([decoders.Replace(_HIDDEN, ""), backend.decoder])
    kept = {
        "tokenizer_class": GENERAL_CLASS,
        "clean_up_tokenization_spaces": False,
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "pad_token": "<pad>",
    }
    if isinstance(limit := config.get("model_max_length"), int):
        kept["model_max_length"] = limit
    files = {
        TOKENIZER_NAME: backend.to_str().encode(),
        CONFIG_NAME: json.dumps(kept).encode(),
    }
    return TextTokenizer(files, NO_LIMIT, origin)


def _read_table(path: Path, origin: str) -> dict[str, int]:
    """Return the id of each piece, rising."""
    record = read_json(path)
    found = {k: v for k, v in record.items() if type(v) is int}
    if sorted(found.values()) != list(range(len(record))) or not {"</s>", "<unk>"} <= found.keys():
        raise StartError(
            f"'{path}' is no table of ids for '{origin}'. Expected every piece with its own number "
            "from 0 on, '</s>' and '<unk>' among them. Restore the file."
        )
    return dict(sorted(found.items(), key=lambda item: item[1]))


def _backend(path: Path, ids: Mapping[str, int], origin: str) -> Any:
    """Return the fast tokenizer of a SentencePiece model whose ids are those of a table."""
    from transformers.convert_slow_tokenizer import SpmConverter, import_protobuf

    try:
        with quiet_transformers():
            model = import_protobuf().ModelProto()
            model.ParseFromString(path.read_bytes())
            ordered = _in_order(model, ids)
            pairs = [(piece.piece, piece.score) for piece in ordered.pieces]
            of_table = {name: place for place, (name, _) in enumerate(pairs)}
            vocabulary = pairs if model.trainer_spec.model_type == 1 else of_table
            backend = SpmConverter.build_tokenizer_from_spm_proto(ordered, vocabulary)
    except Exception as error:
        # protobuf, its readers and the converter fail in every way Python knows.
        raise StartError(
            f"'{path}' cannot be read ({first_line(error)}). Expected the SentencePiece model of "
            f"'{origin}' (reading one may need {install_command('sentencepiece', 'protobuf')})."
        ) from error
    return backend


def _in_order(model: Any, ids: Mapping[str, int]) -> Any:
    """Return a SentencePiece model whose pieces stand where a table says."""
    own = {piece.piece: piece for piece in model.pieces}
    least = min((piece.score for piece in model.pieces), default=0.0) - _PENALTY
    ordered = type(model)()
    ordered.CopyFrom(model)
    del ordered.pieces[:]
    for name in ids:
        piece = ordered.pieces.add()
        if name in own:
            piece.CopyFrom(own[name])
            continue
        # SentencePiece gives an unknown character as it stands, and the table may know it
        is_told = len(name) == 1 or name in _SPECIAL or is_language(name)
        piece.piece = name if is_told else _HIDDEN + name
        piece.score, piece.type = least, _UNUSED
    ordered.trainer_spec.unk_id = ids["<unk>"]
    ordered.trainer_spec.unk_piece = "<unk>"
    return ordered
