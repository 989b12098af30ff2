"""Sources and base model: digests as identity, licences, one-line refusals, prose out of descriptions. No Ray."""

from __future__ import annotations

import json
from pathlib import Path

import fsspec
import pytest

from medray.core.config import UserError, identity_of
from medray.core.files import package_directory
from medray.core.workspace import Root, Workspace
from medray.corpus import base, sources
from medray.corpus.packaged import PACKAGED
from medray.corpus.prose import prose_of
from medray.corpus.readers.rules import ReadRules
from medray.corpus.sources import SourceConfig, SourceLocation, SourcesConfig, SourcesPlacement, places


def config_for(path, **changes) -> SourcesConfig:
    fields = {
        "name": "notes", "title": "Notes", "category": "clinical", "format": "documents", "licence": "CC0-1.0",
        "licence_url": "https://creativecommons.org", "access": "public", "url": "",
    }  # fmt: skip
    place = SourcesPlacement(locations=(SourceLocation(name="notes", path=str(path)),))
    return SourcesConfig(sources=(SourceConfig(**{**fields, **changes}),), placement=place)


@pytest.fixture
def workspace(tmp_path):
    return Workspace(Root(str(tmp_path / "root")), "sources", "1", "sources")


@pytest.fixture
def jsonl(tmp_path):
    path = tmp_path / "in" / "a.jsonl"
    path.parent.mkdir()
    path.write_text('{"text": "one"}\n')
    return path


def test_identity_is_the_digest_and_never_the_place(jsonl, tmp_path):
    other = tmp_path / "elsewhere.jsonl"
    other.write_bytes(jsonl.read_bytes())
    first, second = (sources.resolve(config_for(path)) for path in (jsonl, other))
    assert identity_of(first) == identity_of(second)
    assert str(tmp_path) not in json.dumps(identity_of(first))
    other.write_text('{"text": "two"}\n')
    assert identity_of(sources.resolve(config_for(other))) != identity_of(first)


def test_adopted_content_does_not_depend_on_the_place(jsonl, tmp_path, workspace):
    counters = sources.run(sources.resolve(config_for(jsonl)), {}, workspace)
    assert (workspace.data / "notes" / "part-00000.jsonl").read_text() == jsonl.read_text()
    assert counters == {"num_sources": 1, "bytes_notes": 16}
    text = (workspace.data / "sources.json").read_text()
    assert str(tmp_path) not in text
    [facts] = json.loads(text)
    assert facts["licence"] == "CC0-1.0" and facts["bytes"] == 16 and len(facts["digest"]) == 64


def test_several_files_in_name_order(jsonl, workspace):
    (jsonl.parent / "b.txt").write_text("two")
    (jsonl.parent / "ignored.bin").write_bytes(b"x")
    sources.run(sources.resolve(config_for(jsonl.parent)), {}, workspace)
    assert sorted(p.name for p in (workspace.data / "notes").iterdir()) == ["part-00000.jsonl", "part-00001.txt"]


def test_from_any_url_it_is_the_same_source(jsonl, workspace):
    fsspec.filesystem("memory").pipe("/adopt/b/other.jsonl", jsonl.read_bytes())
    there = sources.resolve(config_for("memory://adopt"))
    assert identity_of(there) == identity_of(sources.resolve(config_for(jsonl)))
    sources.run(there, {}, workspace)
    assert (workspace.data / "notes" / "part-00000.jsonl").read_bytes() == jsonl.read_bytes()


def test_reports_keep_the_name_of_their_patient(tmp_path, workspace):
    for patient in ("p10000032", "p10000764"):
        (tmp_path / "files" / patient[:3] / patient).mkdir(parents=True)
        (tmp_path / "files" / patient[:3] / patient / "s50414267.txt").write_text("No acute.")
    counters = sources.run(sources.resolve(config_for(tmp_path / "files", format="mimic_cxr")), {}, workspace)
    assert counters["bytes_notes"] == 18
    found = sources.files_with_documents(workspace.data)
    assert [str(Path(file).relative_to(workspace.data)) for file in found] == [
        "notes/p10000032/s50414267.txt", "notes/p10000764/s50414267.txt",
    ]  # fmt: skip


def test_files_with_documents_know_how_they_are_read(tmp_path, workspace):
    (tmp_path / "a.xml.gz").write_bytes(b"x")
    (tmp_path / "b.csv").write_bytes(b"no XML")
    reading = ReadRules(tables="full", pile_sets=("PubMed Central",))
    sources.run(sources.resolve(config_for(tmp_path, format="pmc_jats", reading=reading)), {}, workspace)
    [(file, origin)] = sources.files_with_documents(workspace.data).items()
    assert file == str(workspace.data / "notes" / "part-00000.xml.gz")
    assert origin.reading == reading and origin.format == "pmc_jats"
    assert origin.stated == {
        "source": "notes", "category": "clinical", "synthetic": False, "licence": "CC0-1.0", "access": "public",
    }  # fmt: skip


def test_another_digest_is_refused_with_both(jsonl, workspace):
    with pytest.raises(UserError) as error:
        sources.run(config_for(jsonl, digest="0" * 64), {}, workspace)
    found = sources.resolve(config_for(jsonl)).sources[0].digest
    assert "sources.notes" in str(error.value) and found in str(error.value) and "0" * 64 in str(error.value)


def test_a_file_that_changes_or_vanishes_while_it_is_adopted(jsonl, workspace, monkeypatch):
    config = sources.resolve(config_for(jsonl))
    find = sources._find

    def find_and_spoil(*args):
        found = find(*args)
        jsonl.write_text('{"text": "o')
        return found

    monkeypatch.setattr(sources, "_find", find_and_spoil)
    with pytest.raises(UserError, match="digest of what lies there is"):
        sources.run(config, {}, workspace)
    assert not list(workspace.data.rglob("*.jsonl"))
    monkeypatch.setattr(sources, "_find", lambda *args: (find(*args), jsonl.unlink())[0])
    with pytest.raises(UserError, match="sources.notes: .*a.jsonl vanished before it was read: put it back"):
        sources.run(config, {}, workspace)


