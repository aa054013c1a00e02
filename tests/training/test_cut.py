import copy
import time

import pytest
import timm
import torch
from torch import nn
from torch.nn import functional

from headstart.starts.encoder import group_layers
from headstart.starts.images.scratch import SimpleCNN
from headstart.training.frozen.cut import Cut, Uncut, cut_network
from headstart.training.frozen.suffix import CutError
from headstart.training.options.strategy import set_train_mode

SMALL = {
    "resnet18": (64, {}),
    "tf_efficientnet_lite0": (64, {}),
    "vit_tiny_patch16_224": (48, {"img_size": 48}),
    "convnext_atto": (64, {}),
}
# every family that torch.export was shown to trace, at the smallest size that suits it
FAMILIES = {
    **SMALL,
    "mobilenetv3_small_050": (64, {}),
    "mobilenetv4_conv_small": (64, {}),
    "deit3_small_patch16_224": (64, {"img_size": 64}),
    "swin_tiny_patch4_window7_224": (224, {}),
    "vgg11_bn": (64, {}),
    "densenet121": (64, {}),
    "levit_128s": (224, {}),
    "edgenext_xx_small": (64, {}),
    "vit_small_patch14_dinov2": (56, {"img_size": 56}),
    "eva02_tiny_patch14_224": (56, {"img_size": 56}),
    "regnetx_002": (64, {}),
    "mixer_s16_224": (64, {"img_size": 64}),
    "coat_tiny": (64, {"img_size": 64}),
    "efficientvit_b0": (64, {}),
    "maxvit_tiny_rw_224": (224, {}),
    "tiny_vit_5m_224": (224, {}),
}
NO_DROP_PATH = ("vgg11_bn", "densenet121", "efficientvit_b0")


class Classifier(nn.Module):
    """An encoder with dropout and a linear head, as ``Model`` has them."""

    def __init__(self, encoder, num_features, classes=4) -> None:
        super().__init__()
        self.encoder = encoder
        self.drop = nn.Dropout(0.2)
        self.head = nn.Linear(num_features, classes)

    def forward(self, *inputs):
        return self.head(self.drop(self.encoder(*inputs)))


def build(name):
    """Return a classifier with lively BatchNorm statistics and drop path, its layers, images."""
    size, options = FAMILIES[name]
    if name not in NO_DROP_PATH:
        options = {**options, "drop_path_rate": 0.2}
    torch.manual_seed(0)
    encoder = timm.create_model(name, pretrained=False, num_classes=0, **options)
    for module in encoder.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.weight, 0.5, 1.5)
    layers = [[f"encoder.{n}" for n in group] for group in group_layers(encoder)]
    images = torch.rand(5, 3, size, size).to(memory_format=torch.channels_last)
    with torch.no_grad():
        num_features = encoder.eval()(images[:2]).shape[1]
    model = Classifier(encoder, num_features).to(memory_format=torch.channels_last)
    return model, layers, images


def freeze_up_to(model, layers, share):
    """Freeze the first layers: all of them, all but the last, or half."""
    count = {"head": len(layers), "last": len(layers) - 1, "half": len(layers) // 2}[share]
    frozen = {name for group in layers[:count] for name in group}
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name not in frozen)


def assert_trains_alike(model, inputs, batchnorm="train", steps=3):
    """Train a copy whole and the model in two parts; every weight and buffer stays equal."""
    whole = copy.deepcopy(model)
    cut = cut_network(model, inputs, batchnorm=batchnorm)
    assert isinstance(cut, Cut), cut
    kept = cut.compute(*inputs)
    targets = torch.arange(len(inputs[0])) % 4
    for network, run in (
        (whole, lambda: whole(*inputs)),
        (model, lambda: cut.suffix(*cut.merge([t.clone() for t in kept], inputs))),
    ):
        learning = [p for p in network.parameters() if p.requires_grad]
        optimizer = torch.optim.SGD(learning, lr=0.01, momentum=0.9)
        set_train_mode(network, batchnorm)
        for step in range(steps):
            torch.manual_seed(step)
            functional.cross_entropy(run(), targets).backward()
            optimizer.step()
            optimizer.zero_grad()
    for (name, one), other in zip(
        whole.state_dict().items(), model.state_dict().values(), strict=True
    ):
        assert torch.equal(one, other), name
    whole.eval()
    model.eval()
    with torch.no_grad():
        assert torch.equal(whole(*inputs), cut.suffix(*cut.merge(cut.compute(*inputs), inputs)))
    return cut


