"""The page that asks a browser for the token, and the cookie that it gets."""

import hashlib
import hmac
from typing import Any, Dict, List, Tuple
from urllib.parse import parse_qs

COOKIE = "legoclf_token"

#: Bytes of a form that holds a token; no longer one is read.
MOST_FORM_BYTES = 4096

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>legoclf: log in</title>
<link rel="icon" href="/static/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="/static/page.css">
</head>
<body>
<form class="login" method="post" action="/login">
<p><label for="token">Token</label></p>
<p><input id="token" name="token" type="password" autocomplete="current-password" required autofocus></p>
<p><button>Log in</button></p>
<p role="alert">{said}</p>
</form>
</body>
</html>
"""


def page(said: str = "") -> bytes:
    """The form, with a word on what went wrong; that word must be of this program's making."""
    return _PAGE.format(said=said).encode("utf-8")


def token_of_form(environ: Dict[str, Any]) -> str:
    """The token in the form that a request brings; empty if there is none."""
    body = environ["wsgi.input"].read(MOST_FORM_BYTES + 1)
    if len(body) > MOST_FORM_BYTES:
        return ""
    fields = parse_qs(body.decode("latin-1"), encoding="utf-8", errors="replace")
    values: List[str] = fields.get("token", [""])
    return values[0].strip()


def cookie_value(token: str) -> str:
    """What the cookie holds: it lets in as the token does, and does not tell it to who sees a browser's."""
    return hmac.new(token.encode("utf-8"), b"legoclf cookie", hashlib.sha256).hexdigest()


def cookie_header(token: str) -> Tuple[str, str]:
    """The header that gives a browser the cookie; until it is closed."""
    return "Set-Cookie", "{}={}; Path=/; HttpOnly; SameSite=Strict".format(COOKIE, cookie_value(token))
