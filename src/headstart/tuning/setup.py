"""One start ready to train: its encoder with a fresh head, and its recipe.

Every candidate and every fine-tuning is prepared here, in one way.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from headstart.errors import StartError
from headstart.model import Model
from headstart.preprocessing import Preprocess, fit_table, rows_of
from headstart.preprocessing.framing import decided
from headstart.starts import (
    BuildRequest,
    Encoder,
    TaggerWeights,
    adapter_names,
    add_lora,
    build_encoder,
    join_rows,
    wrap_module,
)
from headstart.tasks import find_task
from headstart.training.options.recipe import Recipe, drop_path_for, recipe_for
from headstart.training.options.strategies import Strategy, check_strategy, find_strategy
from headstart.training.options.strategy import check_optimizer
from headstart.training.options.training_options import TrainingOptions
from headstart.training.probing.probe import Probe
from headstart.training.randomness import BOOTSTRAP, generator
from headstart.tuning.budget import Budget
from headstart.tuning.dictionary import known_words_of
from headstart.tuning.first_layer import learn_first_layer
from headstart.tuning.texts import TextCache, text_cache
from headstart.tuning.word_probe import check_words, check_writes, no_pair
from headstart.types import (
    Dataset,
    ImageSpec,
    Inputs,
    Ragged,
    Rows,
    Split,
    SplitName,
    Start,
    are_alike,
)
from headstart.types.captions import captions_of


@dataclass
class TrainingSetup:
    """A model ready to be trained.

    Attributes:
        model: Encoder as the start gives it, head random.
        recipe: Every training option, resolved.
        initial: The encoder's state at the start, on the CPU, for the "before" figure; empty where
            the start is built anew for that.
        texts: What the run keeps of its texts; None where samples are none.
        most_seconds: What a sample may take in trees that are to be grown; None for no limit.
        splits: Train and val as loaded: which of their samples belong together.
        fitted: What its head was solved for as, where screening has done that with all of train.
    """

    model: Model
    recipe: Recipe
    initial: dict[str, Tensor]
    texts: TextCache | None = None
    most_seconds: float | None = None
    splits: tuple[Split, Split] | None = None
    fitted: Probe | None = None

    @property
    def strategy(self) -> Strategy:
        """What learns, in which phases; of what has no head no probe is fitted, nothing kept."""
        found = find_strategy(self.recipe.strategy)
        if self.model.task.tells_texts or self.model.task.matches_texts:
            return replace(found, num_probe_samples=0, is_cacheable=False)
        return found

    @property
    def only(self) -> frozenset[str] | None:
        """The parameters of the encoder that learn beside a frozen base; None where all may."""
        return frozenset(adapter_names(self.model.encoder)) if self.strategy.adapters else None

    @property
    def preprocess(self) -> Preprocess:
        """What turns samples into the model's inputs."""
        return self.model.encoder.preprocess

    @property
    def size(self) -> int | None:
        """Side of the network input in pixels; None where samples are no images."""
        return self.preprocess.size


def set_up(
    dataset: Dataset,
    start: Start,
    options: TrainingOptions,
    *,
    device: torch.device,
    module: nn.Module | None = None,
    spec: ImageSpec | None = None,
    texts: TextCache | None = None,
) -> TrainingSetup:
    """Build a model from a start and resolve its recipe.

    Args:
        dataset: Gives the schema, the number of samples, and by modality the image size, the texts
            that a tokenizer is trained on, or the columns.
        start: Where to start.
        options: With the strategy that was settled.
        device: Where the model goes.
        module: The user's own module in place of a start's, or an encoder wrapped from one.
        spec: The preprocessing of ``module``.
        texts: What the run keeps of its texts, so that nothing is learned or prepared twice; None
            begins anew, without a budget.

    Raises:
        StartError: If the start cannot be built for these data, or in the time that is left.
        OptionError: If an option is out of range.
    """
    strategy = find_strategy(options.strategy)
    check_strategy(start, strategy)
    seed = options.seed
    texts = texts or text_cache(dataset, Budget(None), seed=seed)
    if isinstance(module, Encoder):
        encoder = module
    elif module is not None and spec is not None:
        encoder = wrap_module(module, spec)
    else:
        encoder = _encoder(dataset, start, options, texts)
    if dataset.schema.beside and encoder.preprocess.rows is None:
        encoder = join_rows(encoder, fit_table(rows_of(dataset)))
    check_words(encoder, dataset)
    check_writes(encoder, dataset)
    if encoder.is_grown and dataset.schema.parts:
        raise StartError(
            f"Start '{start.address}' grows trees for one target, and {dataset.name} has "
            f"{len(dataset.schema.parts)}; expected one. Choose scratch/linear or scratch/mlp, or "
            "name one target with --label."
        )
    if strategy.adapters:
        rank, alpha = options.lora_rank, options.lora_alpha
        add_lora(encoder, rank=rank, alpha=alpha, is_in_four_bits=strategy.is_in_four_bits)
    recipe = recipe_for(
        start,
        options,
        schema=dataset.schema,
        num_train=len(dataset.train),
        num_layers=len(encoder.layers),
    )
    check_optimizer(encoder, encoder.layers, recipe)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head = find_task(dataset.schema.task).head
        model = Model(encoder, dataset.schema, dropout=recipe.dropout, head=head)
    model.target_mean, model.target_scale = model.task.scaling(dataset.train.targets)
    learn_first_layer(model, dataset)
    is_kept = module is not None or not _can_be_built_again(model)
    state = encoder.state_dict().items() if is_kept else ()
    initial = {name: tensor.detach().clone() for name, tensor in state}
    layout = torch.channels_last if recipe.channels_last else torch.contiguous_format
    model = model.to(device).to(memory_format=layout)
    splits = (dataset.train, dataset.val)
    return TrainingSetup(model, recipe, initial, texts, splits=splits)


