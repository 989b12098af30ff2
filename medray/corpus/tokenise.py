"""The token ids of one part of the documents. Runs in a worker."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from medray.core.schema import TableWriter
from medray.core.workspace import Workspace
from medray.corpus.steps import BATCH_ROWS, CLEANED
from medray.tables.shards import Shard

KEPT = ("id", "source", "category", "split", "licence", "access", "language", "date")
TOKENISED = pa.schema([*(CLEANED.field(name) for name in KEPT), pa.field("input_ids", pa.list_(pa.int32()))])
"""What is known of a document, and its token ids without EOS: none for a held-out one."""


def tokenise_part(shard: Shard, *, model: Path, workspace: Workspace) -> dict[str, Any]:
    """Write `scratch/<shard>.parquet`; facts: documents and tokens. Memory: a batch of documents and its tokens."""
    from medray.model.load import load_tokenizer

    tokenizer = load_tokenizer(model)
    num_documents = num_tokens = 0
    with (
        pq.ParquetFile(shard.payload["path"]) as parquet,
        TableWriter(workspace.scratch / f"{shard.key}.parquet", TOKENISED) as writer,
    ):
        for batch in parquet.iter_batches(BATCH_ROWS, columns=[*KEPT, "text"]):
            table = pa.Table.from_batches([batch])
            rows = zip(table["text"].to_pylist(), table["split"].to_pylist(), strict=True)
            texts = [text if split == "train" else "" for text, split in rows]
            # split_special_tokens: "<|im_end|>" written in a text is text, never the token that ends it
            ids = tokenizer(texts, add_special_tokens=False, split_special_tokens=True)["input_ids"]
            writer.write(table.append_column("input_ids", pa.array(ids, TOKENISED.field("input_ids").type)))
            num_documents, num_tokens = num_documents + len(ids), num_tokens + sum(map(len, ids))
    return {"documents": num_documents, "tokens": num_tokens}
