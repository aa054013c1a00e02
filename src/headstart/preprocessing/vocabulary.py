"""Where a vocabulary comes from: learned from texts, or read as transformers itself reads it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from headstart.errors import StartError, first_line
from headstart.extras import install_command, quiet_transformers, require_text_extra
from headstart.preprocessing.tokens import (
    CONFIG_NAME,
    FILE_NAMES,
    NO_LIMIT,
    TOKENIZER_NAME,
    TextTokenizer,
)

VOCABULARIES = (TOKENIZER_NAME, "vocab.txt", "vocab.json", "*.model")
# How it was loaded, which says nothing of what it does.
_PASSING_KEYS = ("is_local", "local_files_only", "name_or_path", "_commit_hash")
VOCAB_SIZE = 8192
MAX_ALPHABET = 6000  # characters of a trained vocabulary: enough for Chinese
PAD, UNKNOWN, FIRST, LAST, MASK = "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"


def load_tokenizer(folder: Path, origin: str) -> TextTokenizer:
    """Load the tokenizer of a transformers folder, as transformers itself reads it.

    Args:
        folder: Holds the tokenizer's files in any layout that transformers knows.
        origin: Names the start in a refusal.

    Returns:
        The tokenizer without a limit of ours.

    Raises:
        StartError: If there is none, it needs code of its own, or only a Python version exists.
    """
    import tempfile

    from transformers import AutoTokenizer

    if not any(any(folder.glob(pattern)) for pattern in VOCABULARIES):
        # transformers would make a tokenizer that knows its special tokens and nothing else
        raise StartError(
            f"'{folder}' holds no tokenizer for '{origin}'. Expected tokenizer.json, or a "
            f"vocabulary ({', '.join(VOCABULARIES[1:])}). Put it beside the weights."
        )
    try:
        with quiet_transformers():
            tokenizer = AutoTokenizer.from_pretrained(
                str(folder), local_files_only=True, trust_remote_code=False
            )
    except Exception as error:
        # Converters fail in every way Python knows: missing files, packages, unknown formats.
        raise StartError(
            f"The tokenizer of '{origin}' in '{folder}' cannot be loaded "
            f"({first_line(error)}). Expected a tokenizer.json, or "
            f"files that transformers makes one of (that may need "
            f"{install_command('sentencepiece', 'protobuf')})."
        ) from error
    if not getattr(tokenizer, "is_fast", False):
        raise StartError(
            f"'{origin}' has only a tokenizer written in Python ({type(tokenizer).__name__}). "
            f"Expected a fast one (tokenizer.json), which travels with the run. Choose another "
            f"start, or convert it with transformers."
        )
    with tempfile.TemporaryDirectory() as scratch, quiet_transformers():
        tokenizer.save_pretrained(scratch)
        files = {n: Path(scratch, n).read_bytes() for n in FILE_NAMES if Path(scratch, n).is_file()}
    config = json.loads(files[CONFIG_NAME])
    kept = {key: value for key, value in config.items() if key not in _PASSING_KEYS}
    return TextTokenizer({**files, CONFIG_NAME: json.dumps(kept).encode()}, NO_LIMIT, origin)


def train_tokenizer(
    texts: Sequence[str], origin: str, *, vocab_size: int = VOCAB_SIZE
) -> TextTokenizer:
    """Train a lower-case BPE vocabulary on texts; the same texts always give the same one.

    Words are split at blanks and punctuation, and every CJK character stands alone, as in BERT.
    BPE rather than WordPiece, because the trainer of the latter numbers its pieces in the order of
    a hash table, which differs from run to run.

    Args:
        texts: Those of train.
        origin: Names the start in a refusal.
        vocab_size: Most tokens; small data gives fewer.

    Returns:
        The tokenizer without a limit.

    Raises:
        StartError: If the texts hold no character that could be learned.
    """
    require_text_extra(f"'{origin}'", "tokenizers")
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

    backend = Tokenizer(models.BPE(unk_token=UNKNOWN))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True, handle_chinese_chars=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = [PAD, UNKNOWN, FIRST, LAST, MASK]
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=2,
        limit_alphabet=min(MAX_ALPHABET, vocab_size // 2 + vocab_size // 4),
        special_tokens=special,
        show_progress=False,
    )
    backend.train_from_iterator(texts, trainer, length=len(texts))
    if backend.get_vocab_size() <= len(special):
        raise StartError(
            f"No tokenizer can be trained for '{origin}': the {len(texts)} texts of train hold no "
            f"characters. Expected texts. Check the text column."
        )
    backend.post_processor = processors.TemplateProcessing(
        single=f"{FIRST} $A {LAST}",
        pair=f"{FIRST} $A {LAST} $B:1 {LAST}:1",
        special_tokens=[(t, backend.token_to_id(t)) for t in (FIRST, LAST)],
    )
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "pad_token": PAD,
        "unk_token": UNKNOWN,
        "cls_token": FIRST,
        "sep_token": LAST,
        "mask_token": MASK,
        "model_input_names": ["input_ids", "attention_mask"],
        "clean_up_tokenization_spaces": False,
    }
    files = {
        TOKENIZER_NAME: backend.to_str(pretty=False).encode(),
        CONFIG_NAME: json.dumps(config).encode(),
    }
    return TextTokenizer(files, NO_LIMIT, origin)
