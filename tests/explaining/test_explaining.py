"""Explanations name what a model goes by, are checked by deleting, and are shown only then."""

import base64
import io
import json
import re

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn

import headstart as hs
from headstart.cli import main
from headstart.errors import RunFolderError
from headstart.explaining import explain_run, explain_samples
from headstart.explaining.answers import Answerer
from headstart.explaining.explain import way_of
from headstart.explaining.faithfulness import judge, mean_figure, num_deleted
from headstart.explaining.heat import GRAD_CAM, heat_method, heat_of, score_of
from headstart.explaining.passages import LEFT_OUT, without_words, word_spans, word_weights
from headstart.explaining.regions import erased, hottest_cells, tinted
from headstart.model import Ensemble, Member

SIDE = 24
N = 160


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADSTART_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        yield


@pytest.fixture(scope="module")
def table_run(tmp_path_factory):
    """Return a run on a table whose label follows one of seven columns, from a file."""
    draw = np.random.default_rng(0)
    frame = pd.DataFrame(draw.normal(size=(300, 5)), columns=list("abcde"))
    frame["land"] = draw.choice(["AT", "CH"], 300)
    days = pd.Timestamp("2024-01-01") + pd.to_timedelta(draw.integers(0, 700, 300), unit="D")
    frame["sold"] = days.strftime("%d.%m.%Y")
    frame["label"] = np.where(frame["c"] + 0.1 * draw.normal(size=300) > 0, "up", "down")
    folder = tmp_path_factory.mktemp("table")
    frame.to_csv(folder / "rows.csv", index=False)
    data = hs.load(str(folder / "rows.csv"), label="label")
    return hs.finetune(data, start="scratch/linear", out=str(folder / "run")), data, frame


@pytest.fixture(scope="module")
def text_run(tmp_path_factory):
    """Return a run on texts whose label follows one word."""
    draw = np.random.default_rng(0)
    words = ["table", "chair", "lamp", "door", "window", "garden", "roof"]
    texts = [" ".join([*draw.choice(words, 5), ("good", "bad")[i % 2]]) for i in range(N)]
    texts = [" ".join(draw.permutation(text.split())) for text in texts]
    frame = pd.DataFrame({"text": texts, "label": [("yes", "no")[i % 2] for i in range(N)]})
    data = hs.load(frame, label="label")
    out = tmp_path_factory.mktemp("text") / "run"
    return hs.finetune(data, start="scratch/tfidf", out=str(out)), data


@pytest.fixture(scope="module")
def image_run(tmp_path_factory):
    """Return a run on noise with a bright square, right or left, and where the square is."""
    draw = np.random.default_rng(0)
    images = draw.integers(0, 90, (N, SIDE, SIDE, 1)).astype(np.uint8)
    corners = draw.integers(0, 8, (N, 2))
    for i, (y, x) in enumerate(corners):
        if i % 2:  # the others hold nothing
            images[i, 4 + y : 12 + y, 4 + x : 12 + x] = 250
    data = hs.load((images, [("nothing", "square")[i % 2] for i in range(N)]))
    out = tmp_path_factory.mktemp("image") / "run"
    run = hs.finetune(
        data, start="scratch/simple-cnn", out=str(out), num_steps=40, augment="none", device="cpu"
    )
    return run, data, images, corners


# Deleting -----------------------------------------------------------------------------------------


def test_only_what_surely_beats_chance_is_faithful():
    draw = np.random.default_rng(0)
    random = draw.normal(0.1, 0.1, 40)
    assert judge(random + 0.2 + draw.normal(0, 0.1, 40), random).is_faithful
    assert not judge(random + draw.normal(0, 0.1, 40), random).is_faithful
    assert not judge(random - 0.2, random).is_faithful
    assert not judge(np.ones(5), np.zeros(5)).is_faithful  # too few to tell
    assert mean_figure(np.ones(30)).value == 1.0
    assert [num_deleted(number) for number in (1, 4, 10, 49)] == [1, 1, 2, 10]


def test_erased_cells_have_the_mean_colour():
    pixels = np.random.default_rng(0).integers(0, 255, (2, 8, 8, 3)).astype(np.uint8)
    cells = np.zeros((2, 4, 4), bool)
    cells[0, 1, 2] = True
    found = erased(pixels, cells)
    assert (found[0, 2:4, 4:6] == pixels[0].mean(axis=(0, 1)).round()).all()
    kept = np.ones((8, 8), bool)
    kept[2:4, 4:6] = False
    assert (found[0][kept] == pixels[0][kept]).all()
    assert (found[1] == pixels[1]).all()
    assert hottest_cells(np.arange(32.0).reshape(2, 4, 4)).sum(axis=(1, 2)).tolist() == [3, 3]


