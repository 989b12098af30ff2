"""The language of a text: medical prose of ten languages, short and mixed texts, bytes that CLD2 refuses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from medray.text.language import ENGLISH as RULE
from medray.text.language import LanguageRule, identify, judge
from medray.text.normalize import CleanRules, clean

TEXTS = {
    "en": "The patient was admitted with acute chest pain, and an electrocardiogram showed elevation of the ST part.",
    "de": "Der Patient wurde mit akuten Brustschmerzen aufgenommen, und das Elektrokardiogramm zeigte eine Hebung der "
    "ST-Strecke in den vorderen Ableitungen.",
    "fr": "Le patient a été admis pour une douleur thoracique aiguë, et l'électrocardiogramme a montré une élévation "
    "du segment ST dans les dérivations antérieures.",
    "es": "El paciente fue ingresado por dolor torácico agudo y el electrocardiograma mostró una elevación del "
    "segmento ST en las derivaciones anteriores.",
    "it": "Il paziente è stato ricoverato per un dolore toracico acuto e l'elettrocardiogramma ha mostrato un "
    "sopraslivellamento del tratto ST nelle derivazioni anteriori.",
    "pt": "O paciente foi internado com dor torácica aguda, e o eletrocardiograma mostrou uma elevação do segmento ST "
    "nas derivações anteriores.",
    "pl": "Pacjent został przyjęty z powodu ostrego bólu w klatce piersiowej, a elektrokardiogram wykazał uniesienie "
    "odcinka ST w odprowadzeniach przednich.",
    "ru": "Пациент был госпитализирован с острой болью в груди, и на кардиограмме был обнаружен подъём сегмента ST.",
    "he": "המטופל אושפז עם כאב חד בחזה, ובבדיקת האקג נראתה עליה של מקטע אס טי בחיבורים הקדמיים של הלב, ולכן טופל מיד.",
    "zh": "患者因急性胸痛入院，心电图显示前壁导联ST段抬高，医生立即给予阿司匹林治疗，并将其送往导管室进行急诊手术。",
}  # fmt: skip


@pytest.mark.parametrize("code", TEXTS)
def test_languages_are_told_apart(code):
    assert next(iter(identify(TEXTS[code]))) == code
    assert judge(TEXTS[code], RULE) == (code, "" if code == "en" else f"language_{code}")
    assert judge(TEXTS[code], LanguageRule(allowed=("en", code), min_fraction=0.65, min_bytes=0)) == (code, "")


def test_short_texts_and_lists_without_a_language_stay():
    assert judge("Last pap performed 10/2001. Gravida: 1. Para: 1.", RULE) == ("", "")  # Indonesian, says CLD2
    assert judge("Micronase 2.5 mg Tab PO QAM #30. Bactrim 400/80 Tab PO BID #30.", RULE) == ("", "")
    assert judge(TEXTS["de"], RULE.model_copy(update={"min_bytes": len(TEXTS["de"].encode())}))[1] == "language_de"
    assert judge(TEXTS["de"], RULE.model_copy(update={"min_bytes": len(TEXTS["de"].encode()) + 1})) == ("", "")


def test_a_text_of_two_languages_needs_enough_of_one_that_is_allowed():
    mixed = f"{TEXTS['en']} {TEXTS['en']} {TEXTS['en']}\n{TEXTS['fr']} {TEXTS['fr']}"
    found = identify(mixed)
    assert list(found) == ["en", "fr"] and 0.5 < found["en"] < 0.65
    assert judge(mixed, RULE) == ("en", "language_mixed")
    assert judge(mixed, RULE.model_copy(update={"min_fraction": 0.5})) == ("en", "")
    assert judge(mixed, RULE.model_copy(update={"allowed": ("en", "fr")})) == ("en", "")


def test_a_long_text_is_judged_by_its_beginning_middle_and_end():
    body, summary = (TEXTS["en"] + " ") * 400, (TEXTS["fr"] + " ") * 4
    assert judge(summary + body, RULE) == ("en", "")
    assert judge((TEXTS["fr"] + " ") * 400 + TEXTS["en"], RULE) == ("fr", "language_fr")


@given(st.text(st.one_of(st.sampled_from("\x00\x0b\x7f\ud800\ufdd0\uffff\U0001fffe\U0010ffff"), st.characters())))
def test_no_character_is_refused(text):
    assert sum(identify(text).values()) <= 1.0001


def test_clean_identifies_and_drops_only_when_told_to():
    rules = CleanRules(
        min_words=3, max_words=100, max_symbol_fraction=1, max_repeated_line_fraction=1, max_repeated_ngram_fraction=1
    )
    texts = [TEXTS["en"], TEXTS["de"], "so short"]
    spans = [(), (), ()]
    assert clean(texts, spans, rules)[2:4] == (["", "", "too_short"], ["", "", ""])
    found = clean(texts, spans, rules.model_copy(update={"language": RULE}))
    assert found[2:4] == (["", "language_de", "too_short"], ["en", "de", ""])


def test_a_code_that_is_none_is_refused():
    with pytest.raises(ValidationError, match="'English': languages are ISO 639-1 codes, as 'en'"):
        LanguageRule(allowed=("English",), min_fraction=0.65, min_bytes=100)
