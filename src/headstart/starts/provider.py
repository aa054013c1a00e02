"""A provider of starts: one object says what there is, and makes encoders of it.

``providers.PROVIDERS`` is the table; a new kind of start is one such object and one row there.
Describing starts imports no torch, building them does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, ClassVar, Literal

from headstart.errors import StartError
from headstart.starts.addresses import Address
from headstart.starts.architecture import Architecture
from headstart.types import Framing, Start

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor, nn

    from headstart.preprocessing import Preprocess, TablePreprocess
    from headstart.preprocessing.known_words import KnownWords
    from headstart.starts.encoder import Encoder

PoolingChoice = Literal["auto", "native", "mean"]


@dataclass(frozen=True)
class BuildRequest:
    """What the data and the user ask of an encoder; a start reads what concerns it.

    Attributes:
        image_size: Height and width of the images, in pixels; None if not known.
        image_channels: 1 for grey images, otherwise 3; None if not known.
        size: Side of the network input, in pixels; None for the start's own, or for random weights
            the data's.
        channels: Channels of the stem. None keeps a pretrained stem (grey images are repeated) and
            gives random weights the channels of the data. 1 sums a pretrained stem.
        drop_path: Rate of stochastic depth of an image network, in [0, 1).
        texts: Those of train: vocabularies and terms are learned from them, and the length.
        preprocess: What turns texts into inputs, as ``learn_preprocess`` or an encoder of the same
            start has it: nothing is learned or loaded again. None learns from the texts, or loads.
        column: Column of the data that holds the images or texts, or None.
        second_column: Of pairs of texts that of the second ones, or None.
        max_length: Tokens a text keeps at most. None takes the length that 99 % of the texts do
            not exceed (of 10,000 spread over them, fewer where they are long), rounded up to a
            multiple of 8, at least 16 and at most 256 or what the encoder can take.
        dropout: Every dropout rate of a text network; None keeps the start's own.
        pooling: How the features of a text come about: ``native``, what the architecture's own
            classification head feeds its last layer, which can be exported exactly; ``mean``, the
            average of the last hidden states, the better frozen features of sentence encoders;
            ``auto``, ``native``, or for a run as a start the run's own.
        table: The preprocessing of a table, fitted on train.
        tells_words: Whether something is told of each word of a text.
        tells_texts: Whether a text is told of each, by writing it.
        finds_texts: Whether pairs are questions, whose answers stand in the second texts.
        class_names: Those of the data, which a start that knows texts may know.
        matches_texts: Whether images and texts are to find one another.
        wanted: Of texts that are told those of train, for a vocabulary of both sides; of images
            with captions the captions.
        languages: Those of texts and of targets, of a start that is told them by tokens.
        num_outputs: Logits of a sample, for a start that gives these itself.
        known_words: Learns the dictionary of train, for a start that is one.
        seed: Seeds random weights.
        framing: What becomes of images that are no squares.
        value_range: Values of images of more than 8 bits that become black and white; None for
            those of the format.
    """

    image_size: tuple[int, int] | None = None
    image_channels: int | None = None
    size: int | None = None
    channels: int | None = None
    drop_path: float = 0.0
    texts: Sequence[str] = ()
    preprocess: Preprocess | None = None
    column: str | None = None
    second_column: str | None = None
    max_length: int | None = None
    dropout: float | None = None
    pooling: PoolingChoice = "auto"
    table: TablePreprocess | None = None
    tells_words: bool = False
    tells_texts: bool = False
    finds_texts: bool = False
    class_names: Sequence[str] = ()
    matches_texts: bool = False
    wanted: Sequence[str] = ()
    languages: str | None = None
    num_outputs: int = 1
    known_words: Callable[[], KnownWords] | None = None
    seed: int = 0
    framing: Framing = "crop"
    value_range: tuple[float, float] | None = None


@dataclass(frozen=True)
class FormerRun:
    """A run that is a start: what its encoder is, where it lies, and how its weights are read."""

    architecture: Architecture
    path: Path
    read_tensors: Callable[[], dict[str, Tensor]]


class Provider:
    """Where starts come from.

    Attributes:
        modality: What its starts read.
        prefixes: Beginnings of addresses that are asked of it before those without any.
        builders: Names of its network builders, as architectures write them.
    """

    modality: ClassVar[str]
    prefixes: ClassVar[tuple[str, ...]] = ()
    builders: ClassVar[tuple[str, ...]] = ()

    def owns(self, address: Address) -> bool:
        """Return whether an address names one of its starts."""
        raise NotImplementedError

    def addresses(self, text: str) -> Sequence[str]:
        """Return addresses that a mistyped one may have meant."""
        del text
        return ()

    def list(self, like: str | None) -> Iterator[Start]:
        """Yield its starts that fit; None yields a curated choice."""
        del like
        yield from ()

    def list_local(self) -> Iterator[Start]:
        """Yield its curated pretrained starts that are on this machine."""
        for start in self.list(None):
            if start.is_local and start.pretrained_on is not None:
                yield start

    def find(self, address: Address) -> Start:
        """Return the start of an address that it owns.

        Raises:
            StartError: If there is none, or it cannot be one.
        """
        raise NotImplementedError

    def require(self, address: Address) -> None:
        """Refuse a start whose packages are not installed, before anything is read for it.

        Raises:
            PackageMissing: Saying how to install them.
        """
        del address

    def build(
        self, start: Start, address: Address, request: BuildRequest, former: FormerRun | None
    ) -> Encoder:
        """Build the encoder of a start, with its weights, in train mode.

        Args:
            start: One of its own, or a run that was made from one.
            address: Of the start.
            request: What the data and the user ask for.
            former: The run that is the start; None where it is none.

        Raises:
            StartError: If the weights are not to be had or do not fit what is asked for.
        """
        raise NotImplementedError

    def network_builder(self, builder: str) -> Callable[..., nn.Module]:
        """Return the function that builds a network by options, with random weights."""
        raise NotImplementedError

    def num_features(self, network: nn.Module) -> int | None:
        """Return how many features a network says that it gives; None where a pass measures it."""
        stated = getattr(network, "num_features", None)
        return stated if isinstance(stated, int) else None

    def learns_from_texts(self, start: Start) -> bool:
        """Return whether a start learns its vocabulary or terms from the texts of train."""
        del start
        return False

    def learn_preprocess(self, start: Start, texts: Sequence[str]) -> Preprocess:
        """Learn what turns texts into the inputs of a start that brings nothing: the slow part.

        Raises:
            StartError: If there is nothing to learn in the texts.
        """
        raise StartError(f"'{start.address}' learns nothing from texts. Build it as it is.")

    def check_preprocess(self, architecture: Architecture, preprocess: Preprocess) -> None:
        """Refuse a preprocessing that its network cannot take.

        Args:
            architecture: What the network is.
            preprocess: Read from where the encoder was saved.

        Raises:
            StartError: Saying what does not fit.
        """
        del architecture, preprocess


def matches(address: str, like: str | None) -> bool:
    """Return whether an address, or its name after the slash, fits a glob or contains a text."""
    if like is None:
        return True
    if any(sign in like for sign in "*?["):
        name = address.partition("/")[2]
        return any(fnmatchcase(text, like) for text in (address, name, name.partition(".")[0]))
    return like in address