@pytest.mark.parametrize("share", ["head", "last", "half"])
@pytest.mark.parametrize("name", SMALL)
def test_image_networks_train_in_two_parts_bit_for_bit(name, share):
    model, layers, images = build(name)
    freeze_up_to(model, layers, share)
    cut = assert_trains_alike(model, (images,))
    assert 0.2 < cut.flop_share <= 1
    if share == "head":  # pooled features cross, not the map they are pooled from
        assert cut.slots[0].shape == (model.head.in_features,)
        assert cut.bytes_per_sample == 4 * model.head.in_features


def test_frozen_statistics_of_learning_layers_stay_frozen():
    model, layers, images = build("tf_efficientnet_lite0")
    freeze_up_to(model, layers, "last")
    before = model.encoder.bn2.running_mean.clone()
    assert_trains_alike(model, (images,), batchnorm="frozen")
    assert torch.equal(model.encoder.bn2.running_mean, before)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("share", ["head", "last", "half"])
@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_trains_in_two_parts_bit_for_bit(name, share):
    model, layers, images = build(name)
    freeze_up_to(model, layers, share)
    assert_trains_alike(model, (images,), steps=2)


# Texts ------------------------------------------------------------------------------------------


class MeanPooled(nn.Module):
    """A transformer with the mean of its tokens, as text encoders have it."""

    def __init__(self, network) -> None:
        super().__init__()
        self.network = network

    def forward(self, ids, mask):
        states = self.network(input_ids=ids, attention_mask=mask).last_hidden_state
        weights = mask.unsqueeze(-1).to(states.dtype)
        return (states * weights).sum(1) / weights.sum(1).clamp(min=1)


def build_text(kind):
    transformers = pytest.importorskip("transformers")
    sizes = {"vocab_size": 90, "hidden_size": 32, "num_hidden_layers": 4}
    sizes |= {"num_attention_heads": 4, "intermediate_size": 48}
    torch.manual_seed(0)
    if kind == "bert":
        config = transformers.BertConfig(**sizes)
        network = transformers.BertModel(config, add_pooling_layer=False)
    elif kind == "roberta":
        config = transformers.RobertaConfig(**sizes, pad_token_id=1)
        network = transformers.RobertaModel(config, add_pooling_layer=False)
    elif kind == "distilbert":
        network = transformers.DistilBertModel(
            transformers.DistilBertConfig(
                vocab_size=90, dim=32, n_layers=4, n_heads=4, hidden_dim=48
            )
        )
    elif kind == "deberta":
        network = transformers.DebertaV2Model(
            transformers.DebertaV2Config(
                **sizes,
                relative_attention=True,
                pos_att_type=["p2c", "c2p"],
                position_buckets=8,
                norm_rel_ebd="layer_norm",
                share_att_key=True,
            )
        )
    else:
        network = transformers.ModernBertModel(
            transformers.ModernBertConfig(
                **sizes,
                global_attn_every_n_layers=2,
                local_attention=8,
                pad_token_id=0,
                bos_token_id=1,
                eos_token_id=2,
                cls_token_id=1,
                sep_token_id=2,
            )
        )
    ids = torch.randint(5, 90, (5, 12))
    mask = torch.ones_like(ids)
    mask[1, 7:] = 0
    mask[3, 3:] = 0
    return Classifier(MeanPooled(network), 32), (ids * mask, mask)


def learn_last_block(model, num_learning):
    """Freeze all but the last blocks and the head."""
    last = [f".{i}." for i in range(4 - num_learning, 4)]
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith("head") or any(part in name for part in last))


def check_text(kind, num_learning):
    model, inputs = build_text(kind)
    learn_last_block(model, num_learning)
    whole = copy.deepcopy(model)
    cut = cut_network(model, inputs, length_dim=1)
    assert isinstance(cut, Cut), cut
    if num_learning == 0:
        assert [(slot.shape, slot.input) for slot in cut.slots] == [((32,), None)]
    else:  # the mask is at hand with every batch; one state a token is kept
        assert [(slot.shape, slot.input) for slot in cut.kept] == [((None, 32), None)]
        assert {slot.input for slot in cut.slots} == {None, 1}
    for width in (12, 8):  # other batch sizes and lengths than the example's
        part = tuple(tensor[:4, :width] for tensor in inputs)
        for is_training in (True, False):
            for network in (whole, model):
                network.eval()
                if is_training:
                    set_train_mode(network)
            handed = cut.merge(cut.compute(*part), part)
            torch.manual_seed(1)
            expected = whole(*part)
            torch.manual_seed(1)
            assert torch.equal(expected, cut.suffix(*handed))


