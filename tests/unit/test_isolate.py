"""Which prompt of a shard ends the engine, and when it is none of them."""

import pytest

from medray.generate.fleet import EnginesLost
from medray.generate.isolate import isolated

LOST = EnginesLost("the whole shard")


def engine(*deadly):
    """An engine that dies of some prompts; `asked` holds what it was asked."""
    asked = []

    def ask(prompts, seeds):
        asked.append(list(prompts))
        if any(prompt in deadly for prompt in prompts):
            raise EnginesLost("again")
        return [(prompt, seed) for prompt, seed in zip(prompts, seeds, strict=True)]

    return ask, asked


@pytest.mark.parametrize("deadly", [(0,), (31,), (5, 6), (3, 12, 20, 28)])
def test_all_but_the_deadly_prompts_are_answered(deadly):
    ask, asked = engine(*deadly)
    found = isolated(ask, range(32), [f"s{n}" for n in range(32)], LOST)
    assert found == [None if n in deadly else (n, f"s{n}") for n in range(32)]
    assert len(asked) <= 10 * len(deadly)


def test_a_single_prompt_is_to_blame_itself():
    ask, asked = engine(0)
    assert isolated(ask, [0], ["s"], LOST) == [None] and not asked


def test_an_engine_that_dies_of_everything_is_told_soon():
    ask, asked = engine(*range(32))
    with pytest.raises(EnginesLost, match="the whole shard"):
        isolated(ask, range(32), range(32), LOST)
    assert len(asked) <= 16
    ask, _ = engine(0, 1)
    with pytest.raises(EnginesLost, match="the whole shard"):
        isolated(ask, range(4), range(4), LOST)
