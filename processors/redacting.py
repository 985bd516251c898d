"""Secrets out of what was sent, before anything is stored: card numbers, keys, and by setting mail and telephone.

A secret becomes words such as `[card number]`. What is split over several turns or over words with times of their own,
or spelt out ("four one one one …"), is not found.
"""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any

import orjson

from domain.delivery import Reading

# Known forms of keys, each with the vendor that gives it. No pattern repeats a group, so all are linear.
_KEYS = (
    r"sk-(?:ant-|proj-|or-)?[A-Za-z0-9_-]{20,200}",  # OpenAI, Anthropic, OpenRouter
    r"(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{16,200}",  # Stripe
    r"gh[pousr]_[A-Za-z0-9]{30,255}|github_pat_[A-Za-z0-9_]{30,255}",  # GitHub
    r"glpat-[A-Za-z0-9_-]{20,64}",  # GitLab
    r"(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Z0-9])",  # AWS
    r"AIza[A-Za-z0-9_-]{35}",  # Google
    r"xox[abeprs]-[A-Za-z0-9-]{10,250}",  # Slack
    r"(?:hf|npm)_[A-Za-z0-9]{30,64}|pypi-[A-Za-z0-9_-]{50,250}",  # Hugging Face, npm, PyPI
    r"whsec_[A-Za-z0-9+/=_-]{20,200}",  # Standard Webhooks
    r"eyJ[A-Za-z0-9_-]{10,2000}\.eyJ[A-Za-z0-9_-]{10,4000}\.[A-Za-z0-9_-]{10,2000}",  # JSON web tokens
    r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----[A-Za-z0-9+/=\s\\]{1,8000}(?:-----END [A-Z ]{0,30}PRIVATE KEY-----)?",
)
_KEY = re.compile(rf"(?<![A-Za-z0-9])(?:{'|'.join(_KEYS)})")
_PASSWORD_IN_URL = re.compile(r"(?<=://)([^\s/:@]{1,100}):[^\s/@]{1,200}(?=@)")
_CARD = re.compile(r"(?<![\w.+-])[2-6]\d{3}(?:[ -]?\d){9,15}(?![\w-]|[.,]\d)")
_MAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,8}(?![\w-])")
_PHONE = re.compile(
    r"(?<![\w.:/-])(?:\+\d{1,3}[ -]?(?:\(0\)[ -]?)?|\(\d{2,5}\)[ -]?|0)\d{1,4}(?:[ /-]?\d{2,5}){1,5}(?![\w-]|[.:,]\d)"
    r"|(?<![\w.:/-])\d{3}[ .-]\d{3}[ .-]\d{4}(?![\w-]|[.:,]\d)"
)
_PHONE_DIGITS = range(8, 16)  # E.164 has fifteen at most
_NOT_A_DATE = re.compile(r"^(?!\d{1,4}[-/ .]\d{1,2}[-/ .]\d{1,4}$)")

# Fields by which senders and readers name and fetch things. A recording's address and its download token are keys too,
# but without them there is no transcript.
_NAMES = re.compile(
    r"(?:^|_)(?:ids?|key|hash|signature|url|uri|token|timestamp|time|at|sid|etag)$"
    r"|[a-z](?:Ids?|ID|Key|Hash|Url|URL|Uri|Token|Time|At|Sid)$"
)


def _card(match: re.Match[str]) -> str:
    digits = [int(character) for character in match.group() if character.isdigit()]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    luhn = (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0
    return "[card number]" if luhn and len(set(digits)) > 1 else match.group()


def _phone(match: re.Match[str]) -> str:
    digits = sum(character.isdigit() for character in match.group())
    return "[phone number]" if digits in _PHONE_DIGITS and _NOT_A_DATE.match(match.group()) else match.group()


def _cards(text: str) -> str:
    return _CARD.sub(_card, text) if _LONG_NUMBER.search(text) else text


def _keys(text: str) -> str:
    found = _KEY.sub("[key]", text)
    return _PASSWORD_IN_URL.sub(r"\1:[key]", found) if "://" in found else found


def _mails(text: str) -> str:
    return _MAIL.sub("[mail address]", text) if "@" in text else text


def _phones(text: str) -> str:
    return _PHONE.sub(_phone, text)


_LONG_NUMBER = re.compile(r"\d{4}[ -]?\d")
_REPLACED: Mapping[str, Callable[[str], str]] = {"key": _keys, "mail": _mails, "card": _cards, "phone": _phones}


def redact(text: str, kinds: Collection[str]) -> str:
    """The text with what is of these kinds replaced; the same text when there is none."""
    for kind, replaced in _REPLACED.items():  # keys first: what is left of one must not look like a number
        if kind in kinds:
            text = replaced(text)
    return text


def redact_body(body: bytes, kinds: Collection[str]) -> bytes:
    """A delivery's body with its texts redacted: the strings of a JSON document, else the text as a whole.

    A body in which nothing is found stays the same bytes. Numbers, and fields that name things (`id`, `url`,
    `created_at`, `download_token`), are left as they are.
    """
    if not kinds:
        return body
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return body  # no reader takes it
    if redact(text, kinds) == text and "\\u" not in text:
        return body
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return redact(text, kinds).encode()
    redacted = _value(document, kinds)
    return body if redacted == document else orjson.dumps(redacted)


def _value(value: Any, kinds: Collection[str]) -> Any:
    match value:
        case str():
            return redact(value, kinds)
        case list():
            return [_value(item, kinds) for item in value]
        case dict():
            return {
                name: item if isinstance(item, str) and _NAMES.search(name) else _value(item, kinds)
                for name, item in value.items()
            }
        case _:
            return value


def redact_reading(reading: Reading, kinds: Collection[str]) -> Reading:
    """The reading without what only became a secret when its words were put together."""
    if not kinds:
        return reading
    turns = tuple(replace(turn, text=redact(turn.text, kinds)) for turn in reading.turns)
    return replace(reading, turns=turns, summary=redact(reading.summary, kinds) if reading.summary else reading.summary)
