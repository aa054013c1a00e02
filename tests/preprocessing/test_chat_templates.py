"""A conversation as its tokenizer writes it: transformers' words, and where the answers stand."""

import pytest

pytest.importorskip("transformers")

from headstart.errors import StartError
from headstart.preprocessing.chat_templates import PLAIN, pieces, render

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
SPECIAL = {"bos_token": "<s>", "eos_token": "</s>"}
TURNS = (("system", "Be brief."), ("user", "1+1?"), ("assistant", "2"), ("user", "And 2+2?"))


def whole(template, answer):
    return render(template, [*TURNS, ("assistant", answer)], SPECIAL, "a start")


@pytest.mark.parametrize("template", [CHATML, PLAIN])
def test_pieces_are_together_what_the_template_writes(template):
    found = pieces(template, TURNS, "4", SPECIAL, "a start")
    assert "".join(text for text, _ in found) == whole(template, "4")
    answers = [text for text, is_answer in found if is_answer]
    assert [text.split("<")[0] for text in answers] == ["2", "4"]


def test_a_question_alone_is_what_stands_before_the_answer():
    asked = pieces(CHATML, TURNS, None, SPECIAL, "a start")
    answered = pieces(CHATML, TURNS, "4", SPECIAL, "a start")
    assert "".join(t for t, _ in asked) == "".join(t for t, _ in answered[:-1])


def test_an_answer_that_is_written_otherwise_later_is_not_told():
    # as templates that drop what a model has thought, once more has been said
    drops = (
        "{% for m in messages %}{{ m['role'] + ':' }}{% if loop.last %}{{ m['content'] }}"
        "{% else %}{{ m['content'][:1] }}{% endif %}{{ '\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ 'assistant:' }}{% endif %}"
    )
    turns = (("user", "a"), ("assistant", "bc"), ("user", "d"))
    found = pieces(drops, turns, "ef", SPECIAL, "a start")
    assert [text for text, is_answer in found if is_answer] == ["ef\n"]
    assert found[0] == ("user:a\nassistant:b\nuser:d\nassistant:", False)


def test_a_template_that_refuses_a_conversation_says_so(heard):
    picky = (
        "{% for m in messages %}{% if m['role'] == 'system' %}"
        "{{ raise_exception('no system turns') }}{% endif %}{{ m['content'] }}{% endfor %}"
    )
    with pytest.raises(StartError, match=r"system, user.*system turns.*Change the turns") as said:
        pieces(picky, TURNS[:2], "2", SPECIAL, "a start")
    assert pieces(picky, TURNS[1:2], "2", SPECIAL, "a start") == [("1+1?", False), ("2", True)]
    heard(said.value)
    with pytest.raises(StartError, match="refuses a conversation"):
        pieces("{{ messages[0]['content'].__class__.__mro__ }}", TURNS, "4", SPECIAL, "a start")


def test_a_template_that_changes_the_question_once_it_is_answered_is_refused(heard):
    odd = "{{ messages | length }}{% for m in messages %}{{ m['content'] }}{% endfor %}"
    with pytest.raises(StartError, match="give the tokenizer a plain template") as said:
        pieces(odd, TURNS[:2], "2", SPECIAL, "a start")
    assert pieces(PLAIN, TURNS[:2], "2", SPECIAL, "a start")[-1] == ("2</s>", True)
    heard(said.value)


# What templates of others do: namespaces, loop controls, JSON, marks around answers, dates.
ODD = [
    "{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{{ ns.n }}"
    "{{ m.role }}|{{ m.content | trim }}{% endfor %}{{ ns.n }}{{ bos_token }}",
    "{%- for m in messages -%}\n  {%- if m['role'] == 'assistant' %}{% continue %}{% endif -%}\n"
    "  {{ m | tojson }}\n{%- endfor %}{{ dict(a=1) | tojson }}",
    "{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{{ m.content }}"
    "{{ eos_token }}{% endgeneration %}{% else %}{{ m.content }}\n{% endif %}{% endfor %}",
    "{% if tools %}tools{% endif %}{% if documents %}x{% endif %}{{ strftime_now('%Y') }}"
    "{% for m in messages %}{{ m.content }}{% endfor %}",
]


@pytest.mark.parametrize("template", [CHATML, PLAIN, *ODD])
def test_our_sandbox_renders_what_transformers_does(template):
    from transformers.utils.chat_template_utils import render_jinja_template

    messages = [{"role": role, "content": f"{content} <é>\n"} for role, content in TURNS]
    turns = [(one["role"], one["content"]) for one in messages]
    for opens in (False, True):
        told, _ = render_jinja_template(
            [messages], chat_template=template, add_generation_prompt=opens, **SPECIAL
        )
        assert render(template, turns, SPECIAL, "a start", opens=opens) == told[0]


@pytest.mark.parametrize(
    "template",
    [
        "{{ messages.append(1) }}",
        "{{ messages.__class__.name }}",
        "{% set ns = namespace() %}{% set ns._x = 1 %}{{ ns._x }}",
        "{{ dict.__doc__.title() }}",
    ],
)
def test_a_template_does_not_leave_its_sandbox(template):
    with pytest.raises(StartError, match="refuses a conversation"):
        render(template, TURNS, SPECIAL, "a start")
