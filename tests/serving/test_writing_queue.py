"""What waits to be written: groups in turns, whoever hangs up or waits too long, failures."""

from __future__ import annotations

import asyncio
import threading
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("starlette")

from headstart.decoding import WritingRules, begin_search
from headstart.preprocessing import NamedInput
from headstart.serving import ServerLimits, ServerMeasures
from headstart.serving.refusals import ClientGone, Refusal
from headstart.serving.room import Asked
from headstart.serving.writing import MOST_GROUPS, WritingQueue
from headstart.types.texts import Telling

END = 9
RULES = WritingRules(ends=(END,), fill=END)
INPUTS = [
    NamedInput("input_ids", "int64", ("length",), (20,), 50, 9, fills_before=True),
    NamedInput("attention_mask", "int64", ("length",), (2,), 50, fills_before=True),
]


class Counting:
    """``Steps`` that count down from the last token of the prompt, and can be held and broken."""

    def __init__(self, arrays, bundle):
        self.last, self._bundle = arrays["input_ids"][:, -1], bundle
        bundle.batches.append(arrays)

    def _logits(self):
        self._bundle.steps += 1
        assert self._bundle.may_go.wait(20)
        if self._bundle.is_broken:
            raise RuntimeError("broken")
        logits = np.zeros((len(self.last), 20), np.float32)
        after = np.where(self.last == 10, END, self.last - 1)
        logits[np.arange(len(self.last)), after] = 1
        return logits

    def begin(self):
        return self._logits()

    def advance(self, tokens, origins):
        self.last = tokens
        return self._logits()


class Bundle:
    """As much of a bundle as a queue asks for."""

    def __init__(self):
        self.record = SimpleNamespace(name="counts")
        self.writer = SimpleNamespace(inputs=INPUTS)
        self.may_go, self.is_broken, self.steps = threading.Event(), False, 0
        self.may_go.set()
        self.batches = []

    def search(self, arrays, how):
        prompts = [row[has > 0] for row, has in zip(*arrays.values(), strict=True)]
        return begin_search(Counting(arrays, self), RULES, how, prompts)


def prompt(*last, length=1):
    ids = np.array([[11] * (length - 1) + [one] for one in last])
    return {"input_ids": ids, "attention_mask": np.ones_like(ids)}


def asked(seconds=20.0, is_gone=lambda: False):
    return Asked(asyncio.get_running_loop().time() + seconds, is_gone)


def counted(last):
    return [*range(last - 1, 9, -1), END]


def run(work):
    bundle = Bundle()
    queue = WritingQueue(bundle, ServerLimits(batch_rows=4), ServerMeasures())
    try:
        return asyncio.run(work(queue, bundle))
    finally:
        bundle.may_go.set()
        queue.retire()


HOW = Telling(max_tokens=20)


def test_requests_side_by_side_are_each_written_as_alone():
    async def work(queue, bundle):
        bundle.may_go.clear()
        first = asyncio.ensure_future(queue.write(prompt(15), HOW, asked()))
        while not bundle.steps:
            await asyncio.sleep(0.001)
        others = [
            asyncio.ensure_future(queue.write(prompt(last, length=1 + last % 3), HOW, asked()))
            for last in (11, 19, 13)
        ]
        bundle.may_go.set()
        return await asyncio.gather(first, *others), bundle

    found, bundle = run(work)
    assert found == [[counted(last)] for last in (15, 11, 19, 13)]
    sizes = [len(arrays["input_ids"]) for arrays in bundle.batches]
    assert sizes == [1, 3]  # those that waited are one group
    ids, mask = bundle.batches[1].values()
    assert (ids[mask == 0] == 9).all()
    assert (mask[:, -1] == 1).all()  # filled up before what is gone on with


def test_a_short_answer_does_not_wait_for_a_long_one():
    async def work(queue, bundle):
        told = []
        bundle.may_go.clear()  # else a loop that is woken late finds the long one written
        long = asyncio.ensure_future(queue.write(prompt(19), HOW, asked(), lambda ids: None))
        while not bundle.steps:
            await asyncio.sleep(0.001)
        short = asyncio.ensure_future(queue.write(prompt(11), HOW, asked()))
        await asyncio.sleep(0)  # it waits now
        bundle.may_go.set()
        for job, name in ((long, "long"), (short, "short")):
            job.add_done_callback(lambda _, name=name: told.append(name))
        await asyncio.gather(long, short)
        return told

    assert run(work) == ["short", "long"]


def test_a_large_request_is_written_in_parts_and_others_want_it_otherwise():
    async def work(queue, bundle):
        lasts = [10 + n % 9 for n in range(11)]
        brief = Telling(max_tokens=2)
        many, other = await asyncio.gather(
            queue.write(prompt(*lasts), HOW, asked()), queue.write(prompt(18), brief, asked())
        )
        assert many == [counted(last) for last in lasts]
        assert other == [[17, 16]]
        return max(len(arrays["input_ids"]) for arrays in bundle.batches)

    assert run(work) == 4


def test_who_reads_along_is_told_every_token():
    async def work(queue, bundle):
        heard = []
        await queue.write(prompt(13), HOW, asked(), heard.append)
        return heard

    assert run(work) == [counted(13)[:n] for n in range(1, 5)]


def test_who_hangs_up_or_waits_too_long_ends_the_writing_between_two_tokens():
    async def work(queue, bundle):
        gone = []
        bundle.may_go.clear()
        reads = asyncio.ensure_future(
            queue.write(prompt(19), HOW, asked(is_gone=lambda: bool(gone)), lambda ids: None)
        )
        while not bundle.steps:
            await asyncio.sleep(0.001)
        gone.append(True)
        bundle.may_go.set()
        with pytest.raises(ClientGone):
            await reads
        steps = bundle.steps
        await asyncio.sleep(0.05)
        assert steps == bundle.steps < len(counted(19))
        bundle.may_go.clear()
        late = asyncio.ensure_future(queue.write(prompt(19), HOW, asked(seconds=0.05)))
        await asyncio.sleep(0.1)
        bundle.may_go.set()
        with pytest.raises(Refusal) as refusal:
            await late
        assert refusal.value.status == 504
        assert not queue._groups
        # what was left behind is no burden for who comes then
        assert await queue.write(prompt(12), HOW, asked()) == [counted(12)]

    run(work)


def test_as_many_groups_go_on_as_there_are_places():
    async def work(queue, bundle):
        bundle.may_go.clear()
        jobs = []
        for place in range(MOST_GROUPS + 2):
            how = Telling(max_tokens=3 + place)  # each wants to be written otherwise
            jobs.append(asyncio.ensure_future(queue.write(prompt(19), how, asked())))
        while not bundle.steps:
            await asyncio.sleep(0.001)
        assert len(bundle.batches) == len(queue._groups) == MOST_GROUPS
        bundle.may_go.set()
        found = await asyncio.gather(*jobs)
        assert [len(ids) for ((ids),) in found] == [3 + n for n in range(MOST_GROUPS + 2)]

    run(work)


def test_a_network_that_fails_fails_its_requests_alone():
    async def work(queue, bundle):
        bundle.is_broken = True
        with pytest.raises(RuntimeError, match="broken"):
            await queue.write(prompt(13), HOW, asked())
        bundle.is_broken = False
        assert await queue.write(prompt(13), HOW, asked()) == [counted(13)]

    run(work)
