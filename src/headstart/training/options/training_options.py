"""Every training option, stated once: type, default, range, what it applies to, and its sentence.

``CommonOptions``, in ``common_options``, are those of every training; ``TrainingOptions`` are all.
The verbs' own records (``recipes``) add what belongs to a run: data, folder, budget. A record is
what the user said, checked by ``limits`` and handed down as it is; ``recipe`` resolves it for one
start. A new option is a field here, and one line where it acts. No torch.

Why a frozen dataclass, and what else was tried, is in docs/design.md ("An option is stated once").
"""

# Annotations are read when the module is: ``option.stated`` wants the ``Option`` in them.

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Annotated, Literal

from headstart.training.options.common_options import CommonOptions
from headstart.training.options.defaults import OptimizerName
from headstart.training.options.option import Option
from headstart.training.options.schedule import ScheduleName
from headstart.types import WRITING

Batchnorm = Literal["frozen", "train"]


@dataclass(frozen=True, kw_only=True)
class TrainingOptions(CommonOptions):
    """All options of a training; see each field's ``Option``. None: the table of defaults decides.

    ``auto`` is settled before a training by who knows the data and the device; where nobody does,
    it is the plain thing: no augmentation, no weights, fp32, centre squares.
    """

    num_epochs: Annotated[
        float | None, Option(sentence="Passes over train.", low=1e-6, needs="loops")
    ] = None
    num_steps: Annotated[
        int | None,
        Option(sentence="Optimizer steps, instead of num_epochs.", low=1, needs="loops"),
    ] = None
    batch_size: Annotated[
        int | None,
        Option(sentence="Samples an optimizer step, over all devices.", low=1, needs="loops"),
    ] = None
    micro_batch_size: Annotated[
        int | None,
        Option(
            sentence="Samples a forward pass; gradients accumulate up to batch_size. When not "
            "given the whole batch, or what memory has room for.",
            low=1,
            needs="loops",
            teaches=False,
        ),
    ] = None
    input_size: Annotated[
        int | None,
        Option(
            sentence="Side of the network input in pixels; for images.",
            low=1,
            modalities=("image",),
            builds=True,
        ),
    ] = None
    max_length: Annotated[
        int | None,
        Option(
            sentence="Tokens that a text keeps at most, special ones included; for texts. When "
            "not given the length that 99 % of train's do not exceed, at most 256.",
            low=1,
            modalities=("text",),
            families=("bert", "dual", *WRITING),
            builds=True,
        ),
    ] = None
    languages: Annotated[
        str | None,
        Option(
            sentence="Of starts that are told by tokens what they read and write: the language of "
            "texts and that of targets, such as eng_Latn,deu_Latn.",
            modalities=("text",),
            families=("seq2seq",),
            builds=True,
        ),
    ] = None
    num_last_layers: Annotated[
        int | None,
        Option(sentence="Layers that learn under last-n.", low=1, needs="counts_layers"),
    ] = None
    lora_rank: Annotated[
        int,
        Option(
            sentence="Rank of the adapters of lora: columns of each one's first matrix.",
            low=1,
            high=1024,
            needs="adapters",
        ),
    ] = 8
    lora_alpha: Annotated[
        float,
        Option(
            sentence="What the adapters of lora add is multiplied by lora_alpha / lora_rank.",
            low=1e-6,
            needs="adapters",
        ),
    ] = 16.0
    optimizer: Annotated[
        OptimizerName | None,
        Option(sentence="Update rule; the family's own when not given.", needs="loops"),
    ] = None
    learning_rate: Annotated[
        float | None,
        Option(
            sentence="Peak learning rate of the encoder's last layer; the family's own when not "
            "given.",
            low=0.0,
            needs="loops",
        ),
    ] = None
    learning_rate_search: Annotated[
        bool,
        Option(
            sentence="Whether to try the few learning rates that the family's literature names, in "
            "short trainings, and take another than the family's own where val prefers it beyond "
            "noise.",
            needs="loops",
        ),
    ] = False
    head_multiplier: Annotated[
        float | None,
        Option(
            sentence="Learning rate of the head as a multiple of learning_rate.",
            low=0.0,
            needs="loops",
        ),
    ] = None
    bottom_multiplier: Annotated[
        float | None,
        Option(
            sentence="Learning rate of the first layer as a multiple of learning_rate; the layers "
            "between decay geometrically.",
            low=0.0,
            high=1.0,
            needs="loops",
        ),
    ] = None
    weight_decay: Annotated[
        float | None,
        Option(sentence="L2 penalty, decoupled; none on biases and norms.", low=0.0, needs="loops"),
    ] = None
    l1_penalty: Annotated[
        float,
        Option(
            sentence="Weight of the sum of absolute weights in the loss.", low=0.0, needs="loops"
        ),
    ] = 0.0
    schedule: Annotated[
        ScheduleName | None,
        Option(sentence="Shape of the learning rate over the run.", needs="loops"),
    ] = None
    warmup_fraction: Annotated[
        float | None,
        Option(sentence="Share of the steps that warm up.", low=0.0, high=0.9, needs="loops"),
    ] = None
    cooldown_fraction: Annotated[
        float,
        Option(
            sentence="Share of the steps that cool down under constant.",
            low=0.0,
            high=1.0,
            needs="loops",
        ),
    ] = 0.2
    label_smoothing: Annotated[
        float | None,
        Option(
            sentence="Share of each target spread over all classes; from five classes on the "
            "family's own when not given, mostly 0.1.",
            low=0.0,
            high=0.99,
            needs="loops",
        ),
    ] = None
    loss_weights: Annotated[
        Sequence[float] | None,
        Option(
            sentence="How much the loss of each of several targets counts, in their order; all "
            "alike when not given.",
            needs="loops",
        ),
    ] = None
    dropout: Annotated[
        float,
        Option(
            sentence="Dropped share of the features before the head.",
            low=0.0,
            high=0.99,
            needs="loops",
        ),
    ] = 0.0
    encoder_dropout: Annotated[
        float | None,
        Option(
            sentence="Every dropout rate inside the encoder, of attention too; for texts. The "
            "start's own when not given.",
            low=0.0,
            high=0.99,
            modalities=("text",),
            families=("bert", "dual", *WRITING),
            needs="loops",
            builds=True,
        ),
    ] = None
    drop_path: Annotated[
        float | None,
        Option(
            sentence="Largest stochastic-depth rate of the encoder; for images.",
            low=0.0,
            high=0.99,
            modalities=("image",),
            needs="loops",
            off=0.0,
            builds=True,
        ),
    ] = None
    mixup: Annotated[
        float | None,
        Option(
            sentence="Alpha of mixup; 0 is off. For images.",
            measured="0.2 costs 1.5 points of digits in a short training from random weights, and "
            "makes no difference beyond noise to CIFAR-10 at 20:1 and to 240 photographs",
            low=0.0,
            modalities=("image",),
            needs="loops",
            off=0.0,
        ),
    ] = None
    cutmix: Annotated[
        float,
        Option(
            sentence="Alpha of cutmix; 0 is off. For images.",
            measured="1 costs 2.7 points of digits in a short training from random weights, and "
            "makes no difference beyond noise to CIFAR-10 at 20:1 and to 240 photographs",
            low=0.0,
            modalities=("image",),
            needs="loops",
        ),
    ] = 0.0
    clip: Annotated[
        float, Option(sentence="Largest gradient norm; 0 is off.", low=0.0, needs="loops")
    ] = 1.0
    ema: Annotated[
        bool | None,
        Option(
            sentence="Whether to average the weights over the last steps; the family's own when "
            "not given.",
            needs="loops",
        ),
    ] = None
    patience: Annotated[
        int | None,
        Option(
            sentence="Checks without a gain of half a standard error before stopping; 0 never "
            "stops. When not given 6 under a constant rate, and 0 where the rate anneals to zero.",
            low=0,
            needs="loops",
        ),
    ] = None
    batchnorm: Annotated[
        Batchnorm | None,
        Option(
            sentence="frozen keeps the start's statistics, train uses and updates those of each "
            "batch; frozen for a pretrained start, train for random weights when not given.",
            needs="loops",
        ),
    ] = None
    channels_last: Annotated[
        bool | None,
        Option(
            sentence="Whether images lie in memory pixel by pixel, which is mostly faster; when "
            "not given so, unless training steps on a CPU were measured to be faster otherwise.",
            teaches=False,
        ),
    ] = None
    compile: Annotated[
        bool,
        Option(
            sentence="Whether to compile the model; pays off on long runs.",
            needs="loops",
            teaches=False,
        ),
    ] = False
    checkpoint_blocks: Annotated[
        bool,
        Option(
            sentence="Whether to compute each block of a decoder again on the way back, in place "
            "of keeping what it has computed: less memory, a third more time.",
            families=("decoder",),
            needs="loops",
            teaches=False,
        ),
    ] = False
    views: Annotated[
        int | None,
        Option(
            sentence="Views of each sample for which the frozen first layers are computed, once: "
            "the sample as it is, and augmented ones; 0 augments and computes anew at every step. "
            "When not given, what pays is chosen and said.",
            low=0,
            high=64,
            needs="loops",
            teaches=False,
        ),
    ] = None
    fsdp: Annotated[
        bool | None,
        Option(
            sentence="Whether to split weights, gradients and optimizer over the processes that a "
            "launcher has started; when not given, only where they do not fit one GPU.",
            needs="loops",
            teaches=False,
            changes_result=False,
        ),
    ] = None
    tensor_parallel_size: Annotated[
        int,
        Option(
            sentence="Processes that compute each block of a transformer together, each with a "
            "part of its weights; divides the number of processes.",
            low=1,
            needs="loops",
            teaches=False,
            changes_result=False,
        ),
    ] = 1


def training_options(options: CommonOptions) -> TrainingOptions:
    """Return options as every training takes them; what a verb does not take is at its default."""
    names = [field.name for field in fields(TrainingOptions)]
    return TrainingOptions(**{n: getattr(options, n) for n in names if hasattr(options, n)})
