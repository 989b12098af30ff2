"""Citations: tables of several formats as one, joined to documents by PubMed id; bad tables; the recipe's check."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from medray.core.config import UserError
from medray.core.workspace import Root, Workspace
from medray.corpus import sources
from medray.corpus.citations import read_citations, write_citations
from medray.corpus.readers.rules import ReadRules
from medray.corpus.sources import SourceConfig, SourcesConfig, files_with_documents, places
from medray.recipes.open_corpus import open_corpus
from medray.recipes.recipe import Recipe
from medray.recipes.unroll import unroll
from medray.tables.shards import Shard
from medray.text.evidence import QUARTILES, meditron

ICITE = ReadRules(columns={"citations": "nih_percentile"})
FIELDS = {
    "title": "iCite", "category": "medical", "format": "citations", "licence": "CC0-1.0", "licence_url": "",
    "access": "public", "url": "https://icite.od.nih.gov/stats",
}  # fmt: skip
SNAPSHOT = 'pmid,title,citation_count,nih_percentile\n7,"A, B",3,12.5\n12,"C\nD",90,99.1\n13,E,0,\n9,F,40,76\n'


def adopted(directory: Path, files: dict[str, bytes], reading: ReadRules = ICITE) -> Path:
    """The content of the sources stage over the files, each a source of its own."""
    configs = []
    for number, (name, content) in enumerate(files.items()):
        (directory / name).write_bytes(content)
        configs.append(SourceConfig(name=f"cited_{number}", reading=reading, **FIELDS))
    paths = {f"cited_{number}": str(directory / name) for number, name in enumerate(files)}
    workspace = Workspace(Root(str(directory / "root")), "sources", "1", "sources")
    sources.run(sources.resolve(SourcesConfig(sources=tuple(configs), placement=places(paths))), {}, workspace)
    return workspace.data


def written(directory: Path, files: dict[str, bytes], reading: ReadRules = ICITE) -> tuple[Path, dict]:
    path = directory / "citations.arrow"
    return path, write_citations(Shard("citations"), sources=adopted(directory, files, reading), path=path)


def test_a_snapshot_is_adopted_and_joined_by_the_article(tmp_path):
    raw = adopted(tmp_path, {"icite.csv.gz": gzip.compress(SNAPSHOT.encode())})
    [facts] = json.loads((raw / "sources.json").read_text())
    assert (facts["licence"], len(facts["digest"])) == ("CC0-1.0", 64)
    assert files_with_documents(raw) == {}  # no step takes it for text
    path, facts = written(tmp_path, {"icite.csv.gz": gzip.compress(SNAPSHOT.encode())})
    assert facts == {"articles": 3}
    groups = ["pmid:12", "pmid:13", "pmid:7", "pmid:9", "pmid:8", "12", "", "pmid:", "mimic3:patient/12", "pmid:1x"]
    assert read_citations(path, groups) == [99.1, None, 12.5, 76.0, *[None] * 6]
    assert read_citations(path, ["pmid:0", "pmid:99", "pmid:99999999999999999999"]) == [None] * 3
    assert read_citations(path, []) == []


def test_tables_of_all_formats_are_one_and_the_larger_number_counts(tmp_path):
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"pmid": [3, 4, 5], "citation_count": [30.0, float("nan"), 2.0]}), sink)
    rows = [{"pmid": "5", "citation_count": 50}, {"pmid": 6, "citation_count": None}, {"pmid": 1, "citation_count": 0}]
    lines = "\n".join(map(json.dumps, rows)).encode()
    path, facts = written(tmp_path, {"a.jsonl": lines, "b.parquet": sink.getvalue().to_pybytes()}, ReadRules())
    assert facts == {"articles": 3}
    assert read_citations(path, [f"pmid:{number}" for number in range(1, 7)]) == [0, None, 30, None, 50, None]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"pmid,citation_count\n1,2\n", r"no column nih_percentile, found pmid, citation_count"),
        ("a.csv", b"pmid,nih_percentile\n1,2\nPMC9,5\n", r"cited_0: part-00000.csv:2: pmid is 'PMC9' and nih_percent"),
        ("a.csv", b"pmid,nih_percentile\n1,2\n3\n", r"part-00000.csv:2: 1 columns, expected 2: mend the table"),
        ("a.csv", b"pmid,nih_percentile\n1,\n", r"no citations among the sources, expected a table"),
        ("a.csv.gz", gzip.compress(SNAPSHOT.encode())[:-9], r"part-00000.csv.gz: the file is torn \(.*: get it again"),
    ],
)
def test_a_bad_table_is_one_line_that_says_where(tmp_path, name, content, message):
    with pytest.raises(UserError, match=message) as error:
        written(tmp_path, {name: content})
    assert "\n" not in str(error.value)


def with_policy(recipe: Recipe, *more: SourceConfig) -> Recipe:
    policy = meditron(("pubmed_abstracts",), 1.0, "2024", 7, QUARTILES)
    listed = recipe.sources.model_copy(update={"sources": (*recipe.sources.sources, *more)})
    corpus = recipe.corpus.model_copy(update={"evidence": policy})
    return Recipe.model_validate({**dict(recipe), "sources": listed, "corpus": corpus})


def test_a_policy_that_asks_for_citations_needs_a_source_of_them_and_gets_it(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="evidence.citations: no source of format citations, expected a table"):
        with_policy(open_corpus())
    monkeypatch.setattr("medray.corpus.sources.resolve", lambda config: config)
    monkeypatch.setattr("medray.corpus.decontaminate.resolve", lambda config: config)
    monkeypatch.setattr("medray.corpus.base.resolve", lambda config: config)
    cited = SourceConfig(name="icite", reading=ICITE, **FIELDS)
    stages = {stage.label: stage for stage in unroll(with_policy(open_corpus(), cited))}
    assert stages["corpus"].inputs["sources"] is stages["sources"]
    assert "sources" not in {stage.label: stage for stage in unroll(open_corpus())}["corpus"].inputs