@pytest.mark.parametrize("place", [{"path": "/nowhere/x.jsonl"}, {"package": "no_such_package", "file": "x"}])
def test_missing_source_is_one_line(place):
    config = config_for("x").model_copy(
        update={"placement": SourcesPlacement(locations=(SourceLocation(name="notes", **place),))}
    )
    with pytest.raises(UserError, match="sources.notes: .*(correct the location|install it)") as error:
        sources.resolve(config)
    assert "\n" not in str(error.value)


def test_a_source_without_a_location_is_refused():
    with pytest.raises(UserError, match="sources.notes: no location"):
        sources.resolve(SourcesConfig(sources=config_for("x").sources))


def test_packaged_licences_are_not_the_wheels():
    licences = {source.name: source.licence for source in PACKAGED}
    assert not any("MIT" in licence for licence in licences.values())
    assert all(name in licences["hpo_annotations"] for name in ("OMIM", "Orphanet", "DECIPHER", "HPO"))
    assert "public domain" in licences["icd10cm"] and licences["pydoc"] == "PSF-2.0"
    assert [s.licence_url for s in PACKAGED if s.name == "hpo_terms"] == ["https://hpo.jax.org/app/license"]


def test_strictest_access_flows(jsonl):
    first, second = config_for(jsonl).sources[0], config_for(jsonl, name="mimic", access="credentialed").sources[0]
    access, licences = sources.terms(SourcesConfig(sources=(first, second)))
    assert access == "credentialed" and licences == ("CC0-1.0",)


def test_prose_drops_code_tables_badges_and_targets():
    description = """# Title

[![badge](https://x.io/b.svg)](https://x.io) ![logo](l.png)

This library turns [raw text](https://x.io/raw) into **clean** sentences for people who read them.

```python
print("this is a line of code that must not stay in the prose")
```

| a | table | of | many | words | that | must | go |

    an indented block of code that nobody wants to see in a text here.

<p align="center">Too short.</p>
- A bullet that is a whole sentence with enough words stays, and its `code` marks go.
"""
    assert prose_of(description).split("\n\n") == [
        "This library turns raw text into clean sentences for people who read them.",
        "A bullet that is a whole sentence with enough words stays, and its code marks go.",
    ]


def tiny(**changes) -> base.BaseConfig:
    fields = {"format": "huggingface", "licence": "Apache-2.0", "access": "public"}
    return base.BaseConfig(**{**fields, **changes})


def test_base_digest_covers_weights_and_tokenizer_but_not_the_place(tmp_path):
    digests = []
    for name, tokenizer in (("a", "{}"), ("b", "{}"), ("c", '{"x": 1}')):
        directory = tmp_path / name
        directory.mkdir()
        (directory / "model.safetensors").write_bytes(b"w")
        (directory / "tokenizer.json").write_text(tokenizer)
        (directory / "pickled.bin").write_text(name)
        digests.append(base.resolve(tiny(placement=base.BaseLocation(path=str(directory)))).digest)
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ({}, "got no location, expected exactly one of package, path, hub_id"),
        ({"path": "x", "package": "y"}, "got package, path, expected exactly one"),
        ({"path": "/nowhere"}, r"no \*.safetensors in /nowhere"),
        ({"package": "no_such_package"}, "no_such_package is not installed"),
    ],
)
def test_base_location_mistakes(place, message):
    with pytest.raises(UserError, match=message):
        base.resolve(tiny(placement=base.BaseLocation(**place)))


def test_only_tiny_has_a_shape():
    with pytest.raises(ValueError, match="format tiny needs the field tiny"):
        tiny(format="tiny")


def test_hub_offline_is_one_line(monkeypatch):
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    config = tiny(placement=base.BaseLocation(hub_id="medray/no-such-model"))
    with pytest.raises(UserError, match="cannot fetch medray/no-such-model@main .* base.placement.path") as error:
        base.resolve(config)
    assert "\n" not in str(error.value)


def test_hub_digest_equals_that_of_the_downloaded_directory(monkeypatch, tmp_path):
    hub = pytest.importorskip("huggingface_hub")
    (tmp_path / "model.safetensors").write_bytes(b"w")
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "tokenizer.json").write_text("{}")

    class Lfs:
        sha256 = base.digest_file(tmp_path / "model.safetensors")

    class File:
        def __init__(self, name, lfs=None):
            self.rfilename, self.lfs = name, lfs

    class Info:
        siblings = (File("model.safetensors", Lfs()), File("onnx/x.safetensors", Lfs()), File("config.json"))

    monkeypatch.setattr(hub.HfApi, "model_info", lambda self, *args, **kwargs: Info())
    monkeypatch.setattr(hub, "snapshot_download", lambda *args, **kwargs: str(tmp_path))
    local = base.resolve(tiny(placement=base.BaseLocation(path=str(tmp_path))))
    assert base.resolve(tiny(placement=base.BaseLocation(hub_id="some/model"))).digest == local.digest


def test_a_package_lies_in_a_directory_and_a_module_does_not():
    assert package_directory("medray") == Path(sources.__file__).parents[1]
    assert package_directory("csv") is None and package_directory("no_such_package") is None


def test_places_are_locations_by_name():
    assert places({"a": "x/y", "b": "s3://z"}) == SourcesPlacement(
        locations=(SourceLocation(name="a", path="x/y"), SourceLocation(name="b", path="s3://z"))
    )
