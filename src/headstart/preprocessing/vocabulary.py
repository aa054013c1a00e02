"""Where a vocabulary comes from: learned from texts, or read as transformers itself reads it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from headstart.errors import StartError, first_line
from headstart.extras import install_command, quiet_transformers, require_text_extra
from headstart.preprocessing.tokenizer_files import CONFIG_NAME, FILE_NAMES, TOKENIZER_NAME
from headstart.preprocessing.tokens import NO_LIMIT, TextTokenizer

if TYPE_CHECKING:
    import tokenizers

VOCABULARIES = (TOKENIZER_NAME, "vocab.txt", "vocab.json", "*.model")
# How it was loaded, which says nothing of what it does.
_PASSING_KEYS = ("is_local", "local_files_only", "name_or_path", "_commit_hash")
VOCAB_SIZE = 8192
LARGE_VOCAB_SIZE = 30_000  # above 100 MB of text
_LARGE_CHARACTERS = 100_000_000
_CHARACTERS_A_TOKEN = 200  # of a corpus: each token then occurs about fifty times
LEAST_VOCAB_SIZE = 512
MAX_ALPHABET = 6000  # characters of a trained vocabulary: enough for Chinese
PAD, UNKNOWN, FIRST, LAST, MASK = "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"
END = "<|endoftext|>"  # stands before and behind each document that a decoder reads


def supported_size(num_characters: int) -> int:
    """Return how many tokens a corpus has enough text to learn.

    Args:
        num_characters: Of the corpus.

    Source: science.md E.3: 8k, 30k only above 100 MB. Less below 1.6 million characters is our own
    rule: each token should occur about fifty times.

    Example:
        >>> supported_size(700_000), supported_size(7_000_000), supported_size(300_000_000)
        (3500, 8192, 30000)
    """
    if num_characters >= _LARGE_CHARACTERS:
        return LARGE_VOCAB_SIZE
    return min(VOCAB_SIZE, max(LEAST_VOCAB_SIZE, num_characters // _CHARACTERS_A_TOKEN))


def load_tokenizer(folder: Path, origin: str, *, pads_with_end: bool = False) -> TextTokenizer:
    """Load the tokenizer of a transformers folder, as transformers itself reads it.

    Args:
        folder: Holds the tokenizer's files in any layout that transformers knows.
        origin: Names the start in a refusal.
        pads_with_end: Whether the token that ends a text pads, where none is made for it: of
            decoders, which see nothing of what follows.

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
    if pads_with_end and kept.get("pad_token") is None:
        kept["pad_token"] = kept.get("eos_token")
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
        "pad_token": PAD,
        "unk_token": UNKNOWN,
        "cls_token": FIRST,
        "sep_token": LAST,
        "mask_token": MASK,
    }
    return _as_trained(backend, config, origin)


def train_byte_tokenizer(
    texts: Iterable[str], origin: str, *, vocab_size: int = VOCAB_SIZE
) -> TextTokenizer:
    """Train a vocabulary of pieces of bytes on texts, which writes any text back as it was.

    What a decoder needs: nothing is unknown, and neither case nor blanks are lost. A text begins
    with the token that ends one.

    Args:
        texts: Of the corpus, at most a few million characters.
        origin: Names the start in a refusal.
        vocab_size: Most tokens, above 257; small data gives fewer.

    Source: Radford et al., "Language Models are Unsupervised Multitask Learners", 2019.
    """
    require_text_extra(f"'{origin}'", "tokenizers")
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=2,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=[END],
        show_progress=False,
    )
    backend.train_from_iterator(texts, trainer)
    backend.post_processor = processors.TemplateProcessing(
        single=f"{END} $A", special_tokens=[(END, backend.token_to_id(END))]
    )
    config = {"pad_token": END, "bos_token": END, "eos_token": END}
    return _as_trained(backend, config, origin)


def train_pair_tokenizer(
    texts: Iterable[str], origin: str, *, vocab_size: int = VOCAB_SIZE
) -> TextTokenizer:
    """Train one vocabulary of pieces of bytes on the texts of both sides of pairs.

    As ``train_byte_tokenizer``, but a text ends with a token of its own, and another one pads; a
    word is the same pieces at the beginning of a text as inside it.

    Args:
        texts: Of both sides, at most a few million characters.
        origin: Names the start in a refusal.
        vocab_size: Most tokens, above 258; small data gives fewer.

    Source: R. Sennrich et al., ACL 2016, for one vocabulary of both languages.
    """
    require_text_extra(f"'{origin}'", "tokenizers")
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    from tokenizers import trainers as trained_by

    backend = Tokenizer(models.BPE())
    backend.normalizer = normalizers.NFC()
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    backend.decoder = decoders.ByteLevel()
    trainer = trained_by.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=2,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=[PAD, LAST],
        show_progress=False,
    )
    backend.train_from_iterator(texts, trainer)
    backend.post_processor = processors.TemplateProcessing(
        single=f"$A {LAST}", special_tokens=[(LAST, backend.token_to_id(LAST))]
    )
    return _as_trained(backend, {"pad_token": PAD, "eos_token": LAST}, origin)


def _as_trained(
    backend: tokenizers.Tokenizer, special: Mapping[str, str], origin: str
) -> TextTokenizer:
    """Return a tokenizer that was trained here, as transformers' own files would have it."""
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        **special,
        "model_input_names": ["input_ids", "attention_mask"],
        "clean_up_tokenization_spaces": False,
    }
    files = {
        TOKENIZER_NAME: backend.to_str(pretty=False).encode(),
        CONFIG_NAME: json.dumps(config).encode(),
    }
    return TextTokenizer(files, NO_LIMIT, origin)
