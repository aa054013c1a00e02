"""Choose the device and the number format; what is asked for is given or refused."""

from __future__ import annotations

import torch

from headstart.errors import DeviceError
from headstart.training.machine.memory import give_back_freed_memory
from headstart.training.options.common_options import Precision


def choose_device(name: str) -> torch.device:
    """Return the device of a name; ``auto`` takes CUDA, else Apple's MPS, else the CPU.

    Raises:
        DeviceError: If the device does not exist on this machine.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        if torch.backends.mps.is_available():
            return torch.device("mps")
        return torch.device("cpu")
    try:
        device = torch.device(name)
        if device.type not in ("cpu", "cuda", "mps"):
            raise RuntimeError(f"{device.type} devices are not supported")
    except RuntimeError as error:
        raise DeviceError(
            f"Unknown device '{name}'; expected 'auto', 'cpu', 'cuda', 'cuda:0' or 'mps'. "
            f"'headstart doctor' lists what this machine has."
        ) from error
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    is_missing = (device.type == "cuda" and (device.index or 0) >= count) or (
        device.type == "mps" and not torch.backends.mps.is_available()
    )
    if is_missing:
        raise DeviceError(
            f"Device '{name}' is not on this machine ({count} CUDA devices found). Use --device "
            f"cpu, or look at 'headstart doctor'."
        )
    return device


def give_back_freed(device: torch.device) -> None:
    """Have the device's allocator give back what it keeps: blocks of another size are to come."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "cpu":
        give_back_freed_memory()


def choose_precision(name: str, device: torch.device) -> Precision:
    """Return the number format of a name; ``auto`` is mixed precision on CUDA, fp32 elsewhere.

    bf16 on a CPU without matrix units is slower than fp32, so it has to be asked for there.

    Raises:
        DeviceError: If fp16 is asked for off CUDA, where it has no kernels for training.
    """
    if name == "auto":
        if device.type != "cuda":
            return "fp32"
        return "bf16" if torch.cuda.is_bf16_supported() else "fp16"
    if name == "fp16" and device.type != "cuda":
        raise DeviceError(
            f"precision 'fp16' needs a CUDA device, this is '{device}'. Use --precision bf16 or "
            f"fp32."
        )
    return name  # type: ignore[return-value]  # the command line has checked the choices
