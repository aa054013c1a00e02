"""The verb that shows and clears the cache."""

import pytest
from small_runs import few_digits

import headstart as hs
from headstart import cli


@pytest.fixture
def filled(tmp_path, monkeypatch):
    """Return a cache that one run has filled."""
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("HEADSTART_CACHE_LIMIT", raising=False)
    options = {"strategy": "last-n", "num_steps": 80, "batch_size": 16, "device": "cpu"}
    hs.finetune(few_digits(), start="scratch/simple-cnn", out=str(tmp_path / "run"), **options)
    return tmp_path / "cache"


def test_what_a_run_left_is_shown_and_cleared(filled):
    found = hs.cache()
    kinds = {entry.kind for entry in found.entries}
    assert "activations" in kinds
    assert sum(e.num_bytes for e in found.entries) == sum(
        p.stat().st_size for p in filled.rglob("*") if p.is_file() and p.parent.parent != filled
    )
    assert "frozen part of scratch/simple-cnn" in found.report()
    cleared = hs.cache(clear=True, kind="activations")
    assert cleared.freed_bytes > 0
    assert not [entry for entry in hs.cache().entries if entry.kind == "activations"]


def test_command_shows_an_empty_cache(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "nothing"))
    monkeypatch.setenv("HEADSTART_CACHE_LIMIT", "3GB")
    assert cli.main(["cache"]) == 0
    out, err = capsys.readouterr()
    held = f"{tmp_path / 'nothing'}: 0 bytes in 0 entries"
    # broken between words where a path is long
    assert " ".join(out.split()) == f"{held}, at most 3.0 GB (HEADSTART_CACHE_LIMIT)"
    assert "next: headstart fit DATA --budget 30m" in err  # nothing to clear


def test_what_comes_next_is_to_clear_what_is_there_and_to_work_afterwards(filled, capsys):
    for words, following in (("cache", "cache --clear"), ("cache --clear", "fit DATA")):
        assert cli.main(words.split()) == 0
        assert f"next: headstart {following}" in capsys.readouterr().err


def test_a_limit_that_is_no_size_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HEADSTART_CACHE_LIMIT", "plenty")
    assert cli.main(["cache"]) == 2
    assert "HEADSTART_CACHE_LIMIT is 'plenty'" in capsys.readouterr().err
