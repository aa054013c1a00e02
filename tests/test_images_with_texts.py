"""Images with captions, from files to recall: what a user asks of them, on a tiny pair."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import load_file
from small_captions import PAIR, pair_run, pictures

import headstart as hs
from headstart.errors import DataError, ExportError, OptionError, StartError
from headstart.evaluation import ItemSums
from headstart.model import run_batches
from headstart.starts import find_start
from headstart.tasks import find_task
from headstart.tasks.plain import TextColumn
from headstart.training.options.training_options import TrainingOptions
from headstart.tuning.hooks import let_learn
from headstart.tuning.setup import set_up


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return pair_run(tmp_path_factory.mktemp("pairs"))


def test_it_finds_more_than_chance_and_than_it_did_before(run):
    figures = run.metrics["test"]["figures"]
    names = {f"{way}_r{k}" for way in ("image_to_text", "text_to_image") for k in (1, 5, 10)}
    assert set(figures) == {"mean_recall", *names}
    for figure in figures.values():
        assert figure["low"] <= figure["value"] <= figure["high"]
    ladder = run.metrics["before_after"]
    values = {name: one["value"] for name, one in ladder["figures"].items()}
    assert set(values) == {"random order", "start as it is", "fine-tuned"}
    assert values["fine-tuned"] > max(values["random order"], values["start as it is"]) + 0.1
    assert values["fine-tuned"] == pytest.approx(figures["mean_recall"]["value"])


def test_what_the_folder_keeps_gives_the_figures_again(run):
    data = run.data["source"]
    again = hs.evaluate(str(run.path), quiet=True).metrics["test"]
    assert again["figures"]["mean_recall"]["value"] == pytest.approx(
        run.metrics["test"]["figures"]["mean_recall"]["value"]
    )
    assert hs.load(**data).fingerprint == run.data["fingerprint"]
    shown = json.loads((run.path / "mistakes.json").read_text())["items"]
    assert all(one["target"] and one["prediction"] for one in shown)
    page = (run.path / "report.html").read_text()
    assert "mean recall" in page
    assert "R@5 image → text" in page
    assert "平均召回率" in hs.report(run.path, language="zh").read_text()


def test_items_are_read_back_as_places(run):
    import pyarrow.parquet as pq

    task = find_task("retrieval")
    table = pq.read_table(run.path / "predictions.parquet").to_pydict()
    read = [
        task.read_item_column(TextColumn(table[name], np.arange(len(table[name]))), run.schema)
        for name in ("target", "prediction")
    ]
    sums = task.item_sums(read[1], read[0], run.schema, np.asarray(table["loss"]))
    assert isinstance(sums, ItemSums)
    told = sums.figures(np.asarray(sums.terms.sum(axis=1)).reshape(-1, 1))
    for name, figure in run.metrics["test"]["figures"].items():
        assert told[name][0] == pytest.approx(figure["value"])


@pytest.mark.slow
def test_micro_batches_and_a_seed_give_the_same_training(run, tmp_path):
    said = {"num_steps": 3, "encoder_dropout": 0.0, "batchnorm": "frozen"}
    whole, parts, again = (
        pair_run(tmp_path / name, **said, **more)
        for name, more in (
            ("whole", {}),
            ("parts", {"micro_batch_size": 6}),
            ("again", {"micro_batch_size": 6}),
        )
    )
    weights = [load_file(one.path / "model.safetensors") for one in (whole, parts, again)]
    for name, value in weights[0].items():
        np.testing.assert_allclose(weights[1][name], value, atol=2e-4)  # Adam divides small numbers
        np.testing.assert_array_equal(weights[1][name], weights[2][name])


def test_each_image_is_told_its_text_and_each_text_its_image(run, tmp_path):
    folder = run.path.parent / "pictures" / "Images"
    texts = tmp_path / "texts.txt"
    texts.write_text("\n".join(captions[0] for _, captions in pictures(30)))
    files = [str(folder / "003.png"), str(folder / "011.png")]
    found = hs.predict(run.path, files, texts=str(texts), out=str(tmp_path / "out.csv"))
    assert [one.name for one in found] == files
    for one in found:
        assert sum(one.probabilities) == pytest.approx(1)
        assert one.probability == max(one.probabilities)
        assert one.label in texts.read_text()
    assert "prediction,probability" in (tmp_path / "out.csv").read_text()
    pixels = [hs.load(**run.data["source"]).test.samples.read(0)]
    held = hs.predict(run, pixels, texts=str(texts))  # in memory, too
    assert [one.label in texts.read_text() for one in held] == [True]
    back = hs.predict(run.path, ["red above green"], images=str(folder))
    assert back[0].label.startswith(str(folder))
    assert len(back[0].probabilities) == 60
    top = back[0].to_json()["top"]  # which they are, by name
    assert [one["probability"] for one in top] == sorted(back[0].probabilities)[:-6:-1]
    assert top[0]["label"] == back[0].label
    for page in ("README.md", "report.html"):  # predict refuses an image alone
        assert "FILE… --texts captions.txt" in (run.path / page).read_text()
        assert 'hs.predict("' in (run.path / page).read_text().replace("&#34;", '"')
    assert 'texts="captions.txt")' in (run.path / "README.md").read_text()


def test_a_run_is_a_start_and_both_stand_side_by_side(run, tmp_path):
    said = {"num_steps": 1, "start": str(run.path), "learning_rate": 1e-9}
    again = pair_run(tmp_path, **said)
    before = again.metrics["before_after"]["figures"]["start as it is"]["value"]
    assert before == pytest.approx(run.metrics["test"]["figures"]["mean_recall"]["value"])
    found = hs.compare([str(run.path), str(again.path)]).record
    assert found["comparisons"][0]["p_value"] > 0.05


def test_logits_of_parts_are_those_of_all(run):
    data = hs.load(**run.data["source"])
    inputs = run.model.encoder.preprocess.prepare(data, "test")
    whole = run_batches(run.model, inputs, run.model)
    few = run_batches(run.model, inputs, run.model, batch_size=5)
    np.testing.assert_allclose(whole.flat, few.flat, atol=1e-4)
    assert whole.lengths.tolist() == [3] * len(data.test)


def test_what_is_not_done_is_refused_and_the_advice_is_followed(run, tmp_path, heard):
    folder = run.path.parent / "pictures"
    with pytest.raises(DataError, match=r"captions to match .* Run 'headstart fit") as caught:
        hs.rank(str(folder))
    heard(caught.value)  # tests/searching/test_pairs_compared.py runs it
    for to in ("timm", "pt2", "safetensors"):
        with pytest.raises(ExportError, match="Hand it over as a bundle of both") as refused:
            hs.export(run.path, to=to, out=str(tmp_path / to))
        heard(refused.value)  # tests/serving/test_pairs_served.py does it, and asks it
    said = {"start": PAIR, "num_steps": 1, "out": str(tmp_path / "x")}
    with pytest.raises(OptionError, match="which begins with a linear head") as wrong:
        hs.finetune(str(folder), **said, strategy="lp-ft")
    heard(wrong.value)  # without a strategy it was trained above
    for start, reads in (
        ("scratch/simple-cnn", "images"),
        ("scratch/bert-tiny", "texts"),
        ("scratch/tfidf", "texts"),
        ("scratch/mlp", "tables"),
    ):
        with pytest.raises(StartError, match=f"reads {reads} alone.* a pair of encoders") as alone:
            hs.finetune(str(folder), **(said | {"start": start}))
        heard(alone.value)
    with pytest.raises(StartError, match="these data have no captions") as labels:
        hs.finetune("digits-8x8", **said)
    heard(labels.value)
    with pytest.raises(StartError, match="learns its first layer from images") as quick:
        hs.finetune(str(folder), **(said | {"start": "scratch/quick-cnn+scratch/bert-tiny"}))
    heard(quick.value)
    with pytest.raises(StartError, match="is no start of texts") as swapped:
        hs.finetune(str(folder), **(said | {"start": "scratch/simple-cnn+scratch/resnet18"}))
    heard(swapped.value)
    with pytest.raises(OptionError, match="mixup mixes images"):
        hs.finetune(str(folder), **said, mixup=0.2)
    again = said | {"start": str(run.path), "overwrite": True}
    for wrong, told in (
        ({"input_size": 99}, "Leave --input-size out"),
        ({"max_length": 99}, "Say a smaller --max-length"),
    ):
        with pytest.raises(StartError, match=told) as caught:
            hs.finetune(str(folder), **again, **wrong)
        heard(caught.value)
    smaller = hs.finetune(str(folder), **again, max_length=4, drop_path=0.0)
    assert smaller.preprocess.text.tokenizer.max_length == 4


def test_adapters_and_what_joins_both_learn_and_the_rest_stays(run, tmp_path):
    pytest.importorskip("peft")
    data, options = hs.load(**run.data["source"]), TrainingOptions(strategy="lora")
    setup = set_up(data, find_start(str(run.path)), options, device=torch.device("cpu"))
    let_learn(setup)
    named = setup.model.encoder.named_parameters()
    learning = {name.removeprefix("network.") for name, p in named if p.requires_grad}
    joint = {"image_projection.weight", "text_projection.weight", "logit_scale"}
    assert joint < learning
    # the ConvNet of images has no blocks of a transformer, so that nothing of it is adapted
    assert all("lora_" in name and name.startswith("text.") for name in learning - joint)
    said = {"strategy": "lora", "num_steps": 3, "start": str(run.path)}
    tuned = pair_run(tmp_path, **said)
    again = hs.evaluate(str(tuned.path), quiet=True).metrics["test"]["figures"]["mean_recall"]
    figure = tuned.metrics["test"]["figures"]["mean_recall"]
    assert again["value"] == pytest.approx(figure["value"])


def test_what_there_is_to_choose_among_is_asked_for(run, tmp_path, heard):
    image = str(run.path.parent / "pictures" / "Images" / "003.png")
    with pytest.raises(OptionError, match="nothing is given to choose among") as caught:
        hs.predict(run.path, [image])
    empty = tmp_path / "texts.txt"
    empty.write_text("\n")
    with pytest.raises(DataError, match="holds no text") as none:
        hs.predict(run.path, [image], texts=str(empty))
    with pytest.raises(DataError, match="expected a file with a text a line"):
        hs.predict(run.path, [image], texts=str(tmp_path / "none.txt"))
    empty.write_text("red above blue\nblue above red\n")
    assert hs.predict(run.path, [image], texts=str(empty))[0].label in empty.read_text()
    assert hs.predict(run.path, ["red"], images=image)[0].label == image
    heard(caught.value)
    heard(none.value)
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    with pytest.raises(DataError, match="Give whole images") as unread:
        hs.predict(run.path, ["red above blue"], images=str(broken))
    heard(unread.value)
    with pytest.raises(OptionError, match="none are given to choose among") as direct:
        run.predict([image])
    heard(direct.value)


@pytest.mark.parametrize("named", ["texts", "images"])
def test_what_to_choose_among_is_a_file_and_no_list_of_it(run, named, tmp_path, heard):
    with pytest.raises(OptionError, match=f"{named} is of type list; expected the path") as caught:
        hs.predict(run, ["a red picture"], quiet=True, **{named: ["a red picture"]})
    if named == "texts":
        (tmp_path / "texts.txt").write_text("a red picture\na blue one\n")
        image = pictures(1)[0][0]
        Image.fromarray(image).save(tmp_path / "a.png")
        (one,) = hs.predict(run, [str(tmp_path / "a.png")], texts=str(tmp_path / "texts.txt"))
        assert one.label in {"a red picture", "a blue one"}
        heard(caught.value)
