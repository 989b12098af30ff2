"""The rates that `medray plan` reckons with: one core's speed at each step of a corpus, and the bytes that it writes.

Not a comparison, so no peer is measured. Each step's work is done again in this process, on one thread, from the sealed
artifacts of a run of `open_corpus` (`medray run open_corpus --set files.directory=DIRECTORY`). Seconds: processor time.

    python benchmarks/rates.py [--quick] [--root runs]
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

for variable in ("OMP_NUM_THREADS", "RAYON_NUM_THREADS"):
    os.environ[variable] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import pyarrow as pa  # noqa: E402  the threads are set first
import pyarrow.parquet as pq  # noqa: E402

from medray.core.artifact import Artifact  # noqa: E402
from medray.core.identity import digest_file  # noqa: E402
from medray.core.workspace import Root, Workspace  # noqa: E402
from medray.corpus.assemble import pack_file  # noqa: E402
from medray.corpus.build import CorpusConfig  # noqa: E402
from medray.corpus.clean import clean_shard  # noqa: E402
from medray.corpus.fates import decide  # noqa: E402
from medray.corpus.fingerprints import fingerprint_part  # noqa: E402
from medray.corpus.order import plan_order  # noqa: E402
from medray.corpus.readers.formats import reader_of  # noqa: E402
from medray.corpus.sources import files_with_documents  # noqa: E402
from medray.corpus.steps import parts_of  # noqa: E402
from medray.corpus.tokenise import tokenise_part  # noqa: E402
from medray.pipeline import find  # noqa: E402
from medray.plan.rates import Rates  # noqa: E402
from medray.recipes.open_corpus import open_corpus  # noqa: E402
from medray.tables.rows import Piece, read_piece  # noqa: E402
from medray.tables.shards import Shard  # noqa: E402


def main() -> None:
    """Print each rate and, last, one JSON line of all of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="each step once instead of three times")
    parser.add_argument("--root", default="runs", help="where open_corpus has been run")
    arguments = parser.parse_args()
    pa.set_cpu_count(1)
    root, repeats = Root(arguments.root), 1 if arguments.quick else 3
    sealed = {
        name: _open(root, name)
        for name in ("sources", "base", "clean", "decontaminate", "deidentify", "dedup", "corpus")
    }
    with tempfile.TemporaryDirectory() as directory:
        found = measure(sealed, Root(directory), repeats)
    rates = {name: round(value, 3) for name, value in found.items()}
    for name, value in rates.items():
        print(f"{name:24} {value:14,.3f}   plan has {getattr(Rates(), name):14,.3f}")
    print(json.dumps(rates))


def measure(sealed: dict[str, Artifact], root: Root, repeats: int) -> dict[str, float]:
    """Every field of Rates, but for those that benchmarks/decontaminate.py and benchmarks/phi.py measure."""
    recipe, near = open_corpus(), open_corpus().dedup.near
    files = files_with_documents(sealed["sources"].data)
    where = {name: Workspace(root, name, "0", name) for name in ("clean", "dedup", "corpus")}
    (part,) = _one_part(sealed["deidentify"], where["dedup"].scratch / "part-0.parquet")
    (last,) = _one_part(sealed["dedup"], where["corpus"].scratch / "part-0.parquet")
    texts = pq.read_table(part, columns=["text"])["text"].to_pylist()
    num_bytes = _text_bytes(part)
    pieces = [(Piece(path), origin) for path, origin in files.items()]
    clean = Shard("part-0", {"pieces": pieces})
    seconds = {
        "copy": _timed(lambda: [digest_file(path) for path in files], repeats),
        "read": _timed(lambda: [_read(path, origin) for path, origin in files.items()], repeats),
        "clean": _timed(lambda: clean_shard(clean, rules=recipe.clean.rules, workspace=where["clean"]), repeats),
        "dedup": _timed(lambda: _dedup(part, recipe.dedup, where["dedup"]), repeats),
    }
    model = sealed["base"].data / "model"
    config = CorpusConfig.model_validate(sealed["corpus"].manifest.config)
    tokens = where["corpus"].scratch / "tokens-0.tokens"
    tokenised = partial(tokenise_part, Shard("tokens-0", {"path": last}), model=model, workspace=where["corpus"])
    tokenise = _timed(tokenised, repeats)
    facts = {"tokens-0": tokenised()}
    num_tokens = tokens.stat().st_size // facts["tokens-0"]["token_bytes"]
    pack = _timed(lambda: _pack(config, facts, where["corpus"]), repeats)
    packed = json.loads((sealed["corpus"].data / "card.json").read_text())["store"]["num_tokens"]
    keys, ngrams = (where["dedup"].scratch / f"part-0.{kind}.arrow" for kind in ("keys", "ngrams"))
    compressed = sum(Path(path).stat().st_size for path in files)
    store = sum(path.stat().st_size for path in where["corpus"].data.rglob("*") if path.is_file())
    return {
        "copy_mb_per_s": compressed / seconds["copy"] / 1e6,
        **{f"{name}_mb_per_s": num_bytes / seconds[name] / 1e6 for name in ("read", "clean", "dedup")},
        "tokenise_tokens_per_s": num_tokens / tokenise,
        "pack_tokens_per_s": packed / pack,
        "source_fraction": compressed / num_bytes,
        "stored_fraction": part.stat().st_size / num_bytes,
        "key_bytes": keys.stat().st_size / len(texts) - 8 * near.bands,
        "ngram_fraction": ngrams.stat().st_size / num_bytes,
        "store_bytes_per_token": store / packed,
        "scratch_token_bytes": tokens.stat().st_size / num_tokens,
    }


def _open(root: Root, name: str) -> Artifact:
    manifest = find(root, name)
    return root.open(manifest.kind, manifest.id)


def _one_part(step: Artifact, path: Path) -> list[Path]:
    """The step's documents as one part."""
    pq.write_table(pa.concat_tables(pq.read_table(p) for p in parts_of(step)), path, compression="zstd")
    return [path]


def _text_bytes(part: Path) -> int:
    return sum(len(text.encode()) for text in pq.read_table(part, columns=["text"])["text"].to_pylist())


def _timed(work: Callable[[], Any], repeats: int) -> float:
    """The least processor time of several runs, in seconds."""
    found = []
    for _ in range(repeats):
        started = time.process_time()
        work()
        found.append(time.process_time() - started)
    return min(found)


def _read(path: str, origin: Any) -> None:
    for _ in read_piece(Piece(path), reader_of(origin.format, origin.reading)):
        pass


def _pack(config: CorpusConfig, parts: dict[str, Any], where: Workspace) -> None:
    order = plan_order(config, where.scratch, list(parts))
    (where.data / "store").mkdir(exist_ok=True)
    for number in range(-(-order["num_tokens"] // (config.block_tokens * config.blocks_per_file))):
        pack_file(Shard(f"store-{number}", {"number": number}), config=config, parts=parts, workspace=where)


def _dedup(part: Path, config: Any, where: Workspace) -> None:
    shard = Shard("keys-0", {"path": part})
    fingerprint_part(shard, source_priority=config.source_priority, near=config.near, workspace=where)
    decide(where.scratch, [part.stem], config.near, 1_000_000, where.data / "duplicates.parquet")


if __name__ == "__main__":
    main()
