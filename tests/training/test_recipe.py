"""One place resolves every option: what the user says wins, then the table, all checked at once."""

from dataclasses import asdict

import pytest
from tiny_training import make_start

from headstart.errors import OptionError
from headstart.training.options.defaults import DEFAULTS, default_length, defaults_for
from headstart.training.options.limits import check_options
from headstart.training.options.recipe import recipe_for, with_length
from headstart.training.options.training_options import TrainingOptions
from headstart.types import Schema

PRETRAINED_CONVNET = make_start("convnet", "imagenet", "timm/resnet18")
PRETRAINED_VIT = make_start("vit", "imagenet", "timm/vit_tiny")
SCRATCH_CONVNET = make_start("convnet", None, "scratch/resnet18")
SIMPLE = make_start("convnet", None, "scratch/simple-cnn")
QUICK = make_start("convnet", None, "scratch/quick-cnn")


def resolve(start=PRETRAINED_CONVNET, strategy="full", num_train=5_000, num_classes=10, **options):
    return recipe_for(
        start,
        TrainingOptions(strategy=strategy, seed=3, **options),
        schema=Schema("image", "classification", tuple(map(str, range(num_classes)))),
        num_train=num_train,
        num_layers=8,
    )


@pytest.mark.parametrize(
    ("start", "key"),
    [
        (PRETRAINED_CONVNET, ("convnet", True)),
        (PRETRAINED_VIT, ("vit", True)),
        (SCRATCH_CONVNET, ("convnet", False)),
        (make_start("vit", None, "scratch/vit-tiny"), ("vit", False)),
        (SIMPLE, "scratch/simple-cnn"),
        (QUICK, "scratch/quick-cnn"),
    ],
)
def test_a_family_gets_its_row_of_the_table(start, key):
    row = DEFAULTS[key]
    assert defaults_for(start) is row
    assert len(row.source) > 10  # every default says where it comes from
    recipe = resolve(start, batch_size=row.reference_batch)
    for name in ("optimizer", "learning_rate", "bottom_multiplier", "weight_decay", "schedule"):
        assert getattr(recipe, name) == getattr(row, name), name
    betas = (recipe.momentum, recipe.beta1, recipe.beta2)
    assert betas == (row.momentum, row.beta1, row.beta2)
    assert resolve(start).batch_size == row.batch_size


def test_pretrained_families_have_the_measured_optimizers():
    assert DEFAULTS["convnet", True].optimizer == "adamw"
    assert DEFAULTS["convnet", False].optimizer == "sgd"
    assert DEFAULTS["vit", True].optimizer == "adamw"
    assert DEFAULTS["vit", True].bottom_multiplier < DEFAULTS["convnet", True].bottom_multiplier < 1


def test_a_family_without_a_row_is_refused(heard):
    with pytest.raises(OptionError, match=r"Family 'unknown' .*no default recipe") as told:
        resolve(make_start("unknown", "books"))
    assert resolve(make_start("convnet", "books"))  # another start, as advised
    heard(told.value)


def test_what_the_user_says_wins_over_the_table():
    said = {
        "optimizer": "adam",
        "learning_rate": 0.123,
        "head_multiplier": 3.0,
        "bottom_multiplier": 0.5,
        "weight_decay": 0.0,
        "schedule": "cosine",
        "warmup_fraction": 0.0,
        "batch_size": 32,
        "micro_batch_size": 8,
        "num_epochs": 2.5,
        "label_smoothing": 0.0,
        "drop_path": 0.2,
        "mixup": 0.0,
        "patience": 0,
        "batchnorm": "train",
    }
    recipe = asdict(resolve(**said))
    assert {name: recipe[name] for name in said} == said
    assert recipe["num_steps"] is None
    assert recipe["seed"] == 3


def test_the_learning_rate_scales_with_the_batch():
    assert resolve(batch_size=64).learning_rate == pytest.approx(
        resolve(batch_size=16).learning_rate * 4
    )
    assert resolve(batch_size=64, learning_rate=0.5).learning_rate == 0.5


def test_another_optimizer_rescales_the_tables_rate():
    scratch = make_start("convnet", None)
    sgd = resolve(scratch).learning_rate
    assert resolve(scratch, optimizer="adamw").learning_rate == pytest.approx(sgd / 30)
    assert resolve(scratch, optimizer="adam").learning_rate == pytest.approx(sgd / 30)
    adamw = resolve(PRETRAINED_VIT).learning_rate
    assert resolve(PRETRAINED_VIT, optimizer="sgd").learning_rate == pytest.approx(adamw * 30)
    # Adam and AdamW take the same rates
    assert resolve(PRETRAINED_VIT, optimizer="adam").learning_rate == adamw


def test_a_random_head_learns_ten_times_faster_than_a_pretrained_encoder():
    assert resolve(strategy="full").head_multiplier == 10
    for strategy in ("head", "last-n", "lp-ft"):  # here a probe has fitted the head already
        assert resolve(strategy=strategy).head_multiplier == 1
    assert resolve(SCRATCH_CONVNET).head_multiplier == 1  # nothing is pretrained