@pytest.mark.parametrize("num_learning", [0, 1, 2])
def test_bert_runs_in_two_parts_bit_for_bit(num_learning):
    check_text("bert", num_learning)


def test_texts_may_be_padded_where_those_that_the_cut_was_found_with_were_not():
    # without padding the network makes no mask at all, which it sees by looking at its numbers
    model, inputs = build_text("bert")
    learn_last_block(model, 1)
    cut = cut_network(model, (inputs[0][::2], torch.ones_like(inputs[1])[::2]), length_dim=1)
    assert isinstance(cut, Cut), cut
    model.eval()
    with torch.no_grad():
        handed = cut.merge(cut.compute(*inputs), inputs)
        assert torch.equal(model(*inputs), cut.suffix(*handed))


class EverySecond(nn.Module):
    """Half as many tokens, rounded up: lengths 7 and 8 give four alike."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(8, 8)

    def forward(self, tokens):
        return {"half": self.linear(tokens[:, ::2]), "mean": tokens.mean(1)}


class Strided(nn.Module):
    """A frozen part whose sizes go by steps, and that a learning part asks for its size."""

    def __init__(self):
        super().__init__()
        self.embedding, self.second = nn.Embedding(50, 8), EverySecond()
        self.mix, self.head = nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, ids, mask):
        tokens = self.embedding(ids)
        half = self.second(tokens)["half"] + tokens[:, ::2]
        tokens = self.mix(tokens) + half.mean(1, keepdim=True)
        return (self.head(tokens) * mask[..., None]).mean(1) / half.shape[1]


@pytest.mark.parametrize("length", [8, 9])
def test_a_length_that_goes_by_steps_is_worked_out_for_every_length(length):
    torch.manual_seed(0)
    network = Strided()
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name.startswith("head"))
    ids = torch.randint(50, (5, 12))
    example = ids[:, :length]
    cut = cut_network(network, (example, torch.ones_like(example)), length_dim=1)
    assert isinstance(cut, Cut), cut
    for rows, width in ((5, length), (4, 5), (1, 3), (3, 12)):
        part = (ids[:rows, :width], torch.ones(rows, width, dtype=torch.long))
        handed = cut.merge(cut.compute(*part), part)
        assert torch.equal(network(*part), cut.suffix(*handed))


@pytest.mark.slow
@pytest.mark.parametrize("num_learning", [0, 1, 2])
@pytest.mark.parametrize("kind", ["roberta", "distilbert", "deberta", "modernbert"])
def test_every_text_family_runs_in_two_parts_bit_for_bit(kind, num_learning):
    check_text(kind, num_learning)


# Where the cut lies -----------------------------------------------------------------------------


def test_cheap_steps_are_taken_on_the_side_that_lets_fewer_bytes_cross():
    # conv2, pooling, flattening and relu all lie before the dense layer: the pooled map crosses
    network = SimpleCNN(1, 28)
    cut = cut_network(
        network, (torch.rand(2, 1, 28, 28),), trainable={"dense.weight", "dense.bias"}
    )
    assert cut.slots[0].shape == (1600,)
    assert cut.kept == cut.slots


class Skipped(nn.Module):
    """Frozen states read twice behind the cut, once through a cheap activation that grows them."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 8)
        self.second = nn.Linear(16, 2)

    def forward(self, rows):
        states = self.first(rows)
        both = torch.cat([states, torch.relu(states)], dim=1)
        return self.second(both) + states[:, :2]


def test_what_can_be_computed_from_what_crosses_does_not_cross():
    cut = cut_network(Skipped(), (torch.rand(3, 4),), trainable={"second.weight"})
    assert [slot.shape for slot in cut.slots] == [(8,)]
    assert cut.name == "first"


def test_share_of_the_arithmetic_is_counted():
    stack = nn.Sequential(*(nn.Linear(8, 8) for _ in range(4)))
    cut = cut_network(stack, (torch.rand(2, 8),), trainable={"3.weight", "3.bias"})
    assert cut.flop_share == pytest.approx(0.75)
    assert cut.bytes_per_sample == 32


