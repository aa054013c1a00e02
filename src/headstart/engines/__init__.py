"""What computes passes without gradients: PyTorch, ONNX Runtime or OpenVINO; one file an engine."""

from headstart.engines.choice import PLAIN, Choice, Outputs, Pass, RefusedError, listed, read_choice
from headstart.engines.rule import (
    ChosenPass,
    PassRule,
    passes_by,
    present_rule,
    settled_apart,
    trial_seconds,
)
from headstart.engines.table import ENGINES, compile_pass, require_engine
from headstart.engines.trial import LEAST_SAMPLES, PassJob, choose_pass, outputs_as

__all__ = [
    "ENGINES",
    "LEAST_SAMPLES",
    "PLAIN",
    "Choice",
    "ChosenPass",
    "Outputs",
    "Pass",
    "PassJob",
    "PassRule",
    "RefusedError",
    "choose_pass",
    "compile_pass",
    "listed",
    "outputs_as",
    "passes_by",
    "present_rule",
    "read_choice",
    "require_engine",
    "settled_apart",
    "trial_seconds",
]
