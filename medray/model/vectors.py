"""Vectors of words out of a table of static embeddings, as packages ship them: safetensors and a tokenizer.json."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from medray.core.config import UserError

_MAX_WORDS = 500_000
"""Words whose vectors are kept: 512 MB where they have 256 numbers."""


class WordVectors:
    """Words -> float32 (n, D): of each the sum of its tokens' vectors. What was asked once is kept."""

    def __init__(self, weights: Path, tokenizer: Path) -> None:
        from safetensors.numpy import load_file
        from tokenizers import Tokenizer

        tables = [tensor for tensor in load_file(weights).values() if tensor.ndim == 2]
        if len(tables) != 1:
            raise UserError(f"{weights}: {len(tables)} tables of vectors, expected one: name another file")
        self._table = tables[0].astype(np.float32)
        self._tokenizer = Tokenizer.from_file(str(tokenizer))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        if (size := self._tokenizer.get_vocab_size()) > len(self._table):
            raise UserError(f"{tokenizer}: {size} tokens, but {weights} has {len(self._table)} vectors: take its own")
        self._known: dict[str, np.ndarray] = {}

    def __call__(self, words: Sequence[str]) -> np.ndarray:
        """float32 (n, D) of n words."""
        if len(self._known) > _MAX_WORDS:
            self._known.clear()
        fresh = [word for word in dict.fromkeys(words) if word not in self._known]
        for word, found in zip(fresh, self._tokenizer.encode_batch(fresh, add_special_tokens=False), strict=True):
            self._known[word] = self._table[found.ids].sum(axis=0)
        return np.array([self._known[word] for word in words], np.float32).reshape(len(words), self._table.shape[1])
