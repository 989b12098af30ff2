"""The report on fabricated evaluations: figures, verdicts, aims, determinism, and a page that fetches nothing."""

import json
import re
from html.parser import HTMLParser

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from medray.core.artifact import Artifact, Input, Manifest
from medray.core.journal import Journal
from medray.core.workspace import Root, Workspace
from medray.evaluate import fresh, observe, pair_benchmarks, perplexity
from medray.evaluate.pair_benchmarks import BenchPair
from medray.math import statistics
from medray.report import build, figures, findings, observatory

TASKS = ("definition_to_term", "phenotypes_to_disease", "term_to_system")
AIMS = findings.Aims(max_definitions_change=-0.25, max_general_change=0.03)
CONFIG = build.ReportConfig(recipe="demo", aims=AIMS, rng_seed=1, num_sample_prompts=2)


class Fabricator:
    """Makes sealed artifacts by hand; figures come from a seeded generator."""

    def __init__(self, root):
        self.root, self.sealed, self.made = Root(str(root)), {}, 0

    def artifact(self, role, kind, label, inputs=(), wall_s=20.0, licences=("HPO licence",)):
        self.made += 1
        id = f"{self.made:032x}"
        directory = self.root.directory(kind, id)
        (directory / "data").mkdir(parents=True)
        sources = {r: Input(kind=self.sealed[r].kind, id=self.sealed[r].id, digest="d" * 32) for r in inputs}
        manifest = Manifest(
            kind=kind, label=label, id=id, version=1, config={}, placement={}, inputs=sources, counters={"rows": 3},
            digest=f"{self.made:032x}"[::-1], parts={}, equality="exact", size_bytes=self.made * 7_000_000,
            num_quarantined=0, access="public", licences=licences, commit="0123456789ab", packages={},
            started_at=1.79e9 + self.made * 60, sealed_at=1.79e9 + self.made * 60 + wall_s, wall_s=wall_s,
            num_attempts=1, peak_memory_bytes=3 * 2**30, cpu_core_hours=0.1,
        )  # fmt: skip
        self.sealed[role] = Artifact(manifest, directory)
        return self.sealed[role]


def add_evaluation(fabricator, name, definitions, general, accuracy, role=None):
    rng, own = np.random.default_rng(7), np.random.default_rng(len(name))
    artifact = fabricator.artifact(f"evaluate.{name}", "evaluate", f"evaluate.{name}", inputs=[role or name], wall_s=24)
    documents = []
    for number in range(90):
        tokens, category = int(rng.integers(40, 120)), ("medical", "clinical", "general")[number % 3]
        hard = rng.normal(0, 0.25)
        hard += own.normal(0, 0.06)
        nats = np.log(general if category == "general" else definitions / 3) + hard
        part = tokens // 3 if category == "medical" else 0
        documents.append(
            {"id": f"d{number}", "source": category, "category": category, "nll": nats * tokens, "num_tokens": tokens,
             "definition_nll": (np.log(definitions) + hard) * part, "num_definition_tokens": part}
        )  # fmt: skip
    difficulty = rng.random(240)
    choices = [
        {"id": f"q{n}", "task": TASKS[n % 3], "cluster": f"c{n % 3}-{n // 12}",
         "correct": float(difficulty[n] < accuracy[n % 3] + own.normal(0, 0.02)),
         "correct_normalised": float(difficulty[n] < accuracy[n % 3]), "chance": 0.25,
         "longest_option": float(n % 4 == 1), "most_frequent": float(n % 4 == 0), "prior": float(n % 7 < 2)}
        for n in range(240)
    ]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(documents), artifact.data / "documents.parquet")
    pq.write_table(pa.Table.from_pylist(choices), artifact.data / "choices.parquet")
    found = {**perplexity.summarise(documents, 0), **choice_metrics(choices)}
    (artifact.data / "metrics.json").write_text(json.dumps(found))


def choice_metrics(choices):
    from medray.evaluate import choice

    return choice.summarise(choices, 0)


