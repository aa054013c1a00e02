"""The file in memory is a safetensors file, whatever tensors go in."""

import pytest
import torch
from safetensors.torch import load, save

from headstart.training.state.tensor_file import TensorFile

TYPES = [
    torch.float64,
    torch.float32,
    torch.float16,
    torch.bfloat16,
    torch.int64,
    torch.int32,
    torch.int16,
    torch.int8,
    torch.uint8,
    torch.bool,
]


def make_tensors():
    torch.manual_seed(0)
    values = torch.randn(3, 5, 7) * 50
    made = {f"{kind}.{n}": values[:, :n].to(kind) for kind in TYPES for n in (1, 4)}
    image = torch.randn(2, 3, 4, 5)
    return {
        **made,
        "channels_last": image.to(memory_format=torch.channels_last),
        "transposed": image[0, 0].t(),
        "every other": torch.arange(11)[::2],
        "one": torch.tensor(3.5),
        "empty": torch.empty(0, 4),
        "é": torch.ones(3),
        "same memory": image,
        "same memory again": image,
        "needs grad": torch.ones(2, requires_grad=True),
    }


def content_of(file):
    return b"".join(bytes(piece) for piece in file.pieces())


def test_the_safetensors_library_reads_back_the_same_bits():
    tensors = make_tensors()
    file = TensorFile()
    file.fill(tensors)
    content = content_of(file)
    assert len(content) == file.num_bytes
    found = load(content)
    assert found.keys() == tensors.keys()
    for name, value in tensors.items():
        assert found[name].dtype == value.dtype, name
        assert torch.equal(found[name], value), name


def test_the_data_lies_as_the_library_itself_lays_it():
    tensors = {
        "b": torch.randn(3, 4),
        "a": torch.randn(5),
        "c": torch.arange(3),
        "d": torch.ones(1).bool(),
    }
    file = TensorFile()
    file.fill(tensors)
    assert content_of(file) == save(tensors)


def test_a_large_file_comes_in_pieces_and_is_whole():
    tensors = {"big": torch.arange(5_000_000, dtype=torch.float32), "small": torch.ones(3)}
    file = TensorFile()
    file.fill(tensors)
    pieces = [len(piece) for piece in file.pieces()]
    assert len(pieces) == 4
    assert torch.equal(load(content_of(file))["big"], tensors["big"])


def test_memory_is_kept_from_one_save_to_the_next():
    file = TensorFile()
    weights = {"w": torch.zeros(1000)}
    file.fill(weights)
    place = file._memory.data_ptr()
    weights["w"].fill_(7)
    file.fill(weights)
    assert file._memory.data_ptr() == place
    assert load(content_of(file))["w"].eq(7).all()
    file.fill({"w": torch.ones(10)})  # less than there is room for
    assert file._memory.data_ptr() == place
    assert load(content_of(file)).keys() == {"w"}
    assert file.num_bytes < 200


def test_what_changes_afterwards_does_not_change_the_file():
    weights = {"w": torch.arange(6.0)}
    file = TensorFile()
    file.fill(weights)
    weights["w"].zero_()
    assert torch.equal(load(content_of(file))["w"], torch.arange(6.0))


def test_a_type_without_a_name_is_refused():
    with pytest.raises(TypeError, match=r"no type for z \(torch.complex64\)"):
        TensorFile().fill({"z": torch.zeros(2, dtype=torch.complex64)})
