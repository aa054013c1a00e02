"""Tokens: texts to ids with the fast tokenizers.

Only the Rust library ``tokenizers`` runs here. Texts are encoded whole and cut by us, so that the
full length of every text is known and truncation can be counted; padding is the batch's business.
A tokenizer travels as ``tokenizer.json`` and the small JSON files that transformers wants beside
it. Left out: Python-only tokenizers, which would need code to come along.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from headstart.errors import StartError
from headstart.extras import require_text_extra
from headstart.preprocessing.pair_frame import PairFrame, find_frame, find_pad_id, find_pair_frame
from headstart.preprocessing.text_pieces import batches_of, pieces_of
from headstart.preprocessing.tokenizer_files import (
    CONFIG_NAME,
    FILE_NAMES,
    TEMPLATE_NAME,
    TOKENIZER_NAME,
    read_backend,
    read_config,
)
from headstart.preprocessing.unread import Unread, continuing_letters, measure

if TYPE_CHECKING:
    pass

GENERAL_CLASS = "PreTrainedTokenizerFast"  # of transformers: reads tokenizer.json as it stands
_OF_LANGUAGES = ("src_lang", "tgt_lang", "source_lang", "target_lang", "language_codes")
NO_LIMIT = 1 << 30
LOCATED_AT_ONCE = 1_000  # texts whose tokens are located at once


class TextTokenizer:
    """A fast tokenizer that cuts at a length and tells how long the text was.

    Args:
        files: ``tokenizer.json``, ``tokenizer_config.json`` and what else transformers wrote.
        max_length: Tokens a text keeps at most, special ones included.
        origin: Names the start in a refusal.

    Attributes:
        max_length: See above.
        origin: See above.

    Raises:
        StartError: If a file is missing or damaged, there is no padding token, or the special
            tokens do not simply stand before and after the text.
    """

    def __init__(self, files: Mapping[str, bytes], max_length: int, origin: str) -> None:
        require_text_extra(f"'{origin}'", "tokenizers")
        self._backend = read_backend(files, origin)
        self._config = read_config(files, origin)
        self._others = {n: files[n] for n in FILE_NAMES[2:] if n in files}
        self.origin = origin
        self._pad_id = find_pad_id(self._backend, self._config, origin)
        self._prefix, self._suffix = find_frame(self._backend, origin)
        least = len(self._prefix) + len(self._suffix) + 1
        if max_length < least:
            raise StartError(
                f"max_length {max_length} leaves no room for text in '{origin}', whose special "
                f"tokens alone are {least - 1}. Expected at least {least}. Choose a larger one."
            )
        self.max_length = max_length

    def encode(self, texts: Sequence[str]) -> tuple[list[np.ndarray], np.ndarray]:
        """Return token ids and the full lengths of texts.

        A text of more than 50,000 characters is encoded in pieces cut at blanks, so its ids and
        its length are exact but for the words at those cuts.

        Args:
            texts: Any texts, empty ones too.

        Returns:
            Ids of each text, int32, at most ``max_length``, special tokens at both ends; and the
            lengths that the texts have uncut, int64, shape (N,).
        """
        num_special = len(self._prefix) + len(self._suffix)
        bodies, lengths = self.bodies(texts, self.max_length - num_special)
        ids = [np.array([*self._prefix, *body, *self._suffix], dtype=np.int32) for body in bodies]
        return ids, lengths + num_special

    def bodies(self, texts: Sequence[str], most: int) -> tuple[list[list[int]], np.ndarray]:
        """Return token ids of texts without special tokens, and how many they have uncut.

        Args:
            texts: Any texts, empty ones too.
            most: Ids that are kept of each.
        """
        bodies: list[list[int]] = [[] for _ in texts]
        lengths = np.zeros(len(texts), dtype=np.int64)
        for owners, pieces in batches_of(texts):
            encodings = self._backend.encode_batch_fast(pieces, add_special_tokens=False)
            for owner, encoding in zip(owners, encodings, strict=True):
                lengths[owner] += len(encoding)
                body = bodies[owner]
                if len(body) < most:
                    body += encoding.ids[: most - len(body)]
        return bodies, lengths

    @cached_property
    def pair_frame(self) -> PairFrame:
        """Special tokens around two texts.

        Raises:
            StartError: If it puts none between them.
        """
        return find_pair_frame(self._backend, self.origin)

    def encode_plain(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Return the ids of texts, int32: whole, and as they are written, special tokens, too."""
        bodies: list[list[int]] = [[] for _ in texts]
        for owners, pieces in batches_of(texts):
            encodings = self._backend.encode_batch_fast(pieces, add_special_tokens=False)
            for owner, encoding in zip(owners, encodings, strict=True):
                bodies[owner] += encoding.ids
        return [np.array(body, dtype=np.int32) for body in bodies]

    def encode_located(self, texts: Sequence[str]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the ids of each text, uncut, and where each token ends.

        Args:
            texts: Any texts.

        Yields:
            Ids, int32, shape (T,), special tokens at both ends; and of the tokens between these
            the character after their last, int64.
        """
        for start in range(0, len(texts), LOCATED_AT_ONCE):
            lot = list(texts[start : start + LOCATED_AT_ONCE])
            for encoding in self._backend.encode_batch(lot, add_special_tokens=False):
                ids = [*self._prefix, *encoding.ids, *self._suffix]
                ends = np.array([end for _, end in encoding.offsets], np.int64)
                yield np.array(ids, np.int32), ends

    def encode_spans(
        self, texts: Sequence[str]
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Yield the ids of each text, whole and without special tokens, and where they stand.

        Args:
            texts: Any texts.

        Yields:
            Ids, int32, shape (T,); the first character of each token, and the one after its last,
            int64, both rising.
        """
        for start in range(0, len(texts), LOCATED_AT_ONCE):
            lot = list(texts[start : start + LOCATED_AT_ONCE])
            for encoding in self._backend.encode_batch(lot, add_special_tokens=False):
                spans = np.array(encoding.offsets, np.int64).reshape(-1, 2)
                first, last = np.maximum.accumulate(spans).T if len(spans) else spans.T
                yield np.array(encoding.ids, np.int32), first, last

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Return where each token that ``encode`` keeps of a text begins and ends in it.

        Special tokens stand nowhere: both ends are 0.
        """
        room = self.max_length - len(self._prefix) - len(self._suffix)
        body: list[tuple[int, int]] = []
        begin = 0
        for piece in pieces_of(text):
            found = self._backend.encode(piece, add_special_tokens=False).offsets
            body += [(begin + start, begin + end) for start, end in found]
            begin += len(piece)
            if len(body) >= room:
                break
        nowhere = (0, 0)
        return [nowhere] * len(self._prefix) + body[:room] + [nowhere] * len(self._suffix)

    def encode_bodies(
        self, pieces: Sequence[str], segment: Callable[[str], np.ndarray] | None = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the ids of each piece of text without special tokens, and which begin a word.

        Args:
            pieces: Texts of bounded length.
            segment: A text to the places at which its words begin, rising; None takes the words
                that the tokenizer itself splits at.

        Yields:
            Ids, int32, shape (T,), and 1 where a token is the first of a word, uint8, shape (T,).
        """
        encodings = self._backend.encode_batch(pieces, add_special_tokens=False)
        for piece, encoding in zip(pieces, encodings, strict=True):
            ids = np.array(encoding.ids, np.int32)
            if segment is None:
                # a token of no word stands alone
                alone = range(-len(ids), 0)
                words = [
                    a if w is None else w for w, a in zip(encoding.word_ids, alone, strict=True)
                ]
                word = np.array(words, np.int64)
            else:
                starts = np.array([start for start, _ in encoding.offsets], np.int64)
                word = np.searchsorted(segment(piece), starts, side="right")
            yield ids, (np.diff(word, prepend=-(1 << 40)) != 0).astype(np.uint8)

    @property
    def frame(self) -> tuple[list[int], list[int]]:
        """Ids that stand before every text, and those behind it."""
        return list(self._prefix), list(self._suffix)

    @property
    def mask_id(self) -> int | None:
        """Id that hides a token; None where there is none."""
        return self._id_of("mask_token")

    @property
    def end_id(self) -> int | None:
        """Id that ends a document of a decoder; None where there is none."""
        return self._id_of("eos_token")

    @property
    def chat_template(self) -> str | None:
        """How it writes conversations, in Jinja; None where it does not say."""
        if TEMPLATE_NAME in self._others:
            return self._others[TEMPLATE_NAME].decode()
        found = self._config.get("chat_template")
        return found if isinstance(found, str) else None

    @property
    def special_tokens(self) -> dict[str, str]:
        """Special tokens by the names of their roles, such as ``eos_token``."""
        roles = {n: v for n, v in self._config.items() if n.endswith("_token")}
        told = {n: v.get("content") if isinstance(v, dict) else v for n, v in roles.items()}
        return {name: token for name, token in told.items() if isinstance(token, str)}

    def _id_of(self, role: str) -> int | None:
        token = self._config.get(role)
        token = token.get("content") if isinstance(token, dict) else token
        return self._backend.token_to_id(token) if isinstance(token, str) else None

    @property
    def special_ids(self) -> list[int]:
        """Ids of special tokens, rising: they stand for no text."""
        added = self._backend.get_added_tokens_decoder()
        return sorted(int(place) for place, token in added.items() if token.special)

    @property
    def added_tokens(self) -> dict[str, int]:
        """Ids of special tokens by their content, rising."""
        added = self._backend.get_added_tokens_decoder()
        return {token.content: int(i) for i, token in sorted(added.items()) if token.special}

    @property
    def has_decoder(self) -> bool:
        """Whether ``decode`` knows how tokens are put together to words."""
        return self._backend.decoder is not None

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids, special tokens included."""
        return str(self._backend.decode(list(map(int, ids)), skip_special_tokens=False))

    def token(self, place: int) -> str:
        """Return what the vocabulary calls an id."""
        return str(self._backend.id_to_token(int(place)))

    @property
    def pad_id(self) -> int:
        """Id that fills short texts up."""
        return self._pad_id

    @property
    def unknown_id(self) -> int | None:
        """Id that stands for what the vocabulary does not hold; None where it holds all bytes."""
        token = self._config.get("unk_token") or getattr(self._backend.model, "unk_token", None)
        token = token.get("content") if isinstance(token, dict) else token
        return self._backend.token_to_id(token) if isinstance(token, str) else None

    @cached_property
    def _letters(self) -> np.ndarray:
        return continuing_letters(self._backend.get_vocab())

    def unread(self, parts: Sequence[np.ndarray], names: Sequence[str]) -> Unread:
        """Return what of some texts it does not know.

        Args:
            parts: Ids of each text, as ``encode`` gave them.
            names: What to call each.
        """
        special = len(self._prefix) + len(self._suffix)
        return measure(parts, names, self.unknown_id, self._letters, special)

    @property
    def vocab_size(self) -> int:
        """Number of ids, added tokens included."""
        return int(self._backend.get_vocab_size())

    @property
    def own_limit(self) -> int:
        """Longest input that the tokenizer's own configuration names; ``NO_LIMIT`` if none."""
        limit = self._config.get("model_max_length")
        return (
            min(int(limit), NO_LIMIT) if isinstance(limit, int | float) and limit > 0 else NO_LIMIT
        )

    def with_max_length(self, max_length: int) -> TextTokenizer:
        """Return the same tokenizer that cuts at another length.

        Raises:
            StartError: If there is no room for text.
        """
        if max_length == self.max_length:
            return self
        return TextTokenizer(self.files(), max_length, self.origin)

    def framed(self, before: Sequence[int], behind: Sequence[int]) -> TextTokenizer:
        """Return the same tokenizer that puts other ids around a text.

        Args:
            before: Ids of special tokens before every text.
            behind: Those behind it.
        """
        from tokenizers import Tokenizer
        from tokenizers.processors import TemplateProcessing

        sides = [[(self.token(i), i) for i in side] for side in (before, behind)]
        backend = Tokenizer.from_str(self._backend.to_str())
        backend.post_processor = TemplateProcessing(
            single=[*(t for t, _ in sides[0]), "$A", *(t for t, _ in sides[1])],
            special_tokens=list(dict.fromkeys([*sides[0], *sides[1]])),
        )
        # classes of one family would put their own frame around a text again when they are loaded
        own = {k: v for k, v in self._config.items() if k not in _OF_LANGUAGES}
        config = {**own, "tokenizer_class": GENERAL_CLASS}
        files = {
            **self.files(),
            TOKENIZER_NAME: backend.to_str(pretty=False).encode(),
            CONFIG_NAME: json.dumps(config).encode(),
        }
        return TextTokenizer(files, self.max_length, self.origin)

    def files(self) -> dict[str, bytes]:
        """Return the files that rebuild it, by name; ``max_length`` is not in them."""
        return {
            TOKENIZER_NAME: self._backend.to_str(pretty=False).encode(),
            CONFIG_NAME: json.dumps(self._config, indent=2, ensure_ascii=False).encode(),
            **self._others,
        }


def read_tokenizer(
    folder: Path, max_length: int, origin: str, *, prefix: str = ""
) -> TextTokenizer:
    """Read a tokenizer that ``files`` gave, from the folder it was written into.

    Args:
        folder: Usually a run folder.
        max_length: Tokens a text keeps at most.
        origin: Names the start in a refusal.
        prefix: Before the names of its files.

    Raises:
        StartError: If a file is missing or damaged.
    """
    files = {}
    for name in FILE_NAMES:
        try:
            files[name] = (folder / f"{prefix}{name}").read_bytes()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise StartError(
                f"'{folder / name}' cannot be read ({error.strerror}). Expected the tokenizer of "
                f"'{origin}'. Check its permissions."
            ) from error
    if not {TOKENIZER_NAME, CONFIG_NAME} <= files.keys():
        missing = prefix + next(n for n in (TOKENIZER_NAME, CONFIG_NAME) if n not in files)
        raise StartError(
            f"'{folder}' holds no {missing}. Expected the tokenizer of '{origin}' beside its "
            f"weights. Restore the file, or train again."
        )
    return TextTokenizer(files, max_length, origin)