def add_fresh(fabricator, name, reward, correct, length, source):
    rng = np.random.default_rng(11)
    artifact = fabricator.artifact(f"fresh.{name}", "evaluate_fresh", f"fresh.{name}", inputs=[source], wall_s=9)
    words = "an abnormality of the retina that is seen as progressive loss of rods and then cones in both eyes".split()
    per_prompt, samples = [], []
    for number in range(60):
        is_choice, hard = number % 4 != 3, rng.random()
        prompt = {
            "id": f"p{number}", "task": TASKS[number % 3] if is_choice else "describe", "gold": 1 if is_choice else -1,
            "messages": [{"role": "user", "content": f"Which body system is affected by {number}?\n- eye\n- ear"}],
            "options": ["eye", f"ear {number // 4}"] if is_choice else [], "reference": "eye",
        }  # fmt: skip
        rows = []
        for index in range(4):
            right = rng.random() < (correct + hard) / 2
            rows.append(
                {"prompt_id": prompt["id"], "index": index, "reward": float(rng.normal(reward, 0.6) + right),
                 "correct": int(right) if is_choice else -1, "num_tokens": int(rng.normal(length, 3)),
                 "finish_reason": "length" if rng.random() < 0.05 else "stop",
                 "text": " ".join(words[number % 7 :][: int(rng.integers(4, 14))])}
            )  # fmt: skip
        per_prompt.append(fresh.measure_prompt(prompt, rows, float(hard < correct)))
        samples += [fresh.readable(prompt, row) for row in rows]
    fresh.write_table(artifact.data / "prompts.parquet", per_prompt, fresh.PER_PROMPT)
    fresh.write_table(artifact.data / "samples.parquet", samples, fresh.SAMPLES)
    (artifact.data / "metrics.json").write_text(json.dumps(fresh.summarise(per_prompt, 0)))


def add_reward(fabricator):
    artifact = fabricator.artifact("evaluate_reward", "evaluate_reward", "evaluate.reward", inputs=["reward"])
    from medray.evaluate import reward

    rng = np.random.default_rng(5)
    won = {name: (rng.random(160) < p).astype(float) for name, p in
           (("reward_model", 0.86), ("longer", 0.55), ("shorter", 0.45), ("bag_of_words", 0.7),
            ("policy_sum", 0.72), ("policy_mean", 0.78))}  # fmt: skip
    groups = {"kind": [("term_to_system", "describe")[n % 2] for n in range(160)],
              "source": [("own", "reference")[n % 3 == 0] for n in range(160)],
              "length": [("chosen longer", "chosen shorter", "about equal")[n % 3] for n in range(160)]}  # fmt: skip
    found = reward.summarise(won, groups, [f"p{n // 4}" for n in range(160)], 0)
    found["members"] = {f"reward_model_{n}": found["metrics"]["reward_model"] for n in (1, 2)}
    (artifact.data / "metrics.json").write_text(json.dumps(found))


def add_bench(fabricator):
    artifact = fabricator.artifact(
        "evaluate_bench", "evaluate_reward_bench", "evaluate.reward_bench", inputs=["reward"]
    )
    sizes, rng = {"easy": 60, "hard": 40, "length": 30, "human": 20}, np.random.default_rng(2)
    pairs = [BenchPair(f"{c}{n}", f"{c}{n}", c, [], "", "") for c, size in sizes.items() for n in range(size)]
    won_N = (rng.random(len(pairs)) < 0.8).astype(float)
    outcomes = {"won": int(won_N.sum()), "tied": 1, "lost": int(150 - won_N.sum() - 1), "left_out": 3}
    found = {
        "built": {"layout": "medical", "outcomes": outcomes, **pair_benchmarks.figures(won_N, pairs, "medical", 0)}
    }
    (artifact.data / "metrics.json").write_text(json.dumps(found))


def add_observation(fabricator, name, before, source, *, accepted=True, alarm=None):
    """What `observe` seals of a round, from the figures of the fresh prompts before and after it."""
    after = f"fresh.{name}"
    artifact = fabricator.artifact(f"{name}.observe", "observe", f"{name}.observe", inputs=[source, after], wall_s=5)
    rows = {role: {r["id"]: r for r in pq.read_table(fabricator.sealed[key].data / "prompts.parquet").to_pylist()}
            for role, key in (("before", before), ("after", after))}  # fmt: skip
    samples = {role: pq.read_table(fabricator.sealed[key].data / "samples.parquet").to_pylist()
               for role, key in (("before", before), ("after", after))}  # fmt: skip
    rules = observe.ObserveRules(gold_lost="note", only_longer="note", length_growth=0.1, far_away="note", max_kl=50.0)
    config = observe.ObserveConfig(rules=rules, dtype="fp32", rng_seed=1)
    rng = np.random.default_rng(len(name))
    moved = [{"prompt_id": f"p{n // 2}", "since_previous": rng.normal((1, -3), 1).tolist(),
              "since_initial": rng.normal((1, -3), 1).tolist()} for n in range(80)]  # fmt: skip
    found = observe.observe(rows["before"], rows["after"], samples, dict.fromkeys(rows["after"], 2.5), config)
    found |= {"drift": observe.drift(moved, 1), "accepted": accepted}
    if alarm:
        found["alarms"][alarm] = True
    (artifact.data / "observation.json").write_text(json.dumps(found))


