"""The sandbox in which chat templates are rendered: Jinja's, with what transformers gives them.

A server needs neither transformers nor torch for it, and the words are the same (tested). Left out:
tools, documents, and which letters of a conversation are an answer's.

Source: transformers 5.24, ``utils/chat_template_utils.py``.
"""

from __future__ import annotations

import json
from datetime import datetime
from functools import cache, lru_cache
from typing import Any

from jinja2 import Template, TemplateError
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension
from jinja2.nodes import Node
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace


class _Generation(Extension):
    """``{% generation %}`` around an answer, which marks it for transformers alone."""

    tags = {"generation"}  # noqa: RUF012  # as Jinja declares it

    def parse(self, parser: Parser) -> list[Node]:
        """Return what stands between."""
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class _PlainNamespace(Namespace):
    """Jinja's namespace, whose names do not begin with an underscore: those lead out of it."""

    def __init__(*given: Any, **named: Any) -> None:
        self, *others = given
        for name in dict(*others, **named):
            _check_name(name)
        Namespace.__init__(self, *others, **named)

    def __setitem__(self, name: str, value: Any) -> None:
        _check_name(name)
        super().__setitem__(name, value)


class _PlainDict:
    """``dict`` for templates, with nothing of the class behind it."""

    def __call__(self, *given: Any, **named: Any) -> dict[Any, Any]:
        return dict(*given, **named)

    def fromkeys(self, *given: Any) -> dict[Any, Any]:
        """Return ``dict.fromkeys``."""
        return dict.fromkeys(*given)


def _check_name(name: object) -> None:
    if isinstance(name, str) and name.startswith("_"):
        raise SecurityError(f"a namespace has no name {name!r}")


def _to_json(value: Any, **how: Any) -> str:
    """Return JSON as transformers writes it into templates: letters as they are, none of HTML."""
    return json.dumps(value, **{"ensure_ascii": False, **how})


def _refuse(message: str) -> None:
    raise TemplateError(message)


@cache
def _environment() -> ImmutableSandboxedEnvironment:
    """Return the sandbox, with what transformers gives to templates."""
    made = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, "jinja2.ext.loopcontrols"]
    )
    made.filters["tojson"] = _to_json
    made.globals["raise_exception"] = _refuse
    made.globals["strftime_now"] = lambda how: datetime.now().strftime(how)
    made.globals["dict"] = _PlainDict()
    made.globals["namespace"] = _PlainNamespace
    return made


@lru_cache(64)
def compiled(template: str) -> Template:
    """Return a template that can be rendered, of the latest ones without reading it again."""
    return _environment().from_string(template)
