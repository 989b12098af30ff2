"""How fast the steps of the corpus are on one core and how much they write: the one place of measured rates.

Measured by `benchmarks/rates.py` on the files of `open_corpus` (LOG.md, 2026-11-21); renew them on your machine,
or override one: `--set expected.rates.clean_mb_per_s=20`. Rates are of processor time on one core; a MB is a million
bytes of UTF-8 text.
"""

from __future__ import annotations

from pydantic import Field

from medray.core.config import Config


class Rates(Config):
    """Work done by one core in a second, and bytes written for bytes read."""

    copy_mb_per_s: float = Field(400.0, gt=0)
    """Adopting a source: read, SHA-256 (1,500 measured), write (a guess); of compressed bytes."""
    read_mb_per_s: float = Field(180.0, gt=0)
    """Decompressing and parsing rows that another shard keeps."""
    clean_mb_per_s: float = Field(9.6, gt=0)
    """With boilerplate cut out and languages told; 14 without."""
    deidentify_mb_per_s: float = Field(0.35, gt=0)
    """`benchmarks/phi.py`; of the documents that go through the gate."""
    dedup_mb_per_s: float = Field(6.3, gt=0)
    """Fingerprints, and the decision what stays."""
    decontaminate_mb_per_s: float = Field(12.0, gt=0)
    """`benchmarks/decontaminate.py`, 17,834 items."""
    tokenise_tokens_per_s: float = Field(400_000.0, gt=0)
    pack_tokens_per_s: float = Field(50_000_000.0, gt=0)
    source_fraction: float = Field(0.18, gt=0)
    """Bytes of a compressed source for a byte of its text."""
    stored_fraction: float = Field(0.27, gt=0)
    """Bytes of a step's documents (parquet, zstd) for a byte of text."""
    key_bytes: int = Field(150, ge=1)
    """Of a document's fingerprint, without the 12 bytes of each band (its hash, and the row)."""
    ngram_fraction: float = Field(1.2, gt=0)
    """Bytes of hashed n-grams for a byte of text, where candidate pairs are verified."""
    store_bytes_per_token: float = Field(5.05, gt=0)
    """Of the token store: int32 id and int8 mask, lengths and the order of units."""
    scratch_token_bytes: float = Field(2.0, gt=0)
    """Of a token between tokenising and packing: 16 bits for a vocabulary below 65,536."""
