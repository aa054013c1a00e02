"""Searching token by token: by hand on a table of chances, and as transformers does on networks."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from headstart.decoding import WritingRules, begin_search, written_by
from headstart.decoding.following import brief, follow, likeliest
from headstart.decoding.greedy import draw_token
from headstart.decoding.writing_options import Writing
from headstart.types.texts import Telling

END, FILL = 0, 0
# What follows which token, as shares; a prompt is its last token.
NEXT = np.array(
    [
        [1.0, 0.0, 0.0, 0.0],
        [0.1, 0.1, 0.5, 0.3],
        [0.4, 0.35, 0.05, 0.2],
        [0.9, 0.02, 0.04, 0.04],
    ],
    np.float32,
)
RULES = WritingRules(ends=(END,), fill=FILL)


class Chances:
    """``Steps`` of a table; remembers how many rows it was asked about."""

    def __init__(self, prompts):
        self.last = np.array([prompt[-1] for prompt in prompts])
        self.rows = []

    def _logits(self):
        self.rows.append(len(self.last))
        return np.log(NEXT[self.last] + 1e-9)

    def begin(self):
        return self._logits()

    def advance(self, tokens, origins):
        assert len(tokens) == len(origins)
        assert (origins < self.rows[-1]).all()
        self.last = tokens
        return self._logits()


def searched(prompts, how, rules=RULES):
    prompts = [np.array(one) for one in prompts]
    return begin_search(Chances(prompts), rules, how, prompts)


def texts(prompts, how, rules=RULES):
    return written_by(searched(prompts, how, rules))


def chance_of(prompt, ids):
    places = [prompt[-1], *ids]
    return sum(np.log(NEXT[a, b] + 1e-9) for a, b in pairwise(places))


def test_the_likeliest_token_each_time_until_one_ends_it_or_there_is_no_room():
    assert texts([[1], [3]], Telling(max_tokens=5)) == [[2, 0], [0]]
    assert texts([[1]], Telling(max_tokens=1)) == [[2]]
    assert texts([[1]], Telling(max_tokens=9, tokens_a_token=0.01)) == [[2, 0]]
    # room that is read and written together, of each row by itself
    rules = WritingRules(ends=(3,), fill=3, room=4)
    assert [len(ids) for ids in texts([[1, 1, 1], [1]], Telling(max_tokens=9), rules)] == [1, 3]


def test_rows_that_have_ended_are_computed_no_more():
    search = searched([[1], [3], [3]], Telling(max_tokens=5))
    assert (search.advance(), search.under_way) == ([0, 1, 2], [0])
    assert (search.advance(), search.is_done) == ([0], True)
    assert search._steps.rows == [3, 1]


def test_rows_that_nobody_waits_for_are_left_out_and_change_no_other():
    for beams in (1, 2):
        how = Telling(beams, 6)
        whole = texts([[2], [1], [1]], how)
        search = searched([[2], [1], [1]], how)
        search.drop([2])
        search.advance()
        search.drop([0])
        written_by(search)
        assert search.written[1] == whole[1]
        assert search.written[2] == []


@pytest.mark.parametrize("beams", [2, 3])
def test_beams_find_what_is_likelier_as_a_whole(beams):
    how = Telling(beams, 3, length_penalty=0.0)
    (found,) = texts([[1]], how)
    every = [[END]]
    every += [[a, END] for a in (1, 2, 3)] + [[a, b, END] for a in (1, 2, 3) for b in (1, 2, 3)]
    best = max(every, key=lambda ids: chance_of([1], ids))
    assert found == best == [3, 0]
    assert texts([[1]], Telling(1, 3)) == [[2, 0]]  # which the likeliest token hides
    search = searched([[1]], how)
    written_by(search)
    assert search.scores[0] == pytest.approx(chance_of([1], best), abs=1e-5)


def test_what_must_and_what_must_not_be_written():
    rules = WritingRules(ends=(END,), fill=FILL, never=(2,), has_last_end=True)
    for beams in (1, 3):
        assert 2 not in texts([[1]], Telling(beams, 6), rules)[0]
        assert texts([[1]], Telling(beams, 4, first_id=1), rules)[0][0] == 1
        assert texts([[1]], Telling(beams, 1), rules) == [[END]]
    again = WritingRules.from_json(rules.to_json())
    assert again == rules
    with pytest.raises(ValueError, match="rules of writing"):
        WritingRules.from_json({**rules.to_json(), "ends": []})


def test_a_draw_is_a_function_of_the_seed_and_of_what_is_asked():
    def drawn(prompts, seed):
        return texts(prompts, Telling(max_tokens=12, temperature=1.0, seed=seed))

    assert drawn([[1, 2], [1]], 3) == [*drawn([[1, 2]], 3), *drawn([[1]], 3)]
    assert len({str(drawn([[2, 1]], seed)) for seed in range(20)}) > 3


def test_draws_are_as_frequent_as_they_are_likely():
    scores = np.log(NEXT[1])
    rng = np.random.default_rng(0)
    found = np.bincount([draw_token(scores, 1.0, 1.0, c) for c in rng.random(4000)], minlength=4)
    assert np.abs(found / 4000 - NEXT[1]).max() < 0.03
    # of the likeliest that have 0.75 of it together: 0.5 and 0.3
    kept = np.bincount([draw_token(scores, 1.0, 0.75, c) for c in rng.random(4000)], minlength=4)
    assert np.abs(kept / 4000 - [0, 0, 0.625, 0.375]).max() < 0.03
    assert {draw_token(scores, 0.01, 1.0, c) for c in rng.random(50)} == {2}
    assert draw_token(scores, 1.0, 1e-9, 0.999) == 2


def test_what_is_known_is_followed_row_by_row_and_kept_in_brief():
    told = [[2, 0], [0], [3, 1, 0]]
    steps = Chances([[1], [1], [2]])
    found = list(follow(steps, told))
    assert [rows.tolist() for rows, _ in found] == [[0, 1, 2], [0, 2], [2]]
    last = found[2][1]
    assert np.allclose(last, np.log(NEXT[1] + 1e-9)[None])
    best = likeliest(last)
    assert best.tolist() == [[2, 3, 0]]
    assert np.allclose(brief(last, best), last[:, [2, 3, 0, 1]])


GPT = {"n_positions": 64, "n_embd": 32, "n_layer": 2, "n_head": 2}
LLAMA = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
}
SIDES = {
    "d_model": 32,
    **dict.fromkeys(("encoder_layers", "decoder_layers"), 2),
    **dict.fromkeys(("encoder_attention_heads", "decoder_attention_heads"), 2),
    **dict.fromkeys(("encoder_ffn_dim", "decoder_ffn_dim"), 48),
    "max_position_embeddings": 64,
}
T5 = {"d_model": 32, "d_kv": 16, "d_ff": 48, "num_layers": 2, "num_heads": 2}
NETWORKS = {"gpt2": GPT, "llama": LLAMA, "m2m_100": SIDES, "t5": T5}
PAD, LAST = 1, 2


@pytest.mark.parametrize("kind", NETWORKS)
def test_networks_write_what_transformers_itself_writes(kind):
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    from headstart.starts.texts.decoders import DECODER_TYPES, DECODERS
    from headstart.starts.texts.language_network import build_language_model
    from headstart.starts.texts.sequences import SEQUENCES, build_sequences, search_of

    is_decoder = kind in DECODER_TYPES
    record = {"model_type": kind, "vocab_size": 90, "pad_token_id": PAD, "eos_token_id": LAST}
    record |= {"bos_token_id": LAST, "decoder_start_token_id": LAST, **NETWORKS[kind]}
    torch.manual_seed(1)
    made = DECODERS if is_decoder else SEQUENCES
    build = build_language_model if is_decoder else build_sequences
    network = build(made.clean(record, "a start")).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim == 2:
                parameter.copy_(torch.randn_like(parameter) * 0.25)
    ids = torch.randint(5, 90, (5, 8))
    mask = torch.ones_like(ids)
    for row, missing in enumerate((0, 3, 5, 1, 7)):
        place = slice(0, missing) if is_decoder else slice(8 - missing, 8)
        mask[row, place], ids[row, place] = 0, PAD
    hows = [Telling(1, 12), Telling(3, 12), Telling(4, 9, length_penalty=2.0)]
    for how in hows if is_decoder else [*hows, Telling(3, 9, first_id=7)]:
        if is_decoder:
            beams = {"num_beams": how.num_beams, "length_penalty": how.length_penalty}
            own = transformers.GenerationConfig(
                max_new_tokens=how.max_tokens,
                eos_token_id=LAST,
                pad_token_id=LAST,
                **(beams if how.num_beams > 1 else {}),
            )
        else:
            own = search_of(network.model.config, how)
        own.use_cache = False
        said = network.model.generate(ids, attention_mask=mask, generation_config=own)
        said = said[:, ids.shape[1] if is_decoder else 1 :]
        assert _cut(network.tell(ids, mask, how=how)) == _cut(said), (kind, how)


def _cut(rows):
    found = []
    for row in rows.tolist():
        found.append(row[: row.index(LAST) + 1] if LAST in row else row)
    return found


@pytest.mark.parametrize("name", ["max_tokens", "num_beams", "temperature", "top_p", "seed"])
@pytest.mark.parametrize("value", ["0.7", True, [1]])
def test_what_is_said_of_writing_by_no_number_is_a_problem(name, value):
    (told,) = Writing(**{name: value}).problems()
    assert f"{name} is {value!r}, expected a" in told
    assert Writing(temperature=np.float32(0.5), seed=np.int64(3)).problems() == []
