"""What is asked for is given or refused."""

import pytest
import torch

from headstart.errors import DeviceError
from headstart.training.machine.device import choose_device, choose_precision


def test_cpu_is_the_cpu():
    assert choose_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "", "meta"])
def test_an_unknown_device_is_refused_with_those_there_are(name):
    with pytest.raises(DeviceError, match=r"Unknown device .*expected 'auto', 'cpu'.*doctor"):
        choose_device(name)


def test_a_cuda_device_that_is_not_there_is_refused():
    with pytest.raises(DeviceError, match=r"Device 'cuda:97' is not on this machine"):
        choose_device("cuda:97")


def test_precision_auto_is_fp32_on_a_cpu_and_fp16_is_refused_there():
    cpu = torch.device("cpu")
    assert choose_precision("auto", cpu) == "fp32"
    assert choose_precision("bf16", cpu) == "bf16"
    with pytest.raises(DeviceError, match="needs a CUDA device"):
        choose_precision("fp16", cpu)
