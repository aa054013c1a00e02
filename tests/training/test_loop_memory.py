"""Memory runs out: the micro-batch halves, the batch and what is learned stay."""

import gc
import weakref

import numpy as np
import pytest
import torch
from tiny_training import Training, short_recipe

from headstart.errors import DeviceError
from headstart.events import listen
from headstart.training.loop import Loop
from headstart.training.state.checkpoint import CheckpointFolder


class Cramped(Training):
    """A training on a device that holds only so many samples."""

    def __init__(self, recipe, holds, *, from_step=0, **options):
        super().__init__(recipe, **options)
        self.holds, self.from_step, self.step = holds, from_step, 0
        self.sizes = []

    def batches(self, step, micro_batch_size=None):
        self.step = step
        return super().batches(step, micro_batch_size)

    def compute_loss(self, batch):
        if len(batch.ids) > self.holds and self.step >= self.from_step:
            self.module(*batch.inputs[:1])  # BatchNorm has moved when memory runs out
            self.run_out()
        self.sizes.append((self.step, len(batch.ids)))
        return super().compute_loss(batch)

    def run_out(self):
        raise torch.OutOfMemoryError("out of memory (as told)")


class CrampedProcessor(Cramped):
    """The same on a processor: PyTorch's allocator and NumPy say it in other words."""

    def run_out(self):
        if self.sizes:
            np.empty(2**60, np.uint8)
        torch.empty(2**60, dtype=torch.uint8)


def test_the_words_of_the_processors_allocators_halve_the_micro_batch_too():
    cramped = CrampedProcessor(short_recipe(), holds=4)
    result = cramped.run()
    assert result.state.micro_batch_size == 4
    cramped = CrampedProcessor(short_recipe(micro_batch_size=8), holds=4, from_step=3)
    assert cramped.run().state.micro_batch_size == 4


def test_the_micro_batch_halves_until_it_fits_and_the_result_stays():
    roomy = Training(short_recipe(), norm=False)
    cramped = Cramped(short_recipe(), holds=5, norm=False)
    choices = []
    hear = choices.append
    with listen(lambda kind, fields: hear(fields) if kind == "choice" else None):
        result = cramped.run()
    roomy.run()
    assert result.state.micro_batch_size == 4
    assert [(c["name"], c["value"]) for c in choices] == [
        ("micro_batch_size", 8),
        ("micro_batch_size", 4),
    ]
    assert "out of memory with 16 at step 0" in choices[0]["why"]
    assert {size for _, size in cramped.sizes} == {4}
    assert len(cramped.sizes) == 20 * 4  # the whole batch at every step
    for name, value in roomy.module.state_dict().items():
        assert torch.allclose(value, cramped.module.state_dict()[name], atol=1e-5), name


class OfClasses(Cramped):
    """A mean over the classes of a batch, and so none over its samples."""

    def __init__(self, recipe, holds, **options):
        super().__init__(recipe, holds, **options)
        self.is_sample_mean = False

    def compute_loss(self, batch):
        super().compute_loss(batch)
        logits = self.module(*batch.inputs)
        each = torch.nn.functional.cross_entropy(logits, batch.targets, reduction="none")
        loss = torch.stack([each[batch.targets == c].mean() for c in batch.targets.unique()]).mean()
        self.losses[-1] = float(loss.detach())
        return loss


def test_a_loss_that_is_no_mean_over_samples_is_not_halved_but_refused(heard):
    roomy = OfClasses(short_recipe(), holds=16)
    assert roomy.run().state.micro_batch_size is None
    cramped = OfClasses(short_recipe(), holds=15, from_step=3)
    choices = []
    with (
        listen(lambda kind, fields: choices.append(kind) if kind == "choice" else None),
        pytest.raises(DeviceError, match="no mean over samples") as caught,
    ):
        cramped.run()
    said = str(caught.value)
    assert said.startswith("Out of memory with 16 at step 3, and the loss")
    smaller = OfClasses(short_recipe(batch_size=8), holds=15)  # as advised
    assert smaller.run().ended == "finished"
    heard(said)
    assert "Choose a smaller --batch-size" in said
    assert cramped.losses == roomy.losses[:3]
    assert not choices
    # its parts learn something else indeed
    halves = [OfClasses(short_recipe(micro_batch_size=8), holds=16), roomy]
    halves[0].run()
    assert halves[0].digest() != roomy.digest()


def test_running_out_in_the_middle_leaves_no_half_step():
    """What was accumulated before it ran out is not counted twice, statistics have not moved."""
    usual = Cramped(short_recipe(micro_batch_size=8), holds=16, from_step=7)
    late = Cramped(short_recipe(micro_batch_size=8), holds=4, from_step=7)
    fits = Cramped(short_recipe(micro_batch_size=4), holds=4)
    for training in (usual, late, fits):
        training.run()
    assert late.losses[:14] == usual.losses[:14]
    assert [size for step, size in late.sizes if step >= 7] == [4] * (13 * 4)
    tracked = [t.module.norm.num_batches_tracked for t in (late, fits)]
    assert tracked == [7 * 2 + 13 * 4, 20 * 4]


def test_the_decision_is_remembered_in_the_checkpoint(tmp_path):
    first = Cramped(short_recipe(), holds=5)
    first.stop_at = 6
    assert first.run(CheckpointFolder(tmp_path)).ended == "interrupted"
    later = Cramped(short_recipe(), holds=5, init_seed=3)
    choices = []
    with listen(lambda kind, fields: choices.append(kind) if kind == "choice" else None):
        later.run(CheckpointFolder(tmp_path))
    assert not choices
    assert {size for _, size in later.sizes} == {4}
    whole = Cramped(short_recipe(), holds=5)
    whole.run()
    assert later.digest() == whole.digest()


@pytest.mark.parametrize(("holds", "settled", "size"), [(16, 8, 8), (5, 8, 4), (5, 2, 2)])
def test_a_resumed_training_takes_the_smaller_of_what_was_found_and_what_is_settled(
    tmp_path, holds, settled, size
):
    """Another number of processes has another share of the memory than the life before."""
    first = Cramped(short_recipe(), holds=holds)
    first.stop_at = 6
    assert first.run(CheckpointFolder(tmp_path)).ended == "interrupted"
    later = Cramped(short_recipe(), holds=holds)
    result = later.run(CheckpointFolder(tmp_path), micro_batch_size=settled)
    assert {found for _, found in later.sizes} == {size}
    assert result.state.micro_batch_size == size


def test_where_not_even_one_sample_fits_the_error_is_the_devices_own():
    with pytest.raises(torch.OutOfMemoryError, match="as told"):
        Cramped(short_recipe(), holds=0).run()


def test_what_a_training_kept_beside_the_weights_goes_with_it(monkeypatch):
    made = []
    prepare = Loop.__init__

    def noted(self, *args):
        prepare(self, *args)
        made.append(weakref.ref(self))

    monkeypatch.setattr(Loop, "__init__", noted)
    gc.disable()  # only what nothing names any more goes
    try:
        Training(short_recipe()).run()
        assert [loop() for loop in made] == [None]
    finally:
        gc.enable()