def fabricate(root):
    """A whole demo's evaluations: pretraining halves the perplexity of definitions, round 2 changes nothing."""
    made = Fabricator(root)
    made.artifact("base", "base", "base", licences=("Apache-2.0",), wall_s=6)
    made.artifact("sources", "sources", "sources", licences=("HPO licence", "US government work"), wall_s=3)
    made.artifact("corpus", "corpus", "corpus", inputs=["sources", "base"], wall_s=31)
    for role, kind, source, wall_s, start, end in (
        ("pretrain", "pretrain", "corpus", 130, 3.6, 2.3), ("sft", "sft", "pretrain", 80, 2.4, 0.9),
        ("reward", "reward", "sft", 70, 0.7, 0.3), ("round_1.dpo", "dpo", "sft", 45, 0.69, 0.6),
        ("round_2.dpo", "dpo", "round_1.dpo", 44, 0.69, 0.66),
    ):  # fmt: skip
        artifact = made.artifact(role, kind, role, inputs=[source, "corpus"], wall_s=wall_s)
        journal, rng = Journal(artifact.directory / "journal", role), np.random.default_rng(3)
        for step in range(60):
            journal.log(
                step, loss=end + (start - end) * np.exp(-step / 15) + rng.normal(0, 0.05 * start),
                **({"chosen_logprob": -40 - step / 10, "rejected_logprob": -42 - step / 3} if kind == "dpo" else {}),
            )  # fmt: skip
    for name, definitions, general, accuracy, role in (
        ("base", 66.0, 21.0, (0.3, 0.26, 0.27), "base"), ("pretrain", 33.0, 21.3, (0.42, 0.31, 0.33), "pretrain"),
        ("sft", 35.0, 21.9, (0.55, 0.38, 0.86), "sft"), ("round_1", 35.4, 22.0, (0.56, 0.39, 0.87), "round_1.dpo"),
        ("round_2", 35.5, 22.1, (0.56, 0.39, 0.87), "round_2.dpo"),
    ):  # fmt: skip
        add_evaluation(made, name, definitions, general, accuracy, role)
    for name, value, correct, length, role in (
        ("sft", 0.1, 0.4, 20, "sft"), ("sft_cool", 0.35, 0.45, 19, "sft"), ("round_1", 0.8, 0.6, 23, "round_1.dpo"),
        ("round_2", 0.8, 0.6, 24, "round_2.dpo"),
    ):  # fmt: skip
        add_fresh(made, name, value, correct, length, role)
    add_reward(made)
    add_bench(made)
    add_observation(made, "round_1", "fresh.sft", "round_1.dpo")
    add_observation(made, "round_2", "fresh.round_1", "round_2.dpo", accepted=False, alarm="only_longer")
    add_win_rate(made, "round_1", (0.64, 0.61))
    add_win_rate(made, "round_2", (0.66, 0.48))
    return made


def add_win_rate(fabricator, name, rates):
    """What `win_rate` seals of a round, by its reward model and by the auditor."""
    artifact = fabricator.artifact(f"win_rate.{name}", "win_rate", f"win_rate.{name}", inputs=[f"fresh.{name}"])
    rng, found = np.random.default_rng(5), {}
    for judge, rate in zip(("judge", "auditor"), rates, strict=True):
        row = statistics.mean(np.clip(rng.normal(rate, 0.2, 200), 0, 1)).row()
        found[judge] = {"all": row, "equal_length": row, "task.open": row}
    changes = {}
    for key, (first, second) in {"correct": (0.4, 0.43), "tokens": (20.0, 23.0)}.items():
        before_N, after_N = rng.normal(first, 0.1, 60), rng.normal(second, 0.1, 60)
        changes[key] = statistics.paired_difference(before_N, after_N).row()
    (artifact.data / "metrics.json").write_text(json.dumps(found | {"changes": changes}))


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    made = fabricate(tmp_path_factory.mktemp("root"))
    workspace = Workspace(made.root, build.NAME, "f" * 32, "report")
    counters = build.run(CONFIG, made.sealed, workspace)
    return made, workspace, counters


def test_every_figure_has_value_interval_and_count(demo):
    _, workspace, counters = demo
    report = json.loads((workspace.data / "report.json").read_text())
    found = []

    def walk(node):
        if isinstance(node, dict) and "value" in node and "aim" not in node:
            found.append(node)
        for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
            walk(child)

    walk(report)
    assert len(found) > 100
    assert all({"value", "low", "high", "count", "num_clusters"} <= set(row) for row in found)
    assert all(row["low"] <= row["value"] <= row["high"] for row in found if row["low"] is not None)
    assert counters["num_figures"] >= len(found)


