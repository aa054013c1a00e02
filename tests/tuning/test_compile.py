"""A compiled model learns what the same model learns."""

import numpy as np
import pytest
from torch._dynamo.utils import counters

import headstart as hs


@pytest.mark.slow
def test_a_compiled_training_equals_the_plain_one_up_to_rounding(tmp_path):
    """The compiler fuses kernels and so rounds otherwise; twenty steps keep that small."""
    counters.clear()
    logits = []
    for compile in (False, True):
        run = hs.finetune(
            "digits-8x8",
            start="scratch/simple-cnn",
            out=str(tmp_path / str(compile)),
            num_steps=20,
            micro_batch_size=32,
            batch_size=64,
            augment="digits",
            optimizer="sgd",
            learning_rate=0.01,
            compile=compile,
        )
        assert run.options["recipe"]["compile"] is compile
        assert bool(counters["stats"]["unique_graphs"]) is compile
        data = hs.load("digits-8x8")
        images = [data.test.samples.read(i) for i in range(20)]
        logits.append(np.array([p.probabilities for p in run.predict(images)]))
    assert np.abs(logits[0] - logits[1]).max() < 1e-3
    assert logits[0].std() > 0.01