def test_words_stand_between_blanks_and_chinese_ones_alone():
    text = "A 好吃! film"
    assert [text[a:b] for a, b in word_spans(text)] == ["A", "好", "吃", "!", "film"]
    assert without_words(text, [4, 1]) == "A 吃!"
    assert without_words("one two  three", [1]) == "one three"


# Rows ---------------------------------------------------------------------------------------------


def test_the_column_that_counts_is_worth_most(table_run):
    run, data, _ = table_run
    record = explain_run(run.ensemble, data, [])
    assert next(one["column"] for one in record["importance"]) == "c"
    assert record["importance"][0]["loss"]["low"] > 0
    assert record["faithfulness"]["is_faithful"]
    assert record["faithfulness"]["difference"]["low"] > 0
    first = record["dependence"][0]
    assert (first["column"], first["is_number"]) == ("c", True)
    answers = [answer for _, answer in first["points"]]
    rising = np.diff(answers) > 0
    assert rising.all() or not rising.any()
    assert np.ptp(answers) > 0.8
    assert json.loads(json.dumps(record)) == record


def test_a_page_of_rows_shows_what_moved_each_answer(table_run, tmp_path, heard):
    run, _, frame = table_run
    frame.head(4).to_csv(tmp_path / "new.csv", index=False)
    page = str(tmp_path / "why.html")
    with pytest.raises(RunFolderError, match=r"has no explanations\.json: nobody has") as refused:
        hs.predict(run, [str(tmp_path / "new.csv")], explain=page)
    assert main(["report", str(run.path), "--explain"]) == 0
    assert main(["predict", str(run.path), str(tmp_path / "new.csv"), "--explain", page]) == 0
    heard(refused.value)
    html = (tmp_path / "why.html").read_text()
    passages = re.findall(r'<p class="marked">(.*?)<br>', html, re.S)
    assert len(passages) == 4
    assert all(re.match(r'<span class="(for|against)"[^>]*>c: ', one) for one in passages)
    assert "What each column is worth" in (run.path / "report.html").read_text()


def test_what_names_no_more_than_chance_is_refused(table_run, tmp_path, heard):
    run, _, frame = table_run
    frame.head(2).to_csv(tmp_path / "new.csv", index=False)
    path = run.path / "explanations.json"
    former = path.read_text() if path.exists() else None
    path.write_text(json.dumps({"faithfulness": {"is_faithful": False}}))
    try:
        with pytest.raises(RunFolderError, match="are not shown: deleting what they") as refused:
            hs.predict(run, [str(tmp_path / "new.csv")], explain=str(tmp_path / "why.html"))
        assert len(hs.predict(run, [str(tmp_path / "new.csv")])) == 2
        heard(refused.value)
    finally:
        path.unlink() if former is None else path.write_text(former)


def test_a_model_of_one_column_cannot_be_explained(tmp_path, heard):
    numbers = np.arange(80.0)
    frame = pd.DataFrame({"x": numbers % 7, "label": np.where(numbers % 7 > 3, "up", "down")})
    frame.to_csv(tmp_path / "rows.csv", index=False)
    data = hs.load(str(tmp_path / "rows.csv"), label="label")
    run = hs.finetune(data, start="scratch/linear", out=str(tmp_path / "run"))
    with pytest.raises(RunFolderError, match="cannot be explained: there are no") as refused:
        hs.report(run, explain=True)
    assert hs.report(run) == run.path / "report.html"
    heard(refused.value)


# Texts --------------------------------------------------------------------------------------------


def test_the_word_that_counts_speaks_loudest(text_run):
    run, data = text_run
    record = explain_run(run.ensemble, data, data.test.ids[:6].tolist())
    assert record["method"] == LEFT_OUT
    assert record["faithfulness"]["is_faithful"]
    assert len(record["items"]) == 6
    for item in record["items"]:
        text = "".join(piece for piece, _ in item["words"])
        loudest = max(item["words"], key=lambda one: one[1])[0]
        assert loudest in ("good", "bad")
        assert loudest in text.split()
    found = explain_samples(run.ensemble, ["", "a good lamp"], ["a", "b"], record)
    assert [one.name for one in found] == ["b"]  # nothing can be said of an empty one