def _encoder(
    dataset: Dataset, start: Start, options: TrainingOptions, texts: TextCache | None
) -> Encoder:
    """Build the encoder of a start for these data.

    Raises:
        StartError: If the start reads something else.
    """
    modality = dataset.schema.modality
    if not are_alike(start, dataset.schema):
        if (task := find_task(dataset.schema.task)).matches_texts:
            raise no_pair(start, task)
        raise StartError(
            f"Start '{start.address}' reads {start.modality}s, and {dataset.name} holds "
            f"{modality}s. Choose one that 'headstart starts --modality {modality}' lists."
        )
    # a sentence encoder has learned the mean over its tokens; the first token's head it has not
    is_contrastive = start.objective == "contrastive"
    known = options.value_range
    request = BuildRequest(
        image_size=dataset.image_size,
        image_channels=dataset.image_channels,
        framing=decided(options.framing),
        value_range=None if known is None else (float(known[0]), float(known[1])),
        size=options.input_size,
        drop_path=drop_path_for(start, options, dataset.schema),
        max_length=options.max_length,
        languages=options.languages,
        dropout=options.encoder_dropout,
        pooling="mean" if is_contrastive else "auto",
        table=fit_table(dataset) if dataset.column_kinds is not None else None,
        column=dataset.input_column,
        second_column=dataset.schema.sides[1] if dataset.schema.sides else None,
        tells_words=find_task(dataset.schema.task).tells_words,
        tells_texts=find_task(dataset.schema.task).tells_texts,
        finds_texts=find_task(dataset.schema.task).finds_texts,
        class_names=dataset.schema.classes,
        matches_texts=find_task(dataset.schema.task).matches_texts,
        wanted=[text for one in captions_of(dataset.train.targets) for text in one.texts]
        if find_task(dataset.schema.task).matches_texts
        else (),
        num_outputs=find_task(dataset.schema.task).num_outputs(dataset.schema),
        known_words=partial(known_words_of, dataset),
        seed=options.seed,
    )
    return build_encoder(start, request) if texts is None else texts.build(start, request)


def _can_be_built_again(model: Model) -> bool:
    """Return whether the start of a model that tells of tokens can be built again, to the same.

    Then nobody needs a copy of its weights while it trains: of multilingual ones that are 470 MB.
    """
    start, task = model.encoder.start, model.task
    return start.pretrained_on is not None and model.reads_tokens and not task.tells_texts


def subsample(targets: Rows, limit: int, *, seed: int) -> np.ndarray:
    """Return sorted positions of at most ``limit`` samples, each class keeping its share.

    Args:
        targets: As in ``Split``; only one class a sample (int64, shape (N,)) is stratified.
        limit: Largest number of positions; every class keeps at least one.
        seed: Seed of the choice.
    """
    if len(targets) <= limit:
        return np.arange(len(targets))
    order = generator(BOOTSTRAP, seed).permutation(len(targets))
    if (
        isinstance(targets, Ragged)
        or targets.ndim > 1
        or not np.issubdtype(targets.dtype, np.integer)
    ):
        return np.sort(order[:limit])
    # stable sort by class after the shuffle, then take every k-th: shares are kept exactly
    by_class = order[np.argsort(targets[order], kind="stable")]
    picks = by_class[np.linspace(0, len(targets) - 1, limit).astype(np.int64)]
    lost = np.setdiff1d(targets, targets[picks])
    first = [int(np.flatnonzero(targets == k)[0]) for k in lost]
    return np.unique(np.concatenate([picks, np.asarray(first, dtype=np.int64)]))


def prepare_sample(
    dataset: Dataset, name: SplitName, setup: TrainingSetup, limit: int | None, *, seed: int
) -> Inputs:
    """Prepare at most ``limit`` samples of a split, each class keeping its share; None takes all.

    Args:
        dataset: The data.
        name: The split.
        setup: Says how: its encoder's preprocessing.
        limit: Largest number of samples.
        seed: Seed of the choice.
    """
    split, indices = dataset.split(name), None
    if limit is not None and len(split) > limit:
        indices = subsample(split.targets, limit, seed=seed)
    return prepare_places(dataset, name, setup, indices)


def prepare_places(
    dataset: Dataset, name: SplitName, setup: TrainingSetup, indices: np.ndarray | None
) -> Inputs:
    """Prepare samples of a split by their places in it; None takes all.

    Args:
        dataset: The data.
        name: The split.
        setup: Says how: its encoder's preprocessing.
        indices: int64, ascending.
    """
    encoder = setup.model.encoder
    if setup.texts is not None:
        return setup.texts.prepare(name, encoder, indices)
    return encoder.preprocess.prepare(dataset, name, indices)


def install(model: Model, fitted: Probe) -> None:
    """Copy a probe's weights into the model's head; of a linear tagger into its network."""
    weight = torch.from_numpy(fitted.weight)
    network = model.encoder.network
    if isinstance(network, TaggerWeights):
        network.take_weights(weight)
        weight = torch.eye(model.num_outputs)
    with torch.no_grad():
        model.head.weight.copy_(weight)
        model.head.bias.copy_(torch.from_numpy(fitted.bias))
