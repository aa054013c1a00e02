"""Batches: whatever waits is computed together, nobody waits for company, and each gets its own."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from headstart.preprocessing import NamedInput
from headstart.serving import ServerLimits, ServerMeasures
from headstart.serving.batching import _PASS_TOKENS, Batcher, passes_of
from headstart.serving.refusals import ClientGone, Refusal

LIMITS = ServerLimits()


class Doubling:
    """A stand-in for a bundle: rows are answered with twice their sum; it can be held up."""

    def __init__(self, *inputs: NamedInput) -> None:
        self.record = SimpleNamespace(name="doubling")
        self.schema = SimpleNamespace(classes=())
        self.is_pieced = False
        self.task = SimpleNamespace(
            tells_words=False, finds_texts=False, has_classes=False, parts=()
        )
        session = SimpleNamespace(inputs=inputs or (NamedInput("x", "float32", (2,)),))
        self.members = (SimpleNamespace(session=session),)
        self.batches: list[tuple[int, ...]] = []
        self.may_go = threading.Event()
        self.may_go.set()

    def run(self, arrays):
        assert self.may_go.wait(30)
        (values,) = arrays[0].values()
        self.batches.append(values.shape)
        if (values == 13).any():
            raise RuntimeError("what a network may raise")
        return [values]

    def predictions(self, names, outputs):
        return list(zip(names, outputs[:, 0].tolist(), strict=True))

    def outputs(self, logits):
        return 2.0 * logits[0].sum(axis=1, keepdims=True)


def batcher(bundle: Doubling, **changes: object) -> Batcher:
    return Batcher(bundle, replace(LIMITS, **changes), ServerMeasures())


async def ask(
    one: Batcher, value: float, *, rows: int = 1, width: int = 2, is_gone=lambda: False, seconds=30
) -> float:
    array = np.full((rows, width), value, np.float32)
    deadline = asyncio.get_running_loop().time() + seconds
    with one.admitted(rows, array.nbytes):
        names = [f"{value:g}"] * rows
        found, told = await one.compute([{"x": array}], rows, deadline, is_gone, names)
    assert told == [(name, float(found[0, 0])) for name in names]
    assert len(set(found[:, 0].tolist())) == 1
    return float(found[0, 0])


async def until(is_so) -> None:
    while not is_so():
        await asyncio.sleep(0.001)


def test_what_waits_is_computed_together_and_each_gets_its_own():
    bundle = Doubling()

    async def work() -> list[float]:
        one = batcher(bundle, batch_rows=8)
        bundle.may_go.clear()
        asked = [asyncio.create_task(ask(one, 20 + number)) for number in range(20)]
        await asyncio.sleep(0.05)
        bundle.may_go.set()
        return await asyncio.gather(*asked)

    assert asyncio.run(work()) == [4.0 * (20 + number) for number in range(20)]
    sizes = [shape[0] for shape in bundle.batches]
    assert sum(sizes) == 20
    assert max(sizes) == 8
    assert len(sizes) <= 4


def test_one_alone_is_computed_at_once():
    bundle = Doubling()
    assert asyncio.run(ask(batcher(bundle), 1.0)) == 4.0
    assert bundle.batches == [(1, 2)]


def test_a_large_request_is_computed_in_parts():
    bundle = Doubling()
    assert asyncio.run(ask(batcher(bundle, batch_rows=8), 1.0, rows=20)) == 4.0
    assert [shape[0] for shape in bundle.batches] == [8, 8, 4]


def test_one_bad_row_fails_its_own_request_alone():
    bundle = Doubling()

    async def work() -> list[object]:
        one = batcher(bundle)
        bundle.may_go.clear()
        asked = [asyncio.create_task(ask(one, value)) for value in (1, 2, 13, 4)]
        await asyncio.sleep(0.05)
        bundle.may_go.set()
        return await asyncio.gather(*asked, return_exceptions=True)

    found = asyncio.run(work())
    assert [found[0], found[1], found[3]] == [4.0, 8.0, 16.0]
    assert isinstance(found[2], RuntimeError)


def test_an_answer_that_is_no_number_is_no_answer():
    with pytest.raises(Refusal, match="not a finite number"):
        asyncio.run(ask(batcher(Doubling()), float("nan")))


def test_more_than_may_wait_is_refused_at_once():
    bundle = Doubling()

    async def work() -> None:
        one = batcher(bundle, waiting_rows=4)
        bundle.may_go.clear()
        asked = [asyncio.create_task(ask(one, 1.0)) for _ in range(4)]
        await asyncio.sleep(0.01)
        with pytest.raises(Refusal, match="busy: 4 rows") as refused:
            await ask(one, 1.0)
        assert (refused.value.status, refused.value.headers) == (503, {"retry-after": "1"})
        bundle.may_go.set()
        assert await asyncio.gather(*asked) == [4.0] * 4
        assert await ask(one, 1.0) == 4.0  # there is room again
        assert await ask(one, 1.0, rows=9) == 4.0  # more than may wait, alone

    asyncio.run(work())


def test_bytes_that_wait_are_bounded_too():
    bundle = Doubling()

    async def work() -> None:
        one = batcher(bundle, waiting_bytes=20)
        bundle.may_go.clear()
        asked = asyncio.create_task(ask(one, 1.0, width=4))
        await asyncio.sleep(0.01)
        with pytest.raises(Refusal, match="busy"):
            await ask(one, 1.0, width=4)
        bundle.may_go.set()
        await asked

    asyncio.run(work())


def test_clients_that_have_gone_and_requests_that_are_late_are_not_computed():
    bundle = Doubling()

    async def work() -> list[object]:
        one = batcher(bundle)
        bundle.may_go.clear()
        first = asyncio.create_task(ask(one, 1.0))
        await asyncio.sleep(0.02)  # it is being computed
        gone = asyncio.create_task(ask(one, 2.0, is_gone=lambda: True))
        late = asyncio.create_task(ask(one, 3.0, seconds=0.01))
        ended = asyncio.create_task(ask(one, 4.0))
        await asyncio.sleep(0.05)
        ended.cancel()
        bundle.may_go.set()
        return await asyncio.gather(first, gone, late, ended, return_exceptions=True)

    first, gone, late, ended = asyncio.run(work())
    assert first == 4.0
    assert isinstance(gone, ClientGone)
    assert isinstance(late, Refusal)
    assert late.status == 504
    assert isinstance(ended, asyncio.CancelledError)
    assert bundle.batches == [(1, 2)]


def test_texts_of_like_lengths_share_a_batch_and_are_filled_up():
    bundle = Doubling(NamedInput("x", "float32", ("length",), (), None, 0))

    async def work() -> list[float]:
        one = batcher(bundle)
        bundle.may_go.clear()
        asked = [asyncio.create_task(ask(one, 1.0, width=w)) for w in (3, 9, 200, 16, 150)]
        await asyncio.sleep(0.05)
        bundle.may_go.set()
        return await asyncio.gather(*asked)

    assert asyncio.run(work()) == [6.0, 18.0, 400.0, 32.0, 300.0]
    assert sorted(bundle.batches) == [(1, 150), (1, 200), (3, 16)]


def test_a_short_text_does_not_wait_for_the_long_one_beside_it():
    is_let = threading.Event()

    class Slow(Doubling):
        def run(self, arrays):
            assert arrays[0]["x"].shape[1] < 200 or is_let.wait(30)
            return super().run(arrays)

    bundle = Slow(NamedInput("x", "float32", ("length",), (), None, 0))

    async def work() -> None:
        one = batcher(bundle)
        bundle.may_go.clear()
        first, long, short = [asyncio.create_task(ask(one, 1.0, width=w)) for w in (5, 200, 3)]
        await asyncio.sleep(0.05)
        bundle.may_go.set()
        assert await asyncio.wait_for(short, 20) == 6.0
        assert await first == 10.0
        assert not long.done()
        is_let.set()
        assert await long == 400.0

    asyncio.run(work())


def test_who_is_answered_is_told_so_before_the_next_pass_begins():
    bundle = Doubling(NamedInput("x", "float32", ("length",), (), None, 0))
    said: list[str] = []

    async def work() -> None:
        one = batcher(bundle)
        whole = one.in_thread

        async def in_thread(*given):
            said.append("pass")
            return await whole(*given)

        one.in_thread = in_thread

        async def asks(width: int) -> None:
            await ask(one, 1.0, width=width)
            said.append("told")

        bundle.may_go.clear()
        asked = [asyncio.create_task(asks(width)) for width in (5, 90, 3, 200)]
        await asyncio.sleep(0.05)
        bundle.may_go.set()
        await asyncio.gather(*asked)

    asyncio.run(work())
    assert said == ["pass", "told", "told", "pass", "told", "pass", "told"]


def test_passes_cost_the_least_that_any_division_costs():
    def cost(passes):
        return sum(
            _PASS_TOKENS + sum(rows[p] for p in places) * max(lengths[p] for p in places)
            for places in passes
        )

    def divisions(order):
        for cuts in range(2 ** (len(order) - 1)):
            found = [[order[0]]]
            for place, one in enumerate(order[1:]):
                found.append([one]) if cuts >> place & 1 else found[-1].append(one)
            yield found

    draw = np.random.default_rng(0)
    for _ in range(20):
        lengths = draw.integers(4, 120, 8).tolist()
        rows = draw.integers(1, 4, 8).tolist()
        found = passes_of(lengths, rows)
        assert sorted(place for places in found for place in places) == list(range(8))
        assert cost(found) == min(map(cost, divisions(np.argsort(lengths).tolist())))
    assert passes_of([5, 90, 6, 7], [1, 1, 1, 1]) == [[0, 2, 3], [1]]


def test_a_computation_that_does_not_end_is_stuck():
    bundle = Doubling()
    bundle.may_go.clear()

    async def go() -> list[bool]:
        one = batcher(bundle, request_seconds=0.15)
        found = [one.is_stuck]
        asked = asyncio.ensure_future(ask(one, 1))
        await asyncio.sleep(0.02)
        found.append(one.is_stuck)
        await until(lambda: one.is_stuck)
        bundle.may_go.set()
        await asked
        return [*found, one.is_stuck]

    assert asyncio.run(go()) == [False, False, False]


def test_what_is_retired_ends_with_its_last_request():
    bundle, former = Doubling(), set(threading.enumerate())

    async def work() -> None:
        one = batcher(bundle)
        bundle.may_go.clear()
        asked = asyncio.create_task(ask(one, 1.0))
        await asyncio.sleep(0.01)
        one.retire()
        bundle.may_go.set()
        assert await asked == 4.0
        own = set(threading.enumerate()) - former
        threads = [t for t in own if t.name.startswith("model-doubling")]
        await asyncio.to_thread(lambda: [t.join(30) for t in threads])
        assert not any(t.is_alive() for t in threads)

    asyncio.run(work())
