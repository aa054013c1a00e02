"""A loss over a whole step, in parts: the gradient of one large batch."""

import threading

import numpy as np
import pytest
import torch
from torch import nn

from headstart.objectives import Wanted
from headstart.objectives.contrastive import contrastive_loss
from headstart.starts.duals.networks import DualNetwork
from headstart.training.batches.feed import Batch
from headstart.training.company import NoExchange
from headstart.training.contract import Check, Hooks, LoopOptions, Pause, never
from headstart.training.loop import Loop, train
from headstart.training.randomness import seed_step
from headstart.training.state.checkpoint import CheckpointFolder
from headstart.training.whole_step import OverStep
from headstart.types.ragged import IGNORED

NUM = 12


class Words(nn.Module):
    """Mean of embeddings, with dropout."""

    def __init__(self, dropout):
        super().__init__()
        self.table, self.drop = nn.Embedding(20, 8), nn.Dropout(dropout)

    def forward(self, ids, mask):
        states = self.drop(self.table(ids)) * mask[..., None]
        return states.sum(1) / mask.sum(1, keepdim=True)


def network(dropout=0.0, norm=False):
    torch.manual_seed(0)
    layers = [nn.Flatten(), nn.Linear(27, 10), *([nn.BatchNorm1d(10)] if norm else []), nn.ReLU()]
    return DualNetwork(nn.Sequential(*layers), Words(dropout), (10, 8), 6)


def batches(size):
    """Return the micro-batches of one step: images with one to three captions."""
    draw = torch.Generator().manual_seed(1)
    images = torch.rand(NUM, 3, 3, 3, generator=draw)
    counts = [1 + i % 3 for i in range(NUM)]
    ids = torch.randint(1, 20, (sum(counts), 4), generator=draw)
    targets = torch.full((NUM, 4), IGNORED)
    targets[:, 0] = torch.arange(NUM)
    for i, count in enumerate(counts):
        targets[i, 1 : 1 + count] = 100 + 3 * i + torch.arange(count)
    ends = np.cumsum(counts)
    made = []
    for start in range(0, NUM, size):
        some = slice(start, start + size)
        texts = slice(int(ends[start] - counts[start]), int(ends[min(start + size, NUM) - 1]))
        mask = torch.ones_like(ids[texts])
        widest = max(counts[some])  # as a feed pads a micro-batch
        made.append(
            Batch(
                (images[some], ids[texts], mask),
                targets[some, : 1 + widest],
                None,
                1.0,
                np.arange(NUM)[some],
                size / NUM,
                start + size >= NUM,
            )
        )
    return made


def hooks_of(module, size, join=NoExchange, mine=slice(None)):
    """Return what a loop is handed; ``mine`` are the micro-batches of this process."""
    over = OverStep(
        lambda batch: module(*batch.inputs),
        lambda rows, targets: contrastive_loss(rows, Wanted(targets)),
    )
    return Hooks(
        batches=lambda step, micro_batch_size=None: iter(batches(micro_batch_size or size)[mine]),
        compute_loss=lambda batch: over.loss(over.embed(batch), batch.targets),
        check=lambda: Check(0.0, 0.0, 0.0),
        learning_rate_factor=lambda progress: 1.0,
        set_mode=module.train,
        stop_requested=never,
        over_step=over,
        join=join,
    )


def options_of(**more):
    numbers = {"num_steps": 6, "steps_per_check": 6, "steps_per_epoch": 1, "batch_size": NUM}
    plain = {"clip": 0.0, "ema_half_life": 0.0, "patience": 0, "seed": 5}
    return LoopOptions(**(numbers | plain | more))


def optimizer_of(module):
    groups = [{"params": list(module.parameters()), "lr": 0.01, "peak": 0.01}]
    return torch.optim.AdamW(groups)


def loop_of(module, size):
    """Return a loop at its first step."""
    loop = Loop(module, optimizer_of(module), hooks_of(module, size), options_of(), None, None)
    loop._set_mode()
    loop.statistics.keep()
    return loop


def gradients(module):
    return {name: p.grad.clone() for name, p in module.named_parameters()}


@pytest.mark.parametrize("size", [1, 4, 5])
def test_micro_batches_give_the_gradient_of_the_whole_step(size):
    whole, parts = network(), network()
    loss, ids = loop_of(whole, NUM).accumulate()
    told, told_ids = loop_of(parts, size).accumulate()
    assert told == pytest.approx(float(loss), abs=1e-6)
    assert np.concatenate(told_ids).tolist() == np.concatenate(ids).tolist()
    for name, gradient in gradients(whole).items():
        assert gradient.abs().max() > 0, name
        torch.testing.assert_close(gradients(parts)[name], gradient, atol=1e-5, rtol=1e-5)


