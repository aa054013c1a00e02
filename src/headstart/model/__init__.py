"""A model, whole: encoder, head, task and calibration; its passes, its answers, its folder."""

from headstart.model.engine_passes import Sampler, network_digest, settle_engine, weights_digest
from headstart.model.ensemble import MOST_MEMBERS, Ensemble, Member
from headstart.model.ensemble_folder import open_ensemble, write_ensemble
from headstart.model.folder import library_versions, open_model, write_model
from headstart.model.network import Model
from headstart.model.outputs import Calibrated, model_outputs
from headstart.model.passes import pass_size, run_batches, split_passes, without_padding
from headstart.model.telling import tell_texts

__all__ = [
    "MOST_MEMBERS",
    "Calibrated",
    "Ensemble",
    "Member",
    "Model",
    "Sampler",
    "library_versions",
    "model_outputs",
    "network_digest",
    "open_ensemble",
    "open_model",
    "pass_size",
    "run_batches",
    "settle_engine",
    "split_passes",
    "tell_texts",
    "weights_digest",
    "without_padding",
    "write_ensemble",
    "write_model",
]
