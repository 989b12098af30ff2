"""Configs: identity and placement, overrides, their errors."""

import pytest

from medray.core.config import Config, Placement, UserError, differences, identity_of, placement_of, with_overrides


class Threads(Placement):
    threads: int = 2
    workers: tuple[int, int] = (1, 1)


class Inner(Config):
    rate: float
    names: tuple[str, ...] = ("a", "b")
    limit: int | None = None
    placement: Threads = Threads()


class Outer(Config):
    inner: Inner
    rounds: tuple[Inner, ...]
    place: Threads = Threads()


OUTER = Outer(inner=Inner(rate=0.1), rounds=(Inner(rate=0.2), Inner(rate=0.3)))


def test_identity_leaves_out_every_placement():
    assert identity_of(OUTER) == {
        "inner": {"rate": 0.1, "names": ["a", "b"], "limit": None},
        "rounds": [{"rate": r, "names": ["a", "b"], "limit": None} for r in (0.2, 0.3)],
    }


def test_placement_is_kept_by_dotted_name():
    assert set(placement_of(OUTER)) == {"inner.placement", "rounds.0.placement", "rounds.1.placement", "place"}


@pytest.mark.parametrize(
    ("override", "read"),
    [
        ("inner.rate=2e-5", lambda c: c.inner.rate == 2e-5),
        ("rounds.1.rate=7", lambda c: c.rounds[1].rate == 7.0 and c.rounds[0].rate == 0.2),
        ('inner.names=["x"]', lambda c: c.inner.names == ("x",)),
        ("inner.limit=3", lambda c: c.inner.limit == 3),
        ("inner.limit=none", lambda c: c.inner.limit is None),
        ("place.workers=[1,4]", lambda c: c.place.workers == (1, 4)),
    ],
)
def test_overrides_are_typed(override, read):
    assert read(with_overrides(OUTER, [override]))


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("inner.rat=1", ["inner.rat", "no field 'rat'", "rate"]),
        ("inner.rate=fast", ["inner.rate", "'fast'", "number"]),
        ("rounds.7.rate=1", ["rounds.7.rate", "expected 0 to 1"]),
        ("inner.rate", ["expected field=value"]),
        ("inner.rate.x=1", ["plain value"]),
    ],
)
def test_wrong_overrides_name_the_field(override, words):
    with pytest.raises(UserError) as error:
        with_overrides(OUTER, [override])
    assert all(word in str(error.value) for word in words) and "\n" not in str(error.value)


def test_differences_names_leaves():
    assert differences({"a": {"b": 1, "c": [1, 2]}}, {"a": {"b": 2, "c": [1, 3]}}) == [("a.b", 1, 2), ("a.c.1", 2, 3)]
