"""The tiny recipe, every stage real: it learns, its second run is all hits, and the other commands tell the truth."""

import json
import re
import shutil

import psutil
import pytest

from medray.core.workspace import Root
from medray.pipeline import stages_of
from medray.recipes.load import load_recipe

pytestmark = pytest.mark.timeout(1200)


@pytest.fixture(scope="module")
def stages():
    return {stage.label: stage for stage in stages_of(load_recipe("tiny"))}


@pytest.fixture(scope="module")
def artifacts(tiny_root, stages):
    root = Root(str(tiny_root))
    return {label: root.open(stage.kind, stage.id) for label, stage in stages.items()}


def figures(artifact):
    return json.loads((artifact.data / "metrics.json").read_text())


def test_every_stage_is_sealed_and_unchanged(artifacts):
    assert {label: artifact.verify() for label, artifact in artifacts.items()} == dict.fromkeys(artifacts, [])


def test_pretraining_lowers_the_perplexity_of_held_out_text(artifacts):
    report = json.loads((artifacts["report"].data / "report.json").read_text())
    wanted = {
        (row["figure"], row["verdict"])
        for row in report["evaluate"]["differences"]
        if (row["first"], row["second"]) == ("base", "pretrained")
    }
    assert {("perplexity.definitions", "better"), ("perplexity.medical", "better")} <= wanted


@pytest.mark.parametrize(("label", "fraction"), [("pretrain", 0.85), ("sft", 0.7), ("reward.train", 0.95)])
def test_training_losses_fall(artifacts, label, fraction):
    losses = [record["loss"] for record in artifacts[label].journal_history()]
    assert sum(losses[-5:]) < fraction * sum(losses[:5])


def test_dpo_starts_at_log_2_and_raises_the_margin(artifacts):
    history = artifacts["round_1.dpo"].journal_history()
    assert history[0]["loss"] == pytest.approx(0.693147, abs=2e-4)
    assert history[-1]["reward_margin"] > 0


def test_every_prompt_of_a_round_is_accounted_for(artifacts):
    counters = artifacts["round_1.pairs"].manifest.counters
    outcomes = sum(value for name, value in counters.items() if not name.startswith("num_"))
    assert outcomes == counters["num_prompts"] == artifacts["round_1.answer"].manifest.counters["num_prompts"]


def test_licences_flow_to_the_last_artifact(artifacts):
    report = artifacts["report"].manifest
    assert any("HPO" in licence for licence in report.licences) and report.access == "public"


def test_the_report_is_one_file_that_asks_for_nothing_outside(artifacts):
    page = (artifacts["report"].directory / "report.html").read_text()
    assert "not" in page and "clinical" in page
    assert 'src="http' not in page and "<link" not in page and "@import" not in page


def test_the_second_run_is_all_hits_and_starts_no_ray(medray, tiny_root, stages):
    done = medray("run", "tiny", "--root", tiny_root, timeout=120)
    assert done.returncode == 0, done.stderr
    assert f"{len(stages)} stages: 0 ran" in done.stdout and "report.html" in done.stdout


def test_verify_and_plan(medray, tiny_root, stages):
    done = medray("verify", "--recipe", "tiny", "--root", tiny_root, timeout=120)
    assert done.returncode == 0 and done.stdout.count("ok ") == len(stages)
    done = medray("plan", "tiny", "--root", tiny_root, "--set", "sft.optimization.learning_rate=0.001")
    assert "optimization.learning_rate: 0.004 -> 0.001" in done.stdout


def test_show_prints_what_of_a_conversation_is_in_the_loss(medray, tiny_root, tmp_path):
    file = tmp_path / "chat.jsonl"
    turns = [{"role": "user", "content": "Which organ?"}, {"role": "assistant", "content": "The eye."}]
    file.write_text(json.dumps({"messages": turns}) + "\n")
    for name in ("sft", "tiny"):  # a trained model, and a recipe by its base
        done = medray("show", name, "--tokens", file, "--root", tiny_root, timeout=120)
        assert done.returncode == 0, done.stderr
        assert "Which organ?<|im_end|>" in done.stdout and "\u27e6The eye.<|im_end|>\u27e7" in done.stdout
        assert (tmp_path / "chat.jsonl.html").read_text().count('class="loss"') > 2
    file.write_text('{"text": "no"}\n')
    done = medray("show", "sft", "--tokens", file, "--root", tiny_root, timeout=120)
    assert done.returncode == 2 and "row 1: no list `messages`" in done.stderr
    done = medray("show", "sources", "--tokens", file, "--root", tiny_root, timeout=120)
    assert done.returncode == 2 and "sources: holds no model" in done.stderr
    assert "tokens in the loss: " in medray("show", "sft", "--root", tiny_root, timeout=120).stdout


def test_diff_names_the_changed_field(medray, tiny_root, tmp_path):
    for name in ("sources", "base"):
        shutil.copytree(tiny_root / name, tmp_path / "other" / name)
    changed = ("--set", "synthesize.num_open_examples=28", "--only", "synthesize", "--root", tmp_path / "other")
    done = medray("run", "tiny", *changed)
    assert done.returncode == 0, done.stderr
    done = medray("diff", tiny_root, tmp_path / "other")
    assert "synthesize: num_open_examples: 32 -> 28" in done.stdout


def test_nothing_of_the_runs_is_left_behind(tiny_root):
    commands = (" ".join(p.info["cmdline"] or []) for p in psutil.process_iter(["cmdline"]))
    sessions = (re.search(r"medray-ray-(\d+)-", command) for command in commands)
    # of drivers that are gone: another run on this machine is none of ours
    left = [found[0] for found in sessions if found and not psutil.pid_exists(int(found[1]))]
    assert left == []
