"""Win rates of a policy over another: counted by hand, by judge and by auditor, and refused on unlike prompts."""

import json
from types import SimpleNamespace

import pytest

from medray.core.config import UserError
from medray.core.schema import PROMPT, REWARD, read_table, write_table
from medray.core.workspace import Root, Workspace
from medray.evaluate import win_rate
from medray.evaluate.win_rate import WinRateConfig


def rows_of(prompt, rewards, tokens, correct=-1):
    return [
        {"completion_id": f"{prompt}-{i}", "prompt_id": prompt, "index": i, "reward": reward, "correct": correct,
         "num_tokens": n}
        for i, (reward, n) in enumerate(zip(rewards, tokens, strict=True))
    ]  # fmt: skip


def judged(directory, name, rows):
    data = directory / name
    data.mkdir()
    write_table(data / "rewards.parquet", [row for prompt in rows for row in prompt], REWARD)
    return SimpleNamespace(data=data)


def asked(directory, *golds):
    rows = [
        {"id": f"p{n}", "task": "open" if gold < 0 else "choice", "messages": [{"role": "user", "content": "?"}],
         "options": [] if gold < 0 else ["a", f"b{n}"], "gold": gold, "reference": "", "group": "", "split": "fresh"}
        for n, gold in enumerate(golds)
    ]  # fmt: skip
    directory.mkdir()
    write_table(directory / "prompts.parquet", rows, PROMPT)
    return SimpleNamespace(data=directory)


def test_every_pair_of_completions_counts_and_a_tie_as_half():
    before, after = rows_of("p0", [1.0, 3.0], [10, 100]), rows_of("p0", [1.0, 2.0, 4.0], [11, 50, 95])
    # over 1.0: tie, won, won; over 3.0: lost, lost, won
    assert win_rate.won(before, after) == {"won": 3.5, "of": 6.0, "won_alike": 1.5, "of_alike": 2.0}
    mirrored = win_rate.won(after, before)
    assert mirrored["won"] == 2.5 and mirrored["won_alike"] == 0.5


def test_an_auditor_that_sees_no_gain(tmp_path):
    inputs = {
        "prompts": asked(tmp_path / "prompts", -1, 0),
        "before": judged(tmp_path, "before", [rows_of("p0", [0, 0], [10, 10]), rows_of("p1", [0, 0], [10, 10], 1)]),
        "after": judged(tmp_path, "after", [rows_of("p0", [1, 1], [20, 40]), rows_of("p1", [1, -1], [10, 10], 0)]),
        "before_auditor": judged(tmp_path, "b", [rows_of("p0", [0, 0], [10, 10]), rows_of("p1", [0, 0], [10, 10])]),
        "after_auditor": judged(tmp_path, "a", [rows_of("p0", [-1, -1], [20, 40]), rows_of("p1", [0, 0], [10, 10])]),
    }  # fmt: skip
    workspace = Workspace(Root(str(tmp_path)), "win_rate", "1", "win_rate.round_1")
    counters = win_rate.run(WinRateConfig(rng_seed=1), inputs, workspace)
    assert counters == {"num_prompts": 2, "win_rate_judge": 0.75, "win_rate_auditor": 0.25}
    found = json.loads((workspace.data / "metrics.json").read_text())
    assert [found["judge"][name]["value"] for name in ("all", "equal_length", "task.open", "task.choice")] == [
        0.75, 0.5, 1.0, 0.5,
    ]  # fmt: skip
    assert found["changes"]["correct"]["value"] == -1.0 and found["changes"]["correct"]["before"]["value"] == 1.0
    assert found["changes"]["tokens"]["value"] == 10.0 and found["changes"]["tokens"]["after"]["value"] == 20.0
    table = read_table(workspace.data / "prompts.parquet", win_rate.PER_PROMPT).to_pylist()
    assert [(row["id"], row["judge"], row["won"]) for row in table] == [
        ("p0", "judge", 4.0), ("p1", "judge", 2.0), ("p0", "auditor", 0.0), ("p1", "auditor", 2.0),
    ]  # fmt: skip


def test_rewards_of_other_prompts_are_refused(tmp_path):
    inputs = {
        "prompts": asked(tmp_path / "prompts", -1, -1),
        "before": judged(tmp_path, "before", [rows_of("p0", [0], [10])]),
        "after": judged(tmp_path, "after", [rows_of("p1", [1], [20])]),
    }
    workspace = Workspace(Root(str(tmp_path)), "win_rate", "1", "win_rate.round_1")
    with pytest.raises(UserError, match="rewards of 2 prompts, not all of them on every side, expected the same fresh"):
        win_rate.run(WinRateConfig(rng_seed=1), inputs, workspace)
