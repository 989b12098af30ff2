"""Multiple-choice prompts with their options in another order: an answer that is known follows its text."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from medray.core.identity import stable_hash

_MARK = r"\s*(?:[-*•]|\(?[A-Za-z0-9]{1,2}[).:\]])?\s*"
"""What may stand before an option on its line: a dash, a letter, a number."""
_MAX_DRAWS = 64


def permuted(prompt: Mapping[str, Any], count: int, rng_seed: int) -> list[dict[str, Any]]:
    """`count` variants of a PROMPT row, each with its options in another order, or as many as there are orders.

    Letters and dashes stay where they are, the texts behind them move, and gold with its text; ids are the prompt's
    with "#1", "#2". None for an open prompt, and for one whose options do not stand one on a line, each once, in the
    last message.
    """
    options = prompt["options"]
    lines = prompt["messages"][-1]["content"].split("\n")
    places = [_line(lines, option) for option in options]
    if prompt["gold"] < 0 or None in places or len(set(places)) < len(places):
        return []
    variants = []
    for number, order in enumerate(_orders(len(options), count, rng_seed, prompt["id"]), 1):
        shuffled = list(lines)
        for place, option, moved in zip(places, options, order, strict=True):
            shuffled[place] = lines[place].rstrip().removesuffix(option) + options[moved]
        last = {**prompt["messages"][-1], "content": "\n".join(shuffled)}
        variants.append({
            **prompt, "id": f"{prompt['id']}#{number}", "messages": [*prompt["messages"][:-1], last],
            "options": [options[moved] for moved in order], "gold": order.index(prompt["gold"]),
        })  # fmt: skip
    return variants


def _line(lines: Sequence[str], option: str) -> int | None:
    """The one line that holds the option and nothing else."""
    found = [place for place, line in enumerate(lines) if re.fullmatch(_MARK + re.escape(option), line.rstrip())]
    return found[0] if len(found) == 1 else None


def _orders(num_options: int, count: int, rng_seed: int, prompt_id: str) -> list[tuple[int, ...]]:
    """At most `count` orders, none of them twice or as it was."""
    as_it_was = tuple(range(num_options))
    found = {as_it_was: None}
    for number in range(_MAX_DRAWS * count):
        draw = {i: stable_hash("permutation", rng_seed, prompt_id, number, i) for i in as_it_was}
        found[tuple(sorted(as_it_was, key=draw.__getitem__))] = None
        if len(found) > count:
            break
    return list(found)[1:]