class Slow(nn.Module):
    """A layer that takes a known time."""

    def __init__(self, seconds) -> None:
        super().__init__()
        self.linear, self.seconds = nn.Linear(4, 4), seconds

    def forward(self, rows):
        time.sleep(self.seconds)
        return self.linear(rows)


def test_share_of_the_time_is_measured(still_clock, monkeypatch):
    monkeypatch.setattr(time, "perf_counter", still_clock)
    network, rows = nn.Sequential(Slow(0.06), Slow(0.02)).train(), torch.rand(2, 4)
    cut = cut_network(network, (rows,), trainable={"1.linear.weight"})
    assert cut.flop_share == 0.5
    assert cut.time_share(rows) == pytest.approx(0.75)
    assert network.training


class Twins(nn.Module):
    """Two frozen towers, whose outputs both cross."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(4, 3), nn.Linear(4, 5)
        self.head = nn.Bilinear(3, 5, 2)

    def forward(self, left, right):
        return self.head(self.left(left), self.right(right))


def test_several_tensors_cross_where_several_are_read():
    torch.manual_seed(0)
    network, inputs = Twins(), (torch.rand(4, 4), torch.rand(4, 4))
    cut = cut_network(network, inputs, trainable={"head.weight", "head.bias"})
    assert sorted(slot.shape for slot in cut.slots) == [(3,), (5,)]
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name.startswith("head"))
    assert torch.equal(network(*inputs), cut.suffix(*cut.compute(*inputs)))


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.LSTM(4, 8, batch_first=True), nn.Linear(8, 2)

    def forward(self, rows):
        return self.head(self.body(rows)[0][:, -1])


class EarlyDropout(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.drop = nn.Linear(4, 6), nn.Dropout(0.5)
        self.body, self.late, self.head = nn.Linear(6, 6), nn.Dropout(0.5), nn.Linear(6, 2)

    def forward(self, rows):
        return self.head(self.late(self.body(self.drop(self.embed(rows)))))


def test_dropout_inside_the_prefix_is_named_and_dropout_behind_it_works():
    torch.manual_seed(0)
    network, rows = EarlyDropout(), torch.rand(8, 4)
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name.startswith("head"))
    cut = cut_network(network, (rows,))
    assert cut.silenced == ("drop",)
    assert cut.slots[0].shape == (6,)
    set_train_mode(network)
    handed = cut.compute(rows)
    before = torch.get_rng_state()
    first, second = cut.suffix(*handed), cut.suffix(*handed)
    assert not torch.equal(first, second)  # the dropout before the head draws
    torch.set_rng_state(before)
    network.drop.eval()
    assert torch.equal(network(rows), first)  # and nothing else drew


def test_suffix_follows_autocast():
    model, layers, images = build("resnet18")
    freeze_up_to(model, layers, "last")
    with torch.autocast("cpu", torch.bfloat16):
        cut = cut_network(model, (images,))
        assert cut.slots[0].dtype == "bfloat16"
        model.eval()
        with torch.no_grad():
            assert torch.equal(model(images), cut.suffix(*cut.compute(images)))


@pytest.mark.parametrize("name", ["resnet18", "vit_tiny_patch16_224"])
def test_suffix_may_be_looked_at_under_inference_mode_before_it_learns(name):
    model, layers, images = build(name)
    freeze_up_to(model, layers, "half")
    model.encoder.requires_grad_(False)
    last = dict(model.encoder.named_parameters())[layers[-1][-1].removeprefix("encoder.")]
    last.requires_grad_(True)  # within a block, whose additions in place run on absent tensors
    cut = cut_network(model, (images,))
    assert isinstance(cut, Cut), cut
    with torch.inference_mode():
        model.eval()
        assert torch.equal(model(images), cut.suffix(*cut.compute(images)))
    set_train_mode(model)
    cut.suffix(*cut.compute(images[:3])).sum().backward()
    assert last.grad is not None


def test_recurrent_layers_are_refused_where_their_kernels_differ_by_mode():
    network = Recurrent()
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name.startswith("head"))
    found = cut_network(network, (torch.rand(3, 5, 4),))
    if isinstance(found, Cut):
        rows = torch.rand(4, 5, 4)
        assert torch.equal(network(rows), found.suffix(*found.compute(rows)))
    else:
        assert "other numbers than the whole" in found.reason


# What stays as it was ---------------------------------------------------------------------------


def test_cutting_leaves_the_network_as_it_was():
    model, layers, images = build("resnet18")
    freeze_up_to(model, layers, "half")
    model.encoder.layer2.train()
    modes = [module.training for module in model.modules()]
    flags = [parameter.requires_grad for parameter in model.parameters()]
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    random = torch.get_rng_state()
    learning = {f"encoder.layer4.{n}" for n, _ in model.encoder.layer4.named_parameters()}
    cut = cut_network(model, (images,), trainable=learning)
    assert isinstance(cut, Cut)
    cut.compute(images)
    assert [module.training for module in model.modules()] == modes
    assert [parameter.requires_grad for parameter in model.parameters()] == flags
    assert all(torch.equal(state[name], t) for name, t in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)
    assert not any("forward" in module.__dict__ for module in model.modules())


def test_suffix_has_the_parameters_of_the_network():
    model, layers, images = build("convnext_atto")
    freeze_up_to(model, layers, "last")
    cut = cut_network(model, (images,))
    assert list(map(id, cut.suffix.parameters())) == list(map(id, model.parameters()))
    set_train_mode(model)
    cut.suffix(*cut.compute(images)).sum().backward()
    assert all((p.grad is not None) == p.requires_grad for p in model.parameters())


def test_fingerprint_is_that_of_the_frozen_part():
    def fingerprint(change=None, kernel=3, trainable="2"):
        torch.manual_seed(0)
        network = nn.Sequential(
            nn.Conv2d(3, 4, kernel, padding=kernel // 2), nn.Flatten(), nn.Linear(4 * 64, 2)
        )
        if change is not None:
            with torch.no_grad():
                network[change].weight[0].add_(1)
        images = torch.rand(2, 3, 8, 8)
        names = {f"{trainable}.weight", f"{trainable}.bias"}
        return cut_network(network, (images,), trainable=names).fingerprint

    assert fingerprint() == fingerprint() == fingerprint(change=2)
    assert len({fingerprint(), fingerprint(change=0), fingerprint(kernel=1)}) == 3


def test_gradients_asked_for_in_the_frozen_part_are_an_error(heard):
    model, layers, images = build("vit_tiny_patch16_224")
    freeze_up_to(model, layers, "last")
    cut = cut_network(model, (images,))
    model.encoder.pos_embed.requires_grad_(True)
    with pytest.raises(CutError, match="Set requires_grad accordingly, or cut it again") as told:
        cut.suffix(*cut.compute(images))
    model.encoder.pos_embed.requires_grad_(False)  # as advised
    assert cut.suffix(*cut.compute(images)).requires_grad
    heard(told.value)


# What cannot be cut -----------------------------------------------------------------------------


class Centred(nn.Module):
    """Rows that depend on one another, as no prefix may."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, rows):
        states = self.body(rows)
        return self.head(states - states.mean(0))