def test_a_word_that_is_left_out_is_worth_what_its_absence_changes(text_run):
    run, _ = text_run
    answerer, text = Answerer(run.ensemble), "good lamp door"
    before, after = run.predict([text, "lamp door"])
    (weights,) = word_weights(answerer, [text])
    k = run.classes.index(before.label)
    assert weights[0] == pytest.approx(before.probability - after.probabilities[k], abs=1e-6)


@pytest.mark.slow
def test_integrated_gradients_add_up_to_the_change_of_the_score(tmp_path, monkeypatch):
    pytest.importorskip("transformers")
    from headstart.explaining import passages

    texts = [f"the {('good', 'bad')[i % 2]} film of {i} rooms" for i in range(N)]
    frame = pd.DataFrame({"text": texts, "label": [("yes", "no")[i % 2] for i in range(N)]})
    data = hs.load(frame, label="label")
    run = hs.finetune(data, start="scratch/bert-tiny", out=str(tmp_path / "run"), num_steps=60)
    monkeypatch.setattr(passages, "_NUM_STEPS", 400)
    model, text = run.model, texts[0]
    (weights,) = word_weights(Answerer(run.ensemble), [text])
    read = model.encoder.preprocess
    ids, mask = (torch.from_numpy(part) for part in read.read([text]).arrays(np.arange(1)))
    empty = ids.clone()
    spans = read.tokenizer.spans(text)
    for place, (begin, end) in enumerate(spans):
        empty[0, place] = read.tokenizer.pad_id if end > begin else ids[0, place]
    assert next(text[a:b] for a, b in spans if b > a).lower().strip() == "the"
    model.eval()
    with torch.no_grad():
        chosen = model(ids, mask).argmax(dim=1)
        own, nothing = (score_of(model, model(each, mask), chosen) for each in (ids, empty))
    assert weights.sum() == pytest.approx(float(own - nothing), rel=0.02, abs=1e-3)
    monkeypatch.undo()  # as many steps as a run takes
    record = explain_run(run.ensemble, data, data.test.ids[:6].tolist())
    assert record["method"] == passages.GRADIENTS
    assert record["faithfulness"]["is_faithful"]
    loudest = [max(item["words"], key=lambda one: one[1])[0].strip() for item in record["items"]]
    assert len(loudest) == 6
    assert set(loudest) <= {"good", "bad"}


# Images -------------------------------------------------------------------------------------------


def test_the_square_is_where_the_network_looks(image_run):
    run, data, _, _ = image_run
    ensemble = run.ensemble
    places = np.arange(len(data.test))
    inputs = ensemble.prepare(data, "test", places)
    wanted = [int(i) for i in data.test.ids]
    heat = heat_of(ensemble.first, inputs[0], np.full(len(places), run.classes.index("square")))
    assert heat.shape[0] == len(places)
    assert heat.min() >= 0
    assert heat.max() <= 1
    assert heat_method(ensemble.first, inputs[0]) == GRAD_CAM
    cells = heat.shape[1]
    with_square = [k for k, i in enumerate(wanted) if data.test.targets[k] == 1]
    inside = []
    (pixels,) = inputs[0].arrays(places)
    for k in with_square:
        bright = pixels[k, :, :, 0] > 200
        rows = np.arange(pixels.shape[1]) * cells // pixels.shape[1]
        hot = hottest_cells(heat[k : k + 1])[0][rows[:, None], rows[None, :]]
        inside.append((bright & hot).sum() / hot.sum() > bright.mean())
    assert np.mean(inside) > 0.8


def test_explanations_of_images_are_pictures_of_them(image_run):
    run, data, _, _ = image_run
    record = explain_run(run.ensemble, data, data.test.ids[:3].tolist())
    assert record["method"] == GRAD_CAM
    assert record["faithfulness"]["num_items"] > 12
    assert len(record["items"]) == (3 if record["faithfulness"]["is_faithful"] else 0)
    found = explain_samples(run.ensemble, [np.zeros((SIDE, SIDE), np.uint8)], ["x"], record)
    picture = Image.open(io.BytesIO(base64.b64decode(found[0].parts["picture"])))
    assert picture.size == (SIDE * 6, SIDE * 6)
    assert (found[0].name, found[0].prediction.label) == ("x", found[0].to_json()["prediction"])