@pytest.mark.parametrize("start", ["base", "sft"])
def test_a_round_is_held_against_the_cooler_model_that_it_started_from(start):
    def row(first, verdict):
        return {"figure": "reward_mean", "first": first, "second": "round_1", "scale": "absolute", "verdict": verdict,
                "value": 0.2, "low": 0.1, "high": 0.3, "count": 9, "num_clusters": 9}  # fmt: skip

    rows = [row(start, "better"), row(f"{start}_cool", "none")]
    fresh_models = {"models": [start, f"{start}_cool", "round_1"], "differences": rows}
    [found] = findings.sharper({"fresh": fresh_models})
    assert found["text"].startswith(f"round 1 against the cooler {findings.name_text(start)} model: reward +0.2 [")
    assert "may be a sharper distribution" in found["text"] and found["verdict"] == "none"


def test_verdicts_name_what_changed_and_what_did_not(demo):
    _, workspace, _ = demo
    report = json.loads((workspace.data / "report.json").read_text())
    rows = report["evaluate"]["differences"]
    assert figures.find(rows, "perplexity.definitions", "base", "pretrain")["verdict"] == "better"
    assert figures.find(rows, "perplexity.definitions", "base", "pretrain")["value"] == pytest.approx(-0.5, abs=0.05)
    assert figures.find(rows, "accuracy", "round_1", "round_2")["verdict"] == "none"
    assert figures.find(rows, "accuracy", "pretrain", "sft")["verdict"] == "better"
    assert any("no difference in" in f["text"] and f["model"] == "round_2" for f in report["findings"])
    assert any("not only sharper" in f["text"] and f["model"] == "round_1" for f in report["findings"])
    blind = {f["figure"]: f for f in report["findings"] if "baseline" in f["text"] or "not above" in f["text"]}
    assert blind["accuracy.term_to_system"]["verdict"] == "better"
    assert blind["accuracy.phenotypes_to_disease"]["text"].endswith("not above prior.")
    reached = {aim["aim"]: aim["reached"] for aim in report["aims"]}
    assert reached["Perplexity of held-out definitions, pretrained against base: -25%"]
    assert not reached["Perplexity of general text, round 2 against base: at most +3%"]


def test_aims_of_a_preference_run_are_its_own():
    def row(value, low, high):
        return {"value": value, "low": low, "high": high, "count": 50, "verdict": "none"}

    change = {"figure": "accuracy", "first": "base", "second": "round_1"} | row(-0.01, -0.03, 0.01)
    rates = {"judge": {"all": row(0.7, 0.66, 0.74)}, "auditor": {"all": row(0.64, 0.6, 0.68)}}
    report = {
        "evaluate": {"models": ["base", "round_1"], "differences": [change]}, "win_rates": {"round_1": rates},
        "reward_model": {"metrics": {"reward_model": row(0.9, 0.84, 0.95)}}, "fresh": {"models": [], "metrics": {}},
    }  # fmt: skip
    wanted = findings.Aims(min_accuracy_change=-0.02, min_reward_accuracy=0.85, min_win_rate=0.65)
    found = [(aim["aim"], aim["unit"], aim["reached"], aim["certain"]) for aim in findings.aims(report, wanted)]
    assert found == [
        ("Multiple choice by likelihood, round 1 against base: at least -2 points", "absolute", True, False),
        ("Held-out pairs that the reward model has right: 85%", "share", True, False),
        ("Wins of round 1 against the start by its reward model: 65%", "share", True, True),
        ("Wins of round 1 against the start by the auditor: 65%", "share", False, False),
    ]
    assert findings.aims(report, findings.Aims()) == []


def test_equal_inputs_give_equal_bytes_without_times(demo):
    made, workspace, _ = demo
    again = Workspace(made.root, build.NAME, "e" * 32, "report")
    build.run(CONFIG, made.sealed, again)
    first = (workspace.data / "report.json").read_bytes()
    assert first == (again.data / "report.json").read_bytes()
    assert b"wall_s" not in first and b"sealed_at" not in first
    assert [p.name for p in workspace.data.iterdir()] == ["report.json"]


class Page(HTMLParser):
    """Collects what a page would fetch, its ids and its text."""

    def __init__(self, text):
        super().__init__()
        self.addresses, self.ids, self.open = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        fields = dict(attributes)
        self.addresses += [v for k, v in fields.items() if k in ("src", "href", "xlink:href") and not v.startswith("#")]
        self.ids += [fields["id"]] if "id" in fields else []
        assert tag not in ("script", "iframe", "link"), tag