def test_batchnorm_keeps_the_statistics_of_a_pretrained_start_only():
    assert resolve().batchnorm == "frozen"
    assert resolve(SCRATCH_CONVNET).batchnorm == "train"


def test_smoothing_begins_at_five_classes_and_mixup_at_many_samples():
    assert resolve(num_classes=4).label_smoothing == 0
    assert resolve(num_classes=5).label_smoothing == 0.1
    assert resolve(QUICK, num_classes=5).label_smoothing == 0.2
    assert resolve(QUICK, num_classes=2).label_smoothing == 0
    assert resolve(num_train=20_000).mixup == 0
    assert resolve(num_train=20_001).mixup == 0.1
    assert resolve(SCRATCH_CONVNET, num_train=50_000).mixup == 0


def test_the_length_follows_the_size_of_the_data():
    row = DEFAULTS["convnet", True]
    assert default_length(1_999, row, 64) == (None, 500)
    assert default_length(2_000, row, 64) == (None, 1_500)
    assert default_length(20_000, row, 64) == (10.0, None)
    scratch = DEFAULTS["convnet", False]
    assert default_length(50, scratch, 50) == (scratch.scratch_epochs, None)


def test_length_counts_whole_batches_of_an_epoch():
    recipe = resolve(batch_size=64, num_epochs=2.0)
    assert recipe.length(1_000) == (30, 15)
    assert resolve(batch_size=64, num_steps=7).length(1_000) == (7, 15)
    assert resolve(num_epochs=0.001).length(100)[0] == 1
    short = with_length(recipe, 5)
    assert short.length(1_000) == (5, 15)


def test_a_batch_is_never_larger_than_the_data():
    recipe = resolve(num_train=20, batch_size=64, micro_batch_size=32)
    assert (recipe.batch_size, recipe.micro_batch_size) == (20, 20)


def test_ema_has_a_half_life_where_it_is_asked_for():
    assert resolve(ema=False).ema_half_life == 0
    assert resolve(SCRATCH_CONVNET).ema_half_life == 0
    assert resolve(SCRATCH_CONVNET, ema=True).ema_half_life > 0


def test_everything_wrong_is_told_at_once():
    with pytest.raises(OptionError) as caught:
        resolve(
            learning_rate=-1.0,
            dropout=1.5,
            batch_size=96,
            micro_batch_size=40,
            num_last_layers=9,
            num_epochs=1.0,
            num_steps=5,
            warmup_fraction=float("nan"),
            optimizer="sdg",
            schedule="cosin",
        )
    said = str(caught.value)
    for part in (
        "learning_rate is -1, expected at least 0",
        "dropout is 1.5, expected between 0 and 0.99",
        "batch_size 96 is not divisible by micro_batch_size 40",
        "num_last_layers is 9, expected 1 to 8",
        "num_epochs and num_steps are both set",
        "warmup_fraction is nan",
        "optimizer is 'sdg', expected 'sgd', 'adam', 'adamw'",
        "Did you mean 'cosine'?",
        "Change these options.",
    ):
        assert part in said, said


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("strategy", "fulll"),
        ("optimizer", "lion"),
        ("schedule", "step"),
        ("augment", "heavy"),
        ("imbalance", "undersample"),
        ("precision", "fp8"),
        ("batchnorm", "sync"),
    ],
)
def test_a_choice_that_does_not_exist_is_refused_and_never_replaced(name, value):
    with pytest.raises(OptionError, match=f"{name} is '{value}', expected '"):
        check_options(TrainingOptions(**{name: value}))
    check_options(TrainingOptions())


@pytest.mark.parametrize("value", [float("inf"), float("nan"), -0.1, "0.1", True])
def test_a_rate_must_be_a_finite_number(value):
    with pytest.raises(OptionError, match="learning_rate is"):
        check_options(TrainingOptions(learning_rate=value))


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("bottom_multiplier", 1.0, 1.01),
        ("label_smoothing", 0.0, 1.0),
        ("patience", 0, -1),
        ("num_steps", 1, 0),
        ("num_last_layers", 1, 0),
        ("drop_path", 0.5, 1.0),
        ("clip", 0, -1),
    ],
)
def test_the_ends_of_the_ranges(name, good, bad):
    check_options(TrainingOptions(**{name: good}))
    with pytest.raises(OptionError, match=f"{name} is {bad:g}, expected"):
        check_options(TrainingOptions(**{name: bad}))


def test_a_small_text_set_is_passed_until_there_are_enough_updates():
    row = DEFAULTS["bert", True]
    assert default_length(100_000, row, 32) == (3, None)
    assert default_length(6_400, row, 32) == (5.0, None)  # a thousand updates
    assert default_length(100, row, 32) == (20.0, None)  # but no more than twenty passes


def test_adapters_learn_faster_than_full_weights_and_alike_at_every_depth():
    start = make_start("bert", "web", "pip/all-minilm-l6-v2")
    full, adapters = resolve(start), resolve(start, "lora")
    assert adapters.learning_rate == pytest.approx(10 * full.learning_rate)
    assert (full.bottom_multiplier, adapters.bottom_multiplier) == (0.5, 1.0)
