"""MinHash signatures of texts and the band keys under which similar ones meet (locality-sensitive hashing).

Shapes: D texts, P = bands x rows permutations, B bands.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field

from medray.core.config import Config
from medray.text.ngrams import Hashes, mix

_BLOCK_NGRAMS = 1 << 15  # a block and its permuted copy stay in the cache


class MinHashRules(Config):
    """When two texts count as near-duplicates.

    Two texts whose sets of n-grams have Jaccard similarity s meet with probability 1 - (1 - s^rows)^bands; the steepest
    similarity is about (1 / bands)^(1 / rows): 0.72 for 14 x 8.
    """

    ngram: int = Field(ge=1)
    """Words of an n-gram."""
    bands: int = Field(ge=1)
    rows: int = Field(ge=1)
    rng_seed: int = Field(ge=0)
    """Of the permutations."""
    min_jaccard: float = Field(ge=0, le=1)
    """Candidates below this exact similarity are no duplicates; 0: candidates are taken as they are."""


FINEWEB = MinHashRules(ngram=5, bands=14, rows=8, rng_seed=1, min_jaccard=0)
"""Source: FineWeb (Penedo et al. 2024, section 3.4); the defaults of datatrove's MinhashConfig."""


def signatures(ngrams: Hashes, rules: MinHashRules) -> np.ndarray:
    """uint32 (D, P): the smallest hash of each text's n-grams under every permutation; all ones for a text without any.

    The share of equal entries of two signatures estimates their Jaccard similarity.

    Source: Broder 1997; permutations by multiply-add-shift (Dietzfelbinger 1996): (a x + b mod 2^64) >> 32, pairwise
    independent for 32-bit x.
    """
    num_permutations = rules.bands * rules.rows
    # the raw stream of a bit generator never changes between numpy's versions, unlike its distributions
    factors, shifts = np.random.PCG64(rules.rng_seed).random_raw((2, num_permutations))
    found = np.full((len(ngrams.offsets) - 1, num_permutations), 0xFFFFFFFF, np.uint32)
    texts = np.flatnonzero(np.diff(ngrams.offsets))
    starts = ngrams.offsets[texts]
    blocks = np.flatnonzero(np.diff(starts // _BLOCK_NGRAMS)) + 1
    for block in np.split(np.arange(len(texts)), blocks):
        if len(block):
            first, last = starts[block[0]], ngrams.offsets[texts[block[-1]] + 1]
            keys = ngrams.values[first:last] >> np.uint64(32)
            permuted = np.empty_like(keys)
            for column in range(num_permutations):
                np.multiply(keys, factors[column], out=permuted)
                np.add(permuted, shifts[column], out=permuted)
                found[texts[block], column] = np.minimum.reduceat(permuted, starts[block] - first) >> np.uint64(32)
    return found


def band_keys(signatures: np.ndarray, rules: MinHashRules) -> np.ndarray:
    """uint64 (D, B): a hash of the `rows` entries of each band. Texts that agree in a key of one band are candidates.

    Texts without words agree in all: leave them out before.
    """
    rows = signatures.reshape(len(signatures), rules.bands, rules.rows)
    keys = np.zeros(rows.shape[:2], np.uint64)
    for row in range(rules.rows):
        keys = mix(keys ^ rows[:, :, row])
    return keys


def lsh_probability(similarity: np.ndarray | float, rules: MinHashRules) -> np.ndarray | float:
    """The probability that two texts of this Jaccard similarity agree in at least one band."""
    return 1 - (1 - similarity**rules.rows) ** rules.bands