def test_a_grid_without_heat_leaves_an_image_as_it_is():
    image = np.random.default_rng(0).integers(0, 255, (6, 6, 3)).astype(np.uint8)
    assert (tinted(image, np.zeros((2, 2))) == image).all()
    warm = tinted(image, np.ones((2, 2)))
    assert (warm[..., 0].astype(int) >= image[..., 0].astype(int) * 0.4).all()


def test_grad_cam_is_that_of_the_paper(image_run):
    run, data, _, _ = image_run
    model = run.model.eval()
    inputs = run.ensemble.prepare(data, "test", np.arange(2))[0]
    chosen = np.array([0, 1])
    heat = heat_of(model, inputs, chosen)
    # by hand: the same map, taken out of the network in another way
    from headstart.explaining.heat import _last_map
    from headstart.tensors import to_tensors

    images = to_tensors(inputs.arrays(np.arange(2)), model.device)
    layer = model.encoder.network.get_submodule(_last_map(model.encoder.network, images, model))
    kept = {}
    handle = layer.register_forward_hook(lambda m, a, out: kept.update(map=out))
    try:
        logits = model(images[0].requires_grad_(True))
    finally:
        handle.remove()
    score = logits[[0, 1], [0, 1]] - logits.mean(dim=1)
    (gradient,) = torch.autograd.grad(score.sum(), kept["map"])
    weights = gradient.mean(dim=(2, 3), keepdim=True)
    expected = torch.relu((weights * kept["map"]).sum(dim=1)).detach().numpy()
    largest = expected.max(axis=(1, 2), keepdims=True)
    expected = np.divide(expected, largest, out=np.zeros_like(expected), where=largest > 0)
    assert heat == pytest.approx(expected, abs=1e-5)


@pytest.mark.slow
def test_attention_of_a_transformer_finds_the_square_and_deleting_it_shows(tmp_path):
    from headstart.explaining.heat import ATTENTION

    draw = np.random.default_rng(0)
    images = draw.integers(0, 90, (N, 16, 16, 3)).astype(np.uint8)
    cells = draw.integers(0, 4, (N, 2))
    for i, (y, x) in enumerate(cells):
        if i % 2:
            images[i, 4 * y : 4 * y + 4, 4 * x : 4 * x + 4] = 250  # a patch of its own
    data = hs.load((images, [("nothing", "square")[i % 2] for i in range(N)]))
    said = {"num_steps": 80, "batch_size": 16, "input_size": 16, "augment": "none"}
    out = str(tmp_path / "run")
    run = hs.finetune(data, start="scratch/vit-tiny", out=out, device="cpu", **said)
    places = np.flatnonzero(data.test.targets == run.classes.index("square"))
    inputs = run.ensemble.prepare(data, "test", places)[0]
    assert heat_method(run.model, inputs) == ATTENTION
    heat = heat_of(run.model, inputs, np.full(len(places), run.classes.index("square")))
    assert heat.shape == (len(places), 4, 4)
    (pixels,) = inputs.arrays(np.arange(len(places)))
    bright = pixels[..., 0].reshape(-1, 4, 4, 4, 4).mean(axis=(2, 4)).reshape(len(places), 16)
    assert (heat.reshape(-1, 16).argmax(axis=1) == bright.argmax(axis=1)).mean() > 0.9
    record = explain_run(run.ensemble, data, [])
    assert record["method"] == ATTENTION
    assert record["faithfulness"]["is_faithful"]
    assert record["faithfulness"]["difference"]["low"] > 0


def test_several_models_are_explained_by_the_first_and_judged_together(text_run):
    run, data = text_run
    both = Ensemble([Member(run.model), Member(run.model, 2.0)])
    assert explain_run(both, data, [])["faithfulness"]["is_faithful"]
    assert way_of(both) is way_of(run.ensemble)


class Flat(nn.Module):
    def forward(self, images):
        return images.flatten(1).repeat(1, 4)[:, :128]


def test_a_network_without_maps_is_not_explained(tmp_path):

    draw = np.random.default_rng(0)
    images = draw.integers(0, 255, (60, 8, 8, 1)).astype(np.uint8)
    data = hs.load((images, [("a", "b")[i % 2] for i in range(60)]))
    run = hs.finetune(
        data, start="scratch/simple-cnn", out=str(tmp_path / "run"), num_steps=1, device="cpu"
    )
    run.ensemble.first.encoder.network = Flat()
    inputs = run.ensemble.prepare(data, "test", np.arange(4))
    assert heat_method(run.model, inputs[0]) == ""
