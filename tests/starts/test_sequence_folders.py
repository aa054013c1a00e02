"""Encoder–decoders in folders of transformers: BART, Marian and T5, read, run and refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from pairs_of_texts import pairs_of

transformers = pytest.importorskip("transformers")

from headstart.errors import StartError  # noqa: E402
from headstart.preprocessing.vocabulary import train_pair_tokenizer  # noqa: E402
from headstart.starts import BuildRequest, build_encoder, find_start, rebuild_encoder  # noqa: E402
from headstart.starts.texts.sequences import search_of  # noqa: E402
from headstart.types.texts import Telling  # noqa: E402

TEXTS, WANTED = pairs_of(60)
SIZES = {
    "bart": {
        "d_model": 32,
        **dict.fromkeys(("encoder_layers", "decoder_layers"), 2),
        **dict.fromkeys(("encoder_attention_heads", "decoder_attention_heads"), 2),
        **dict.fromkeys(("encoder_ffn_dim", "decoder_ffn_dim"), 64),
        "max_position_embeddings": 64,
    },
    "t5": {"d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 2, "num_heads": 2},
}
SIZES["marian"] = SIZES["bart"]


def _folder(place, kind):
    tokenizer = train_pair_tokenizer([*TEXTS, *WANTED], kind, vocab_size=400)
    ids = {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 1, "decoder_start_token_id": 0}
    if kind == "bart":
        ids |= {"forced_eos_token_id": 1}
    config = transformers.CONFIG_MAPPING[kind](
        vocab_size=tokenizer.vocab_size, **SIZES[kind], **ids
    )
    torch.manual_seed(0)
    model = transformers.AutoModelForSeq2SeqLM.from_config(config)
    folder = place / kind
    model.save_pretrained(str(folder))
    for name, content in tokenizer.files().items():
        (folder / name).write_bytes(content)
    return folder, model.eval()


def _built(folder):
    start = find_start(str(folder))
    assert (start.family, start.objective) == ("seq2seq", "seq2seq")
    request = BuildRequest(texts=TEXTS, wanted=WANTED, tells_texts=True, column="en")
    return build_encoder(start, request)


@pytest.mark.parametrize("kind", SIZES)
def test_a_folder_is_the_network_that_it_holds(tmp_path, kind):
    folder, model = _folder(tmp_path, kind)
    encoder = _built(folder).eval()
    names = [name for group in encoder.layers for name in group]
    assert sorted(names) == sorted(name for name, _ in encoder.named_parameters())
    assert len(encoder.layers) == 1 + 2 + 2
    inputs = encoder.preprocess.read(TEXTS[:4])
    ids, mask = (torch.from_numpy(a) for a in inputs.asked(np.arange(4)))
    before = torch.cat([torch.zeros(4, 1, dtype=torch.int64), ids[:, :-1]], dim=1)
    with torch.no_grad():
        found = encoder.tokens(ids, mask, before)
        expected = model(input_ids=ids, attention_mask=mask, decoder_input_ids=before).logits
        assert torch.allclose(found, expected, atol=1e-5)
        for num_beams in (1, 3):
            how = Telling(num_beams, 8)
            own = search_of(model.config, how)
            own.use_cache = False
            said = model.generate(input_ids=ids, attention_mask=mask, generation_config=own)
            rows = encoder.network.tell(ids, mask, how=how), said
            kept, anew = ([encoder.preprocess.text_of(r.numpy()) for r in each] for each in rows)
            assert kept == anew
    files = encoder.preprocess.files()
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    again = rebuild_encoder(json.loads(json.dumps(encoder.architecture)), folder=tmp_path)
    again.load_state_dict(encoder.state_dict(), strict=True)
    with torch.no_grad():
        assert torch.allclose(again.eval().tokens(ids, mask, before), found, atol=1e-6)


def test_what_does_not_fit_is_refused(tmp_path, heard):
    folder, _ = _folder(tmp_path, "bart")
    with pytest.raises(StartError, match="writes a text for a text"):
        build_encoder(find_start(str(folder)), BuildRequest(texts=TEXTS))
    request = BuildRequest(texts=TEXTS, wanted=WANTED, tells_texts=True, max_length=1_000)
    with pytest.raises(StartError, match="max_length 1000 is not possible"):
        build_encoder(find_start(str(folder)), request)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "auto_map": {"x": "y"}}))
    with pytest.raises(StartError, match="has 'auto_map', which is no encoder–decoder") as code:
        _built(folder)
    (folder / "config.json").write_text(json.dumps(config))
    known = json.loads((folder / "tokenizer_config.json").read_text())
    told = {name: token for name, token in known.items() if name != "eos_token"}
    (folder / "tokenizer_config.json").write_text(json.dumps(told))
    with pytest.raises(StartError, match="Add it to tokenizer_config") as no_end:
        _built(folder)
    (folder / "tokenizer_config.json").write_text(json.dumps(known))
    assert _built(folder)  # a plain one with a token that ends texts, as both say
    heard(code.value)
    heard(no_end.value)
    (folder / "model.safetensors").write_bytes(b"no")
    with pytest.raises(StartError, match="cannot be loaded"):
        _built(folder)
