"""Two processes learn from images with captions what one learns: the loss is over both."""

import sys

import numpy as np
import pytest
from processes import environment
from safetensors.numpy import load_file
from small_captions import PAIR, write_flickr


@pytest.mark.slow
def test_two_processes_learn_what_one_learns(tmp_path):
    import subprocess

    folder = write_flickr(tmp_path / "pictures")
    said = ["--start", PAIR, "--num-steps", "4", "--batch-size", "24", "--encoder-dropout", "0"]
    said += ["--batchnorm", "frozen", "--device", "cpu", "--augment", "none"]
    for name, more in (("one", []), ("two", ["--num-processes", "2"])):
        command = [sys.executable, "-m", "headstart", "finetune", str(folder), *said, *more]
        command += ["--out", str(tmp_path / name)]
        done = subprocess.run(
            command, env=environment(tmp_path / "cache"), capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    for name, value in one.items():
        np.testing.assert_allclose(two[name], value, atol=2e-4)