class Branching(nn.Module):
    """The way through depends on the numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, rows):
        states = self.body(rows) * 2
        if states.sum() > 0:
            states = states + 1
        return self.head(torch.tanh(states))


@pytest.mark.parametrize(
    ("network", "trainable", "reason"),
    [
        (nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2)), {"0.weight"}, "no matrix product"),
        (nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2)), set(), "nothing learns"),
        (Branching(), {"head.weight"}, "its parts do not fit"),
    ],
)
def test_what_cannot_be_cut_says_why(network, trainable, reason):
    found = cut_network(network, (torch.rand(4, 4),), trainable=trainable)
    assert isinstance(found, Uncut)
    assert reason in found.reason


def test_samples_that_depend_on_one_another_never_cross():
    network, rows = Centred(), torch.rand(4, 4)
    cut = cut_network(network, (rows,), trainable={"head.weight"})
    assert isinstance(cut, Uncut)
    assert "other samples" in cut.reason


def test_networks_that_fail_are_refused_with_their_own_words():
    found = cut_network(nn.Linear(3, 2), (torch.rand(2, 4),))
    assert isinstance(found, Uncut)
    assert "RuntimeError" in found.reason


def test_one_sample_is_too_few():
    assert "two samples" in cut_network(nn.Linear(4, 2), (torch.rand(1, 4),)).reason
