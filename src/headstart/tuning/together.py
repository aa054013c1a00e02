"""An ensemble at the end of a fit: calibrated on val, saved, and heard on test once.

What ``conclude`` needs beside the best single model. Which models belong together is chosen before
(``searching.ensembling``), on val alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from headstart.errors import OptionError
from headstart.model import Ensemble, write_ensemble
from headstart.storage.records import READING_FILES
from headstart.storage.run_folder import RunFolder
from headstart.tuning.calibrating import temperature_of
from headstart.types import Dataset, Inputs, Rows

# of a single model that the folder held before: nothing reads them beside members
_FORMER = ("model.safetensors", *READING_FILES)


@dataclass(frozen=True)
class Together:
    """Models that are served together, with what they have said and are to be asked.

    Attributes:
        ensemble: Its first member is the best single model.
        val_logits: Each member's own, M rows, of the same val items.
        test: The items of the test split, as each member takes them.

    Raises:
        OptionError: If there are not as many of each as members.
    """

    ensemble: Ensemble
    val_logits: Sequence[Rows]
    test: Sequence[Inputs]

    def __post_init__(self) -> None:
        """Check the numbers."""
        counts = len(self.ensemble.members), len(self.val_logits), len(self.test)
        if len(set(counts)) > 1 or len({len(logits) for logits in self.val_logits}) > 1:
            raise OptionError(
                f"There are {counts[0]} members, {counts[1]} logits of val and {counts[2]} inputs "
                f"of test; expected one each, of the same items."
            )

    def calibrate(self, val_targets: Rows) -> Rows:
        """Set the temperature of every member, then that of their mean; return its val logits.

        Args:
            val_targets: M rows.
        """
        ensemble = self.ensemble
        for one, logits in zip(ensemble.members, self.val_logits, strict=True):
            one.model.temperature = temperature_of(one.model.task, logits, val_targets)
        found = ensemble.combine(self.val_logits)
        ensemble.temperature = temperature_of(ensemble.task, found, val_targets)
        return found


def save_ensemble(folder: RunFolder, dataset: Dataset, ensemble: Ensemble) -> None:
    """Write an ensemble in place of what the folder serves; it can be used from now on."""
    about = {"strategy": ensemble.members[0].strategy, "data_name": dataset.name}
    write_ensemble(ensemble, folder.write, about)
    folder.remove(*(_FORMER if not ensemble.is_one else ("members",)))
