"""An option is stated once: signature, docstring, help, checks and ``options.json`` follow."""

import inspect
from dataclasses import MISSING, FrozenInstanceError, dataclass, fields
from typing import Annotated, Literal

import docstring_parser
import pytest
from tiny_training import make_start

import headstart as hs
from headstart.commands import GENERAL_NAMES, read_command
from headstart.errors import OptionError
from headstart.recipes.options import FinetuneOptions, FitOptions, RunOptions, takes
from headstart.training.options.common_options import CommonOptions
from headstart.training.options.limits import (
    changing_no_result,
    check_applies,
    check_options,
    steps_asked,
)
from headstart.training.options.option import Option, stated
from headstart.training.options.recipe import Recipe
from headstart.training.options.strategies import STRATEGIES, default_strategy, find_strategy
from headstart.training.options.training_options import (
    TrainingOptions,
    training_options,
)
from headstart.types import Schema

VERBS = {"finetune": FinetuneOptions, "fit": FitOptions}
IMAGES = Schema("image", "classification", ("a", "b"))
TEXTS = Schema("text", "classification", ("a", "b"))


@pytest.mark.parametrize("verb", VERBS)
def test_signature_docstring_and_command_say_what_the_record_says(verb):
    function, of = getattr(hs, verb), stated(VERBS[verb])
    parameters = inspect.signature(function).parameters
    assert set(parameters) == set(of) == {field.name for field in fields(VERBS[verb])}
    documented = docstring_parser.parse(inspect.getdoc(function))
    sentences = {p.arg_name: " ".join(p.description.split()) for p in documented.params}
    command = {option.name: option for option in read_command(verb, function).options}
    for name, one in of.items():
        assert sentences[name] == one.option.told
        given = parameters[name].default
        assert given == one.default or (given, one.default) == (inspect.Parameter.empty, MISSING)
        # a module only a program can give; how much is said the command line says for all verbs
        if name not in ("spec", *GENERAL_NAMES):
            assert command[name].description == one.option.told
            assert command[name].default == given
    assert [name for name, p in parameters.items() if p.kind is not p.KEYWORD_ONLY] == ["data"]


def test_what_a_verb_does_not_take_is_refused_by_its_name():
    with pytest.raises(TypeError, match=r"finetune\(\): got an unexpected .*'learningrate'"):
        hs.finetune("digits-8x8", start="scratch/simple-cnn", learningrate=1.0)
    with pytest.raises(TypeError, match=r"finetune\(\): missing a required .*'start'"):
        hs.finetune("digits-8x8")
    with pytest.raises(TypeError, match=r"fit\(\): got an unexpected .*'clip'"):
        hs.fit("digits-8x8", clip=1.0)


def test_a_new_option_is_one_field():
    @dataclass(frozen=True, kw_only=True, eq=False)
    class Brewing(RunOptions, CommonOptions):
        minutes: Annotated[
            float | None, Option(sentence="How long it draws.", low=1, high=9, needs="loops")
        ] = None
        kind: Annotated[Literal["green", "black"], Option(sentence="Of the leaves.")] = "green"

    @takes(Brewing)
    def brew(options: Brewing) -> dict[str, object]:
        """Brew.

        Returns:
            What it was made with.
        """
        check_options(options)
        return options.to_json()

    assert str(inspect.signature(brew).parameters["minutes"]) == "minutes: float | None = None"
    assert "    minutes: How long it draws.\n" in brew.__doc__
    command = {option.name: option for option in read_command("brew", brew).options}
    assert command["kind"].written == "--kind green|black"
    made = brew("leaves", minutes=3, out="cup")
    assert (made["minutes"], made["kind"]) == (3, "green")
    assert not {"data", "out"} & set(made)
    with pytest.raises(OptionError) as caught:
        brew("leaves", minutes=10, kind="red")
    told = str(caught.value)
    assert "minutes is 10, expected between 1 and 9" in told
    assert "kind is 'red', expected 'green', 'black'" in told
    with pytest.raises(OptionError, match="strategy 'head' has no use for minutes"):
        brew("leaves", minutes=2, strategy="head")


def test_options_are_frozen_and_fit_says_fewer_of_the_same():
    options = FitOptions("digits", augment="light", seed=3)
    with pytest.raises(FrozenInstanceError):
        options.seed = 4
    whole = training_options(options)
    assert type(whole) is TrainingOptions
    assert whole == TrainingOptions(augment="light", seed=3)
    for record in VERBS.values():
        of = stated(record)
        assert {name: of[name].option for name in stated(CommonOptions)} == {
            name: one.option for name, one in stated(CommonOptions).items()
        }


