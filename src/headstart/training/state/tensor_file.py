"""Tensors copied into kept memory that already has the layout of a safetensors file.

A checkpoint must hold up the training for no longer than a copy takes. The copy goes into memory
that is allocated once and kept, side by side in file order, so that writing it is plain bytes: no
second copy, nothing that holds Python's lock, and the size is known before the first byte is
written. Reading back is the safetensors library's business.

Format: 8 bytes length of the header (little endian), a JSON header, then the data without gaps;
https://github.com/huggingface/safetensors#format.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

_PIECE_BYTES = 8 * 2**20
_NAMES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


class TensorFile:
    """One file's content in memory, filled again and again.

    Page-locked where the tensors come from a GPU, whose copies are then asynchronous and several
    times faster.
    """

    def __init__(self) -> None:
        self._memory = torch.empty(0, dtype=torch.uint8)
        self._layout: dict[str, tuple[torch.dtype, torch.Size]] = {}
        self._places: dict[str, Tensor] = {}
        self._header = b""
        self._num_data_bytes = 0

    @property
    def num_bytes(self) -> int:
        """Size of the file."""
        return len(self._header) + self._num_data_bytes

    @property
    def tensors(self) -> Mapping[str, Tensor]:
        """The copies, by name, in the memory of the machine; they change when it is filled anew."""
        return self._places

    def prepare(self, tensors: Mapping[str, Tensor]) -> None:
        """Take memory for such tensors, and touch it: the first touch is what costs.

        Raises:
            TypeError: If a tensor has a type that the format does not know.
        """
        layout = {name: (tensor.dtype, tensor.shape) for name, tensor in tensors.items()}
        if layout != self._layout:
            self._lay_out(layout, is_pinned=any(t.is_cuda for t in tensors.values()))
            self._memory.zero_()

    @torch.no_grad()
    def fill(self, tensors: Mapping[str, Tensor]) -> None:
        """Copy tensors in; afterwards they may change without changing the file.

        Raises:
            TypeError: If a tensor has a type that the format does not know.
        """
        layout = {name: (tensor.dtype, tensor.shape) for name, tensor in tensors.items()}
        devices = {tensor.device for tensor in tensors.values() if tensor.is_cuda}
        if layout != self._layout:
            self._lay_out(layout, is_pinned=bool(devices))
        for name, tensor in tensors.items():
            self._places[name].copy_(tensor, non_blocking=tensor.is_cuda)
        for device in devices:
            torch.cuda.synchronize(device)

    def pieces(self) -> Iterator[memoryview]:
        """Yield the file's bytes, a few megabytes at a time."""
        yield memoryview(self._header)
        data = self._memory[: self._num_data_bytes].numpy().data
        for start in range(0, len(data), _PIECE_BYTES):
            yield data[start : start + _PIECE_BYTES]

    def _lay_out(
        self, layout: dict[str, tuple[torch.dtype, torch.Size]], *, is_pinned: bool
    ) -> None:
        """Give each tensor its place; memory is allocated anew only where it is too small."""
        unknown = [
            f"{name} ({dtype})" for name, (dtype, _) in layout.items() if dtype not in _NAMES
        ]
        if unknown:
            raise TypeError(f"The safetensors format has no type for {', '.join(unknown)}.")
        header: dict[str, object] = {}
        spans: dict[str, tuple[int, int]] = {}
        end = 0
        # widest types first: then every tensor begins at a multiple of its own item size
        for name in sorted(layout, key=lambda n: (-layout[n][0].itemsize, n)):
            dtype, shape = layout[name]
            begin, end = end, end + shape.numel() * dtype.itemsize
            spans[name] = (begin, end)
            header[name] = {
                "dtype": _NAMES[dtype],
                "shape": list(shape),
                "data_offsets": [begin, end],
            }
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        self._header = len(text).to_bytes(8, "little") + text
        self._num_data_bytes = end
        if self._memory.numel() < end or (is_pinned and not self._memory.is_pinned()):
            self._places = {}
            self._memory = torch.empty(0, dtype=torch.uint8)  # the old goes before the new comes
            self._memory = torch.empty(end, dtype=torch.uint8, pin_memory=is_pinned)
        self._places = {
            name: self._memory[begin:end].view(layout[name][0]).view(layout[name][1])
            for name, (begin, end) in spans.items()
        }
        self._layout = layout
