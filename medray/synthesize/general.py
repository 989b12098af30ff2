"""Instructions out of general prose, so that SFT does not forget it: a sentence to continue, and how the text goes on.

Source: Med42-v2 mixes 26.5% general-domain instructions into its SFT set (SEEDS A0.2); the form is ours.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from medray.core.config import UserError
from medray.core.identity import content_id, stable_hash
from medray.synthesize.sources import Source

FORMS = ("Continue this text: {start}", "How does this text go on? {start}", "Write on from here: {start}")
_WORDS = (45, 110)
_SENTENCE_END = re.compile(r"(?<=[a-z][.])\s+(?=[A-Z])")
_CODE_LIKE = re.compile(r"[{}=<>\\|]|\w\(|>>>|::")


def continuations(texts: Sequence[tuple[str, str]], rng_seed: int) -> list[tuple[str, str, str]]:
    """(group, first sentence, rest) of each paragraph of prose of 45 to 110 words, in hash order.

    texts: (group, text) of each document. Paragraphs with code, and those of one sentence, are left out.
    """
    found = []
    for group, text in texts:
        for paragraph in re.split(r"\n\s*\n", text):
            prose = " ".join(paragraph.split())
            start, *rest = _SENTENCE_END.split(prose, maxsplit=1)
            in_range = _WORDS[0] <= len(prose.split()) <= _WORDS[1]
            if rest and in_range and prose.endswith(".") and not _CODE_LIKE.search(prose):
                found.append((group, start, rest[0]))
    return sorted(found, key=lambda row: stable_hash("continuation", rng_seed, *row))


def general_examples(
    source: Source, texts: Sequence[tuple[str, str]], wanted: int, system_prompt: str, rng_seed: int
) -> list[dict]:
    """EXAMPLE rows, `wanted` of them. UserError when the texts have fewer paragraphs."""
    found = continuations(texts, rng_seed)
    if wanted > len(found):
        raise UserError(
            f"synthesize.num_general_examples: {wanted} wanted, {len(found)} paragraphs of prose available in "
            f"{source.name}: lower it"
        )
    rows = []
    for group, start, rest in found[:wanted]:
        form = FORMS[stable_hash("continuation wording", rng_seed, start) % len(FORMS)]
        contents = (("system", system_prompt), ("user", form.format(start=start)), ("assistant", rest))
        messages = [{"role": role, "content": content} for role, content in contents]
        rows.append(
            {"id": content_id("example", messages), "source": "general_instructions", "messages": messages,
             "group": group, "licence": source.licence, "split": "train"}
        )  # fmt: skip
    return rows
