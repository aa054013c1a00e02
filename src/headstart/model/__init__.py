"""A model, whole: encoder, head, task and calibration; its passes, its answers, its folder."""

from headstart.model.folder import library_versions, open_model, write_model
from headstart.model.network import Model
from headstart.model.outputs import model_outputs
from headstart.model.passes import pass_size, run_batches, split_passes, without_padding

__all__ = [
    "Model",
    "library_versions",
    "model_outputs",
    "open_model",
    "pass_size",
    "run_batches",
    "split_passes",
    "without_padding",
    "write_model",
]
