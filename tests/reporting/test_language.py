"""The Chinese of the page: a sentence for each English one, with the same fields."""

import ast
import re
from html.parser import HTMLParser
from pathlib import Path
from string import Formatter

import pytest

from headstart.errors import OptionError
from headstart.explaining.answers import Answerer
from headstart.explaining.column_effects import PERMUTED, REPLACED
from headstart.explaining.explain import EXPLANATIONS
from headstart.explaining.heat import ATTENTION, GRAD_CAM
from headstart.explaining.passages import GRADIENTS, LEFT_OUT
from headstart.reporting import language as language_module
from headstart.reporting import render_page
from headstart.reporting.language import catalog, say, speaking
from headstart.reporting.page_making import _TABLES
from headstart.reporting.page_samples import _FRAMINGS
from headstart.reporting.wording import _OUTCOMES, NO_SCORE
from headstart.tasks import TASKS
from headstart.types import MODALITIES

ROOM = Path(language_module.__file__).parent
TRANSLATED = ("page", "figures", "classes", "trust", "mistakes", "explained", "explained_page")
TRANSLATED = (*TRANSLATED, "seen", "making", "pieces", "pretrained")


def _literal_keys():
    for path in ROOM.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            is_said = isinstance(node, ast.Call) and getattr(node.func, "id", "") == "say"
            if is_said and isinstance(node.args[0], ast.Constant):
                yield node.args[0].value
    for path in (ROOM / "templates").glob("*.html"):
        yield from re.findall(r'\b_\("([^"]*)"', path.read_text(encoding="utf-8"))


def _named_keys():
    """Yield what is said by the name that something has elsewhere."""
    for task in TASKS.values():
        for measure in task.figures.values():
            yield from (measure.name, measure.meaning)
        words, pairing = task.words, task.words.pairing
        yield from (words.one, words.several, words.several.capitalize(), words.mistakes)
        yield from (words.mistakes_lead, words.loss_note, pairing.explanation, pairing.counts)
        yield from (pairing.explained(3), pairing.brief, pairing.difference)
    yield from (facts.nouns for facts in MODALITIES.values())
    yield from (title for title, _ in _TABLES)
    yield from (*_FRAMINGS.values(), *_OUTCOMES.values(), *NO_SCORE.values())
    yield from (GRAD_CAM, ATTENTION, GRADIENTS, LEFT_OUT, PERMUTED, REPLACED)
    yield from (way.part for way in EXPLANATIONS.values())
    yield from ("the loss rises by", *_effects())


def _effects():
    source = ast.parse(Path(Answerer.effect.fget.__code__.co_filename).read_text(encoding="utf-8"))
    effect = next(n for n in ast.walk(source) if getattr(n, "name", "") == "effect")
    return [node.value.value for node in ast.walk(effect) if isinstance(node, ast.Return)]


def _fields(text):
    return {name for _, name, _, _ in Formatter().parse(text) if name}


def test_every_sentence_of_the_page_has_its_chinese():
    known = catalog("zh")
    keys = {key for key in (*_literal_keys(), *_named_keys()) if key}
    assert len(keys) > 200
    assert sorted(keys - set(known)) == []
    assert {key for key in keys if _fields(key) != _fields(known[key])} == set()


def test_templates_say_nothing_that_is_not_translated():
    for name in TRANSLATED:
        text = (ROOM / "templates" / f"{name}.html").read_text(encoding="utf-8")
        bare = re.sub(r"\{#.*?#\}|\{%.*?%\}|\{\{.*?\}\}|<[^>]*>", " ", text, flags=re.S)
        assert set(re.findall(r"[A-Za-z]{2,}", bare)) <= {"headstart"}, name


class _Words(HTMLParser):
    def __init__(self, html):
        super().__init__()
        self.words, self.skipped = [], 0
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.skipped += tag in ("style", "code", "dd", "details", "li")

    def handle_endtag(self, tag):
        self.skipped -= tag in ("style", "code", "dd", "details", "li")

    def handle_data(self, data):
        if not self.skipped:
            self.words.append(data)


def test_a_chinese_page_holds_no_english_sentence(make_run):
    run = make_run()
    with speaking("zh"):
        html = render_page(**run, log_records=[])
    assert '<html lang="zh-CN">' in html
    assert "混淆矩阵" in html
    told = " | ".join(_Words(html).words)
    sentences = re.findall(r"(?:[a-z]{3,} ){3,}[a-z]{3,}", told)
    # what the run has written: the reason of a choice, and the note of a candidate
    stored = ("pixels are too slow", "too slow for its share")
    assert [one for one in sentences if one not in stored] == []


def test_the_language_ends_with_its_block():
    with speaking("zh"):
        assert say("{number} items", number=3) == "3 个样本"
        with speaking("en"):
            assert say("{number} items", number=3) == "3 items"
    assert say("{number} items", number=3) == "3 items"
    assert say("nobody has translated this") == "nobody has translated this"


def test_a_language_that_is_not_there_is_refused(heard):
    with pytest.raises(OptionError, match=r"Unknown language 'zhh'\. Did you mean 'zh'") as refused:
        language_module.check_language("zhh")
    language_module.check_language("en")  # as it advises
    heard(refused.value)
