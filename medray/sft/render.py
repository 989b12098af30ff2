"""The examples of SFT as a token store: rendered part by part in Ray's workers, then packed together.

Of part `<key>` there stays in scratch `<key>.arrow` (RENDERED), which packing maps and never holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from medray.core.files import written_whole
from medray.core.schema import EXAMPLE
from medray.core.workspace import Workspace
from medray.tables.rendered import num_wanted, place_of, render_rows
from medray.tables.shards import Shard
from medray.text.packing import best_fit, concatenate, padding_fraction, whole_pieces

if TYPE_CHECKING:
    from medray.model.render import Rendered
    from medray.sft.train import SFTConfig

RENDERED = pa.schema(
    [
        pa.field("order", pa.uint64()), pa.field("id", pa.string()), pa.field("prompt_length", pa.int32()),
        pa.field("ids", pa.list_(pa.int32())), pa.field("loss_mask", pa.list_(pa.int8())),
    ]
)  # fmt: skip
"""An example; it stands at (order, id) among all."""

_ROWS_PER_PART = 4096
_ROWS_PER_SHARD = 1024
_SHOWN = 8
"""Examples on the page tokens.html beside the journal: what the model is trained to say."""


def parts_of(config: SFTConfig, path: Path) -> list[Shard]:
    """The row groups of a table of examples in parts; payload: groups, the number of rows chosen, and the last one."""
    with pq.ParquetFile(path) as parquet:
        sizes = [parquet.metadata.row_group(i).num_rows for i in range(parquet.num_row_groups)]
        table = parquet.read(columns=["id", "split"])
    rows = zip(table["id"].to_pylist(), table["split"].to_pylist(), strict=True)
    places = sorted(place_of(key, config.optimization.rng_seed, "sft") for key, split in rows if split == "train")
    num_rows = num_wanted("sft", len(places), config.num_examples)
    shards: list[Shard] = []
    groups: list[int] = []
    for group in range(len(sizes)):
        groups.append(group)
        if sum(sizes[i] for i in groups) >= _ROWS_PER_PART or group == len(sizes) - 1:
            payload = {"groups": groups, "num_rows": num_rows, "last": places[num_rows - 1]}
            shards.append(Shard(f"part-{len(shards):05d}", payload))
            groups = []
    return shards


def render_part(
    shard: Shard, *, config: SFTConfig, model: Path, path: Path, workspace: Workspace
) -> dict[str, Any]:  # fmt: skip
    """Render the chosen rows of one part; facts: num_oversize, num_truncated.

    Raises UserError when too many rows of those seen so far are bad, or for a row too long where that is an error.
    """
    from medray.model.render import render

    tokenizer = _tokenizer(model)
    with pq.ParquetFile(path) as parquet:
        rows = parquet.read_row_groups(shard.payload["groups"], columns=EXAMPLE.names).to_pylist()
    places = [place_of(row["id"], config.optimization.rng_seed, "sft") for row in rows]
    last = tuple(shard.payload["last"])
    rows = [row for row, place in zip(rows, places, strict=True) if row["split"] == "train" and place <= last]
    usable, counts = render_rows(
        rows, lambda row: [render(tokenizer, row["messages"])], config, config.block_tokens, workspace,
        mark=shard.key, num_rows=shard.payload["num_rows"],
    )  # fmt: skip
    columns = {
        "order": [place_of(row["id"], config.optimization.rng_seed, "sft")[0] for row, _ in usable],
        "id": [row["id"] for row, _ in usable],
        "prompt_length": [example.prompt_length for _, [example] in usable],
        "ids": [np.array(example.ids, np.int32) for _, [example] in usable],
        "loss_mask": [np.array(example.loss_mask, np.int8) for _, [example] in usable],
    }
    batch = pa.record_batch([pa.array(columns[f.name], type=f.type) for f in RENDERED], schema=RENDERED)
    with (
        written_whole(workspace.scratch / f"{shard.key}.arrow") as name,
        pa.OSFile(str(name), "wb") as sink,
        pa.ipc.new_file(sink, RENDERED) as writer,
    ):
        writer.write_batch(batch)
    return counts


@lru_cache(maxsize=1)
def _tokenizer(model: Path) -> Any:
    from medray.model.load import load_tokenizer

    return load_tokenizer(model)


class _Examples:
    """The rendered examples of all parts in their order, as views into the mapped files."""

    def __init__(self, directory: Path, shards: Sequence[Shard]) -> None:
        batches = [pa.ipc.open_file(pa.memory_map(str(directory / f"{s.key}.arrow"))).get_batch(0) for s in shards]
        self._parts = [
            [
                (batch[name].offsets.to_numpy(), batch[name].values.to_numpy(zero_copy_only=False))
                for name in ("ids", "loss_mask")
            ]
            for batch in batches
        ]
        self._prompts = [batch["prompt_length"].to_numpy() for batch in batches]
        places = [
            (order, key, part, row)
            for part, batch in enumerate(batches)
            for row, (order, key) in enumerate(zip(batch["order"].to_pylist(), batch["id"].to_pylist(), strict=True))
        ]
        self._places = [(part, row) for _, _, part, row in sorted(places)]

    def __len__(self) -> int:
        return len(self._places)

    def lengths(self) -> list[int]:
        """Tokens of each example."""
        sizes = [np.diff(part[0][0]) for part in self._parts]
        return [int(sizes[part][row]) for part, row in self._places]

    def part(self, index: int, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """Ids and loss mask of tokens start to stop of an example."""
        part, row = self._places[index]
        (offsets, ids), (_, mask) = self._parts[part]
        first = offsets[row]
        return ids[first + start : first + stop], mask[first + start : first + stop]

    def example(self, index: int, length: int) -> Rendered:
        """An example as the renderer gave it."""
        from medray.model.render import Rendered

        ids, mask = self.part(index, 0, length)
        part, row = self._places[index]
        return Rendered(ids.tolist(), mask.tolist(), int(self._prompts[part][row]))


def pack_examples(
    shard: Shard, *, config: SFTConfig, model: Path, parts: Sequence[Shard], workspace: Workspace
) -> dict[str, Any]:
    """Write the token store scratch/store of all rendered parts, and the page tokens.html.

    Facts: num_examples, num_blocks, num_cut (examples that a block end cuts), num_empty_blocks (left out: no token in
    the loss), padding_fraction. Memory: about 300 bytes an example, and a shard of the store.
    """
    from medray.model.render import tokens_page
    from medray.model.tokenizer import tokenizer_digest
    from medray.tables.blocks import BlockWriter

    workspace.fetch("scratch/*.arrow")
    examples = _Examples(workspace.scratch, parts)
    lengths = examples.lengths()
    if config.packing == "concatenate":
        blocks = concatenate(lengths, config.block_tokens)
    else:
        alone = [[index] for index in range(len(lengths))]
        whole = alone if config.packing == "none" else best_fit(lengths, config.block_tokens)
        blocks = whole_pieces(lengths, whole)
    digest, num_empty = tokenizer_digest(model), 0
    writer = BlockWriter(workspace.scratch / "store", "sft", digest, config.block_tokens, _ROWS_PER_SHARD)
    for block in blocks:
        pieces = [examples.part(*piece) for piece in block]
        if any(mask[1:].any() for _, mask in pieces):
            ids, masks = (np.concatenate(arrays) for arrays in zip(*pieces, strict=True))
            writer.add(ids, [len(mask) for _, mask in pieces], masks)
        else:
            num_empty += 1
    writer.close()
    shown = [examples.example(i, lengths[i]) for i in range(min(_SHOWN, len(examples)))]
    page = tokens_page(_tokenizer(model), shown, f"{workspace.label}: what is in the loss")
    (workspace.local / "tokens.html").write_text(page)
    return {
        "num_examples": len(examples),
        "num_blocks": len(blocks) - num_empty,
        "num_cut": len({index for block in blocks for index, start, _ in block if start}),
        "num_empty_blocks": num_empty,
        "padding_fraction": padding_fraction(blocks, config.block_tokens),
    }
