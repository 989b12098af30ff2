"""The demo itself, under twenty minutes: it runs to its report, and again finds everything done."""

import json

import pytest

from medray.core.workspace import Root
from medray.pipeline import find

pytestmark = [pytest.mark.full, pytest.mark.timeout(2700)]


def test_the_demo_runs_and_learns(medray, tmp_path):
    root = tmp_path / "runs"
    done = medray("run", "demo", "--root", root, timeout=2400)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    place = Root(str(root))
    manifest = find(place, "report")
    report = json.loads((place.directory(manifest.kind, manifest.id) / "data" / "report.json").read_text())
    better = {(row["figure"], row["second"]) for row in report["evaluate"]["differences"] if row["verdict"] == "better"}
    assert {("perplexity.definitions", "pretrained"), ("perplexity.medical", "pretrained")} <= better
    again = medray("run", "demo", "--root", root, timeout=120)
    assert again.returncode == 0 and " 0 ran" in again.stdout
