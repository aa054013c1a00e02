"""The provider of starts for tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, ClassVar

from headstart.errors import StartError, quoted
from headstart.extras import require_extra
from headstart.starts.addresses import Address
from headstart.starts.provider import BuildRequest, FormerRun, Provider, matches
from headstart.types import Family, Start

if TYPE_CHECKING:
    from torch import nn

    from headstart.starts.encoder import Encoder

NAMED: Mapping[str, Family] = {
    "linear": "linear",
    "boosting": "trees",
    "forest": "trees",
    "lightgbm": "trees",
    "mlp": "mlp",
}

EXTRAS = {"lightgbm": "lightgbm"}  # what grows these: the package, and the extra that brings it


class TableProvider(Provider):
    """A linear model, three kinds of trees and an MLP; their sizes follow from the table."""

    modality: ClassVar[str] = "table"
    prefixes: ClassVar[tuple[str, ...]] = ("scratch/",)
    builders: ClassVar[tuple[str, ...]] = ("table-linear", "table-trees", "table-mlp")

    def owns(self, address: Address) -> bool:
        """Return whether it is one of them."""
        return address.kind == "scratch" and address.name in NAMED

    def addresses(self, text: str) -> Sequence[str]:
        """Return all."""
        return [f"scratch/{name}" for name in NAMED]

    def list(self, like: str | None) -> Iterator[Start]:
        """Yield those that fit."""
        for name in NAMED:
            if matches(f"scratch/{name}", like):
                yield _describe(name)

    def find(self, address: Address) -> Start:
        """Return the start of that name."""
        return _describe(address.name)

    def require(self, address: Address) -> None:
        """Refuse trees whose library is missing."""
        if address.name in EXTRAS:
            require_extra(EXTRAS[address.name], f"'{address.text}'", EXTRAS[address.name])

    def build(
        self, start: Start, address: Address, request: BuildRequest, former: FormerRun | None
    ) -> Encoder:
        """Build the encoder for the columns; a run of a table is no start.

        Raises:
            StartError: If the start is a run, there are no columns, or what grows it is missing.
        """
        from headstart.starts.tables.builders import build_table_encoder

        self.require(address)
        if former is not None or request.table is None:
            raise StartError(
                f"'{start.address}' cannot be built for a table: its columns are those of the data "
                f"it was made for. Expected {quoted([f'scratch/{name}' for name in NAMED])}. "
                f"Choose one of them."
            )
        return build_table_encoder(start, request.table, request.num_outputs, seed=request.seed)

    def network_builder(self, builder: str) -> Callable[..., nn.Module]:
        """Return the builder of that name."""
        from headstart.starts.tables.builders import NETWORKS

        return NETWORKS[builder]


def _describe(name: str) -> Start:
    return Start(
        address=f"scratch/{name}",
        family=NAMED[name],
        modality="table",
        num_parameters=0,
        licence="none (random weights)" if name == "mlp" else "none (learned from the data)",
        pretrained_on=None,
        objective=None,
        image=None,
        is_local=name not in EXTRAS or find_spec(EXTRAS[name]) is not None,
    )