def test_options_json_keeps_what_a_run_was_made_with():
    kept = FinetuneOptions("digits", start="scratch/mlp", out="x", clip=2.0).to_json()
    assert (kept["start"], kept["clip"], kept["seed"], kept["budget"]) == (
        "scratch/mlp",
        2,
        0,
        None,
    )
    assert not {"data", "out", "resume", "overwrite", "spec"} & set(kept)
    assert changing_no_result() == {"num_workers", "fsdp", "tensor_parallel_size"}


def test_the_recipe_resolves_every_option_that_acts_in_a_training():
    settled_elsewhere = {"device", "input_size", "learning_rate_search", "ema", "framing"}
    settled_elsewhere |= {"value_range", "engine"}
    names = {field.name for field in fields(Recipe)}
    assert set(stated(TrainingOptions)) - names == settled_elsewhere
    of_the_table = {"momentum", "beta1", "beta2", "ema_half_life"}
    measured = {"step_precision", "step_channels_last", "own_kernels"}
    assert names - set(stated(TrainingOptions)) == of_the_table | measured


@pytest.mark.parametrize("value", [2.5, "8", True, None])
def test_a_count_is_a_whole_number(value):
    with pytest.raises(OptionError, match=r"lora_rank is .*, expected a whole number, between 1"):
        check_options(TrainingOptions(strategy="lora", lora_rank=value))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"mixup": 0.2, "augment": "light"}, "augment, mixup are for images, and .* holds texts"),
        ({"encoder_dropout": 0.1}, "has no use for encoder_dropout"),
        (
            {"max_length": 8},
            "max_length is for starts of family 'bert', .* and 'scratch/tfidf' is of",
        ),
    ],
)
def test_an_option_is_refused_where_it_means_nothing(options, told):
    start = make_start("linear", None, "scratch/tfidf")
    said = TrainingOptions(strategy="head", **options)
    strategy = find_strategy("head")
    with pytest.raises(OptionError, match=told):
        check_applies(said, TEXTS, start, strategy=strategy)


def test_an_option_is_refused_for_other_data_and_for_a_module_that_is_built_already():
    start = make_start("vit", "imagenet", "timm/vit_tiny")
    for name, value in (("max_length", 8), ("encoder_dropout", 0.1)):
        said = TrainingOptions(strategy="full", **{name: value})
        with pytest.raises(OptionError, match=f"{name} is for texts, and this data holds images"):
            check_applies(said, IMAGES, start)
    said = TrainingOptions(strategy="full", drop_path=0.1)
    check_applies(said, IMAGES, start)
    with pytest.raises(OptionError, match="drop_path says how a start is built, and yours is"):
        check_applies(said, IMAGES, start, is_built=True)


def test_what_a_chosen_strategy_has_no_use_for_is_refused_but_not_how_it_is_computed():
    start = make_start("convnet", "imagenet", "timm/resnet18")
    chosen, _ = default_strategy(start)
    with pytest.raises(OptionError, match="num_last_layers is for strategy 'last-n', not 'lp-ft'"):
        check_applies(TrainingOptions(num_last_layers=2), IMAGES, start, strategy=chosen)
    head = find_strategy("head")
    check_applies(TrainingOptions(num_workers=2), IMAGES, start, strategy=head)
    with pytest.raises(OptionError, match="strategy 'head' cannot oversample"):
        check_applies(TrainingOptions(imbalance="oversample"), IMAGES, start, strategy=head)


def test_a_value_that_is_off_asks_for_nothing():
    check_applies(TrainingOptions(mixup=0.0, augment="none", drop_path=0.0), TEXTS)
    assert steps_asked(TrainingOptions(num_workers=2, views=0, precision="bf16", seed=3)) == []
    assert steps_asked(TrainingOptions(clip=0.0, ema=False)) == ["clip", "ema"]


def test_the_default_strategy_is_one_rule():
    linear = make_start("linear", None, "scratch/linear")
    assert default_strategy(linear)[0] is STRATEGIES["head"]
    assert default_strategy(linear, ["num_steps"])[0] is STRATEGIES["full"]
    assert default_strategy(make_start("vit", "imagenet"))[0] is STRATEGIES["lp-ft"]
    assert default_strategy(make_start())[0] is STRATEGIES["full"]
    assert all(name == strategy.name for name, strategy in STRATEGIES.items())


@pytest.mark.parametrize("value", ["yes", 2])
def test_a_switch_takes_yes_or_no_and_nothing_else(value):
    with pytest.raises(OptionError, match=f"ema is {value!r}, expected True or False"):
        check_options(TrainingOptions(ema=value))


def test_one_name_where_several_are_taken_is_one_of_several():
    @takes(FitOptions)
    def verb(options: FitOptions) -> object:
        """Say what was asked.

        Returns:
            The options.
        """
        return options

    assert verb("x", starts="scratch/linear", log="csv").starts == ("scratch/linear",)
    assert verb("x", starts=["a", "b"]).starts == ["a", "b"]
    assert verb("x", value_range="04").value_range == "04"  # no numbers: refused as what it is
