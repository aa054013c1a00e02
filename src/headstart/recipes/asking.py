"""A server of one's own, asked for what it knows of drift."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from headstart.errors import DataError, OptionError, quoted

_SECONDS = 10.0
_MOST_BYTES = 16 * 2**20
_PATH = "/v1/monitor"


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follow nobody elsewhere: the key is for this server alone."""

    def redirect_request(self, *_: Any) -> None:
        """Return no request."""
        return None


def ask_server(url: str, key_file: str | None, model: str) -> dict[str, Any]:
    """Return what a server knows of a model.

    Args:
        url: Its address.
        key_file: Whose first line is the key; None sends none.
        model: What it calls the model.

    Raises:
        OptionError: If the address is none, or the key cannot be read.
        DataError: If it does not answer so, or does not serve the model.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise OptionError(
            f"--url is '{url}'; expected the address of a server, such as http://127.0.0.1:8080. "
            "Say it with http:// or https://."
        )
    headers = {} if key_file is None else {"Authorization": f"Bearer {_first_key(Path(key_file))}"}
    request = urllib.request.Request(f"{url.rstrip('/')}{_PATH}", headers=headers)
    try:
        opener = urllib.request.build_opener(_NoRedirect)
        with opener.open(request, timeout=_SECONDS) as answer:
            found = json.loads(answer.read(_MOST_BYTES))
        states = {str(one["model"]): one for one in found["models"]}
    except urllib.error.HTTPError as error:
        error.close()
        remedy = "Say --api-key-file FILE." if error.code == 401 else "Check the address."
        raise DataError(
            f"{url} answers {error.code} to {_PATH}; expected a server of 'headstart serve' that "
            f"lets you in. {remedy}"
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = getattr(error, "reason", error)
        raise DataError(
            f"{url} does not answer as a server of 'headstart serve' does ({reason}). Check the "
            "address, and that the server is running."
        ) from error
    if model not in states:
        raise DataError(
            f"{url} serves {quoted(list(states))}, and no '{model}'. Give the run or bundle that "
            "is served there."
        )
    state: dict[str, Any] = states[model]
    return state


def _first_key(path: Path) -> str:
    try:
        return path.read_text("utf-8").splitlines()[0].strip()
    except (OSError, ValueError, IndexError) as error:
        raise OptionError(
            f"--api-key-file {path} cannot be read ({getattr(error, 'strerror', None) or error}); "
            "expected a file with a key in its first line. Name another file."
        ) from error
