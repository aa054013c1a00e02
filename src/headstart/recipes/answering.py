"""How a run writes where the user says it: length, beams, and what is drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headstart.errors import OptionError

if TYPE_CHECKING:
    from headstart.decoding.writing_options import Writing
    from headstart.recipes.run import Run


def tell_as(run: Run, writing: Writing) -> None:
    """Have a run write as was said.

    Args:
        run: An opened run.
        writing: What was said.

    Raises:
        OptionError: If something is out of range, or the run writes no texts, or cannot draw.
    """
    said = writing.said
    if not said:
        return
    if problems := writing.problems():
        raise OptionError(f"{'; '.join(problems)}. Change these options.")
    if not run.ensemble.task.tells_texts:
        raise OptionError(
            f"{', '.join(said)} {'are' if len(said) > 1 else 'is'} for runs that write texts, and "
            f"{run.path} tells {run.schema.task}; expected none of them. Leave these options out."
        )
    from headstart.model.telling import writer_of

    for member in run.ensemble.members:
        model = member.model
        if writing.temperature is not None and not writer_of(model).hands_on_tokens:
            raise OptionError(
                f"temperature draws tokens, and {run.path} writes by an encoder and a decoder, "
                "whose answers are searched for; expected num_beams. Leave --temperature out."
            )
        model.telling = writing.applied(model.telling)