def test_the_page_is_self_contained(demo):
    _, workspace, _ = demo
    text = (workspace.local / "report.html").read_text()
    page = Page(text)
    assert page.addresses == []
    assert not re.search(r"@import|url\((?!#)", text)
    assert len(page.ids) == len(set(page.ids))
    for words in ("For research only", "Lineage", "Samples side by side", "US government work", "Reward model",
                  "Reward benchmarks", "Members of the ensemble", "3 left out", "By length of the sides"):  # fmt: skip
        assert words in text
    assert text.count("<svg") == 7
    assert len(text) < 1_000_000


def test_texts_of_models_are_escaped(demo):
    from medray.report.page import render_page

    _, workspace, _ = demo
    report = json.loads((workspace.data / "report.json").read_text())
    report["samples"][0]["completions"][0]["completion"] = "<script>alert(1)</script>"
    page = render_page(report, json.loads((workspace.local / "timings.json").read_text()), [], commit="")
    assert "<script>" not in page and "&lt;script&gt;" in page


def test_a_report_of_few_roles_still_renders(tmp_path):
    made = Fabricator(tmp_path)
    made.artifact("base", "base", "base")
    add_evaluation(made, "base", 60.0, 20.0, (0.3, 0.3, 0.3))
    workspace = Workspace(made.root, build.NAME, "f" * 32, "report")
    build.run(CONFIG, made.sealed, workspace)
    assert "Preference rounds" not in (workspace.local / "report.html").read_text()


def test_models_are_compared_in_the_order_of_the_pipeline():
    pairs = figures.model_pairs(sorted(["round_2", "sft_cool", "sft", "round_1", "round_10"], key=figures.order))
    assert pairs[:3] == [("sft", "round_1"), ("round_1", "round_2"), ("round_2", "round_10")]
    assert ("sft_cool", "round_2") in pairs and ("sft", "sft_cool") not in pairs


def test_the_observatory_shows_every_figure_of_every_round(demo):
    made, workspace, _ = demo
    report = json.loads((workspace.data / "report.json").read_text())
    shown = {panel.title: panel.lines for panel in observatory.panels(report["observed"])}
    assert list(shown) == [
        "Reward", "Gold accuracy", "Length", "Reward per length", "KL to the start", "Log-prob since the start",
        "Variety", "Refusals", "Cut off",
    ]  # fmt: skip
    first, second = (report["observed"][name] for name in ("round_1", "round_2"))
    before = report["fresh"]["metrics"]["sft"]
    assert [cell["value"] for cell in shown["Reward"][""]] == [
        before["reward_mean"]["value"], *(seen["levels"]["reward_mean"]["after"]["value"] for seen in (first, second)),
    ]  # fmt: skip
    assert [cell and cell["value"] for cell in shown["KL to the start"][""]] == [None, 2.5, 2.5]
    assert shown["Log-prob since the start"]["rejected"][1] == first["drift"]["since_initial"]["rejected"]
    assert all(len(cells) == 3 for lines in shown.values() for cells in lines.values())
    page = (workspace.local / "report.html").read_text()
    assert all(f">{title}<" in page.replace("\n", "") or title in page for title in shown)
    assert "(undone)" in page and "only longer" in page
    assert "While each round trains" in page and "rejected" in page
    unmeasured = {"round_1": {**first, "drift": {}, "levels": {**first["levels"], "correct_mean": {
        role: {"value": None, "low": None, "high": None} for role in ("before", "after")}}}}  # fmt: skip
    assert observatory.observatory_chart(unmeasured).count("not measured") == 2


def test_a_win_that_the_auditor_does_not_see_is_no_gain(demo):
    _, workspace, _ = demo
    report = json.loads((workspace.data / "report.json").read_text())
    first, second = (f for f in report["findings"] if f["figure"] == "win_rate")
    assert first["verdict"] == "better" and "agree" not in first["text"]
    assert second["verdict"] == "none" and second["text"].endswith("by the auditor, who does not agree.")
    page = (workspace.local / "report.html").read_text()
    assert page.count("<td>the auditor</td>") == 2 and "Wins over the policy that the rounds start from" in page


def test_few_clusters_are_no_verdict():
    certain = statistics.Estimate(0.5, 0.4, 0.6, 40, 9)
    assert statistics.verdict(certain) == "none"
    assert statistics.verdict(certain._replace(num_clusters=10)) == "better"
