"""A URL to open, and the name that it is shown by. Logins, tokens and signatures are never shown or stored."""

import re
from pathlib import Path
from urllib.parse import quote, unquote

LOCAL = ("file", "local")  # protocols whose addresses are paths
WEB = ("http", "https")
CHAIN = "::"  # fsspec joins protocols with it
MIN_SECRET_CHARACTERS = 4  # shorter ones are no secrets, and hiding them would garble a message
HIDDEN = "***"


def is_url(location: str | Path) -> bool:
    return "://" in str(location)


def shown(location: str | Path) -> str:
    """A location as errors, progress and records may name it: a URL without its login, query and fragment.

    A path, and an address that is one, such as file:///sets/a, stays as it is.
    """
    if not is_url(location):
        return str(location)
    return CHAIN.join("".join(_divided(part)[:2]) for part in str(location).split(CHAIN))


def without_secrets(text: str, url: str) -> str:
    """What another package says about a URL, without the login and the query of the URL."""
    for secret in sorted(_secrets(url), key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return text


def _divided(url: str) -> tuple[str, str, str, str]:
    """Protocol with its "://", address, login with its "@", and what follows the address from "?" or "#" on."""
    protocol, separator, rest = url.partition("://")
    if not separator or protocol in LOCAL:
        return url, "", "", ""
    end = re.search("[?#]" if protocol in WEB else "[?]", rest)
    address, query = (rest[: end.start()], rest[end.start() :]) if end else (rest, "")
    host, slash, path = address.partition("/")
    login, at, name = host.rpartition("@")
    if protocol not in WEB and ":" not in login:  # such as container@account of Azure
        return protocol + separator, address, "", query
    return protocol + separator, name + slash + path, login + at, query


def _secrets(url: str) -> set[str]:
    found: set[str] = set()
    for part in url.split(CHAIN):
        _, _, login, query = _divided(part)
        texts = [login, login.removesuffix("@").partition(":")[2], query[1:]]
        texts += [value for field in re.split("[&#]", query[1:]) for value in [field.partition("=")[2]]]
        found |= {spelt for text in texts for spelt in (text, unquote(text), quote(unquote(text), safe=""))}
    return {secret for secret in found if len(secret) >= MIN_SECRET_CHARACTERS}
