"""The language of a text, by CLD2 (the package pycld2, its tables inside): 26 to 150 MB/s on one core.

Choices: of CLD2, fastText's lid.176, py3langid and lingua it was the fastest and the most accurate on clinical text
(LOG, 2026-11-21). Long texts are judged by three windows, so that the cost of a document is bounded.
"""

from __future__ import annotations

import re

from pydantic import Field, field_validator

from medray.core.config import Config

_WINDOW = 512
# What CLD2 refuses as not fit for interchange: controls, noncharacters, halves of surrogate pairs.
_REFUSED = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef"
    + "".join(chr(plane * 0x10000 + last) for plane in range(17) for last in (0xFFFE, 0xFFFF))
    + "]"
)
_ISO = {"iw": "he"}


class LanguageRule(Config):
    """Which languages a text may be in."""

    allowed: tuple[str, ...] = Field(min_length=1)
    """ISO 639-1 codes."""
    min_fraction: float = Field(gt=0, le=1)
    """Least part of a text that must be in one of them."""
    min_bytes: int = Field(ge=0)
    """Shorter texts are not judged, and stay: names of drugs and diseases belong to no language. In UTF-8, which gives
    a syllable of Chinese or Thai as many as a syllable of English."""

    @field_validator("allowed")
    @classmethod
    def _are_codes(cls, allowed: tuple[str, ...]) -> tuple[str, ...]:
        wrong = [code for code in allowed if not re.fullmatch("[a-z]{2,3}", code)]
        if wrong:
            raise ValueError(f"{', '.join(map(repr, wrong))}: languages are ISO 639-1 codes, as 'en'")
        return allowed


ENGLISH = LanguageRule(allowed=("en",), min_fraction=0.65, min_bytes=100)
"""Source: FineWeb (Penedo et al. 2024, section 3) for 0.65, there the confidence of fastText. Choices: the part of the
text, by CLD2; 100 bytes. The English texts of open_corpus with as many are 0.85 and more, 62 of 66 foreign ones go, and
the other four (Kurdish, Ligurian, Sorbian) are not known to CLD2."""


def identify(text: str) -> dict[str, float]:
    """Languages of a text with the part of it in each, most first; empty where CLD2 cannot tell reliably."""
    import pycld2

    sample = _windows(text)
    try:
        is_reliable, _, details = pycld2.detect(sample.encode())
    except (pycld2.error, UnicodeEncodeError):
        is_reliable, _, details = pycld2.detect(_REFUSED.sub(" ", sample).encode())
    found: dict[str, float] = {}
    for _, code, percent, _ in details if is_reliable else ():
        if code != "un":
            code = code.partition("-")[0]  # zh-Hant
            code = _ISO.get(code, code)
            found[code] = found.get(code, 0) + percent / 100
    return found


def judge(text: str, rule: LanguageRule) -> tuple[str, str]:
    """The main language of a text ("": not known), and the reason why it does not stay, or ""."""
    is_short = len(text) < rule.min_bytes and len(text.encode(errors="replace")) < rule.min_bytes
    found = {} if is_short else identify(text)
    if not found:
        return "", ""
    main = next(iter(found))
    if sum(found.get(code, 0) for code in rule.allowed) >= rule.min_fraction:
        return main, ""
    return main, "language_mixed" if main in rule.allowed else f"language_{main}"


def _windows(text: str) -> str:
    """The text, or of a long one its beginning, middle and end."""
    if len(text) <= 3 * _WINDOW:
        return text
    middle = (len(text) - _WINDOW) // 2
    return "\n".join((text[:_WINDOW], text[middle : middle + _WINDOW], text[-_WINDOW:]))
