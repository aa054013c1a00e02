"""A model, whole: encoder, head, task and calibration; its passes, its answers, its folder."""

from headstart.model.folder import library_versions, open_model, write_model
from headstart.model.network import Model
from headstart.model.outputs import label_names, model_outputs
from headstart.model.passes import run_batches

__all__ = [
    "Model",
    "label_names",
    "library_versions",
    "model_outputs",
    "open_model",
    "run_batches",
    "write_model",
]