def test_losses_of_parts_alone_would_give_another_gradient():
    whole, parts = network(), network()
    loop_of(whole, NUM).accumulate()
    for batch in batches(4):
        rows = parts(*batch.inputs)
        (contrastive_loss(rows, Wanted(batch.targets)) * batch.part).backward()
    differ = [(parts.get_parameter(n).grad - g).abs().max() for n, g in gradients(whole).items()]
    assert max(differ) > 1e-3


def test_both_passes_draw_the_same_random_numbers_and_statistics_are_learned_once():
    module, wanted = network(0.5, norm=True), network(0.5, norm=True)
    loop_of(module, 4).accumulate()
    wanted.train()
    seed_step(5, 0, 0)
    rows = [wanted(*batch.inputs) for batch in batches(4)]
    images = torch.cat([each[:4] for each in rows])
    texts = torch.cat([each[4:] for each in rows])
    targets = torch.cat([batch.targets for batch in batches(4)])
    contrastive_loss(torch.cat([images, texts]), Wanted(targets)).backward()
    for name, gradient in gradients(wanted).items():
        torch.testing.assert_close(gradients(module)[name], gradient, atol=1e-5, rtol=1e-5)
    for (name, buffer), (_, other) in zip(
        module.named_buffers(), wanted.named_buffers(), strict=True
    ):
        torch.testing.assert_close(buffer, other, msg=name)


def test_memory_that_runs_out_in_the_second_pass_goes_on_in_smaller_parts():
    whole, parts = network(), network()
    loop_of(whole, NUM).accumulate()
    loop = loop_of(parts, 6)
    over, calls = loop.hooks.over_step, []

    def embed(batch):
        calls.append(len(batch.ids))
        if len(calls) == 3:  # the first of the second pass
            raise MemoryError
        return over.embed(batch)

    object.__setattr__(loop.hooks, "over_step", OverStep(embed, over.loss))
    loop._accumulate_within_memory()
    assert calls == [6, 6, 6, 3, 3, 3, 3]  # what was gathered is not gathered again
    for name, gradient in gradients(whole).items():
        torch.testing.assert_close(gradients(parts)[name], gradient, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("size", [4, NUM])
def test_a_training_that_pauses_and_goes_on_elsewhere_ends_in_the_same_bits(tmp_path, size):
    def run(module, **more):
        checkpoints = more.pop("checkpoints", None)
        hooks, options = hooks_of(module, size), options_of(**more)
        return train(module, optimizer_of(module), hooks, options, checkpoints=checkpoints)

    whole, begun, resumed = network(0.5, True), network(0.5, True), network(0.1, True)
    assert run(whole).ended == "finished"
    folder = CheckpointFolder(tmp_path)
    assert run(begun, checkpoints=folder, pause=Pause(2)).ended == "paused"
    resumed.text.drop.p = 0.5
    with torch.no_grad():
        resumed.image_projection.weight.zero_()  # another process: nothing but the checkpoint
    assert run(resumed, checkpoints=folder).ended == "finished"
    for name, tensor in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], tensor), name


class Met:
    """What two processes in two threads give each other, in turn."""

    def __init__(self):
        self.given, self.barrier = {}, threading.Barrier(2, timeout=60)

    def all_gather(self, rank, rows):
        self.given[rank] = rows
        self.barrier.wait()
        found = [self.given[0], self.given[1]]
        self.barrier.wait()
        return found


class TwoExchange(NoExchange):
    """One of two processes, seen from its loop."""

    is_alone = False

    def __init__(self, loop, met):
        super().__init__(loop)
        self.met = met

    def all_gather(self, rows):
        return self.met.all_gather(self.loop.options.rank, rows)


def test_two_processes_give_together_what_one_gives():
    whole, met, told = network(), Met(), {}
    loss, _ = loop_of(whole, NUM).accumulate()
    parts = [network(), network()]

    def work(rank):  # three micro-batches: the first process has two of them
        mine = slice(0, 2) if rank == 0 else slice(2, 3)
        hooks = hooks_of(parts[rank], 4, lambda loop: TwoExchange(loop, met), mine)
        options = options_of(rank=rank)
        loop = Loop(parts[rank], optimizer_of(parts[rank]), hooks, options, None, None)
        loop._set_mode()
        loop.statistics.keep()
        told[rank] = loop.accumulate()[0]

    threads = [threading.Thread(target=work, args=(rank,)) for rank in (0, 1)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(60)
    assert float(told[0] + told[1]) == pytest.approx(float(loss), abs=1e-6)
    for name, gradient in gradients(whole).items():
        found = sum(part.get_parameter(name).grad for part in parts)
        torch.testing.assert_close(found, gradient, atol=1e-5, rtol=1e-5)
