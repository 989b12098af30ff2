"""The plan's arithmetic against numbers made by hand, and Me-LLaMA's figures against each other."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from medray import pipeline
from medray.core.config import UserError, with_overrides
from medray.plan.claims import Claim, check_claims
from medray.plan.corpus import Expected, ExpectedSource, Mix, Step, estimate
from medray.plan.rates import Rates
from medray.plan.training import A100_FLOPS, adapter_flops, full_flops, utilisation
from medray.recipes import me_llama as recipe

RATES = Rates(
    copy_mb_per_s=100, read_mb_per_s=50, clean_mb_per_s=5, deidentify_mb_per_s=0.5, dedup_mb_per_s=10,
    decontaminate_mb_per_s=20,
    tokenise_tokens_per_s=100_000, pack_tokens_per_s=1_000_000, source_fraction=0.5, stored_fraction=0.25,
    key_bytes=100, ngram_fraction=1.5, store_bytes_per_token=5, scratch_token_bytes=2,
)  # fmt: skip
MIX = Mix(
    proportions={"medical": 3, "general": 1}, token_budget=1_000_000_000, max_epochs=2, source_epochs={},
    block_tokens=4096, blocks_per_file=1000, num_shards=10, deidentified=("general",), num_bands=14,
    keeps_ngrams=True,
)  # fmt: skip


def source(category: str, num_tokens: int, **fields: int) -> ExpectedSource:
    stated = {"num_files": 2, "num_documents": 1_000_000, "text_bytes": 1_800_000_000, "num_tokens": num_tokens}
    return ExpectedSource(name=category, category=category, **{**stated, **fields})


EXPECTED = Expected(sources=(source("medical", 500_000_000), source("general", 400_000_000)), rates=RATES)


def test_a_corpus_by_hand():
    found = estimate(EXPECTED, MIX)
    assert (found.num_documents, found.text_bytes, found.num_shards) == (2_000_000, 3_600_000_000, 10)
    assert (found.num_tokens, found.num_blocks, found.num_files) == (10**9, 244_141, 245)  # 10^9 / 4096 = 244,140.6
    shares = {s.category: (s.available, s.needed, round(s.epochs, 3)) for s in found.shares}
    assert shares == {"medical": (500_000_000, 750_000_000, 1.5), "general": (400_000_000, 250_000_000, 0.625)}
    assert found.shortage == ""
    # 3,600 MB at 1 MB/s is an hour; ten shards of four files: each file is read three times, twice in vain
    assert [step.name for step in found.steps] == ["sources", "clean", "decontaminate", "deidentify", "dedup", "corpus"]
    assert [round(step.cpu_hours, 6) for step in found.steps] == pytest.approx(
        [0.005, 0.2 + 2 / 50, 0.05, 1.0, 0.1, 9000 / 3600 + 1000 / 3600], abs=1e-6
    )
    assert [step.stored_bytes for step in found.steps] == [1.8e9, 9e8, 9e8, 4.5e8, 9e8, 5e9]
    assert [step.scratch_bytes for step in found.steps] == [0, 0, 0, 0, 2_000_000 * (100 + 168) + 5_400_000_000, 1.8e9]


def test_equal_texts_only_need_no_bands_and_no_ngrams():
    assert estimate(EXPECTED, MIX._replace(num_bands=0, keeps_ngrams=False)).steps[4] == Step(
        "dedup", pytest.approx(0.1), 900_000_000, 200_000_000
    )


def test_a_mixture_that_cannot_be_filled_says_what_could():
    found = estimate(EXPECTED, MIX._replace(token_budget=2_000_000_000))
    assert found.shortage == (
        "medical needs 1,500,000,000 tokens, has 1,000,000,000 with all its epochs: "
        "at most 1,333,333,333 tokens can be filled; lower corpus.token_budget, or add a source"
    )
    assert estimate(EXPECTED, MIX._replace(token_budget=1_333_333_333)).shortage == ""
    assert estimate(EXPECTED, MIX._replace(token_budget=0)).num_tokens == 1_333_333_333
    nothing = Expected(sources=(source("medical", 500_000_000),), rates=RATES)
    more = estimate(EXPECTED, MIX._replace(token_budget=0, source_epochs={"medical": 3}))
    assert more.num_tokens == 2_000_000_000  # 500M x 3 of medical text is three quarters of it
    assert "general needs 250,000,000 tokens, has 0 with" in estimate(nothing, MIX).shortage


def test_training_by_hand():
    assert full_flops(2, 3) == 36 and adapter_flops(2, 3) == 24
    assert utilisation(A100_FLOPS * 3600, num_gpus=2, hours=1, gpu_flops=A100_FLOPS) == 0.5


def test_claims_are_what_they_are_said_to_be():
    agrees, differs = Claim("a", 100, 101, tolerance=0.01), Claim("b", 100, 102, 0.01, contradicts=True)
    assert check_claims("r", [agrees, differs]) == ("b: stated 100, computed 102",)
    with pytest.raises(UserError, match="^r: a: stated 100, computed 102, expected them to agree: correct the number"):
        check_claims("r", [agrees._replace(computed=102)])
    with pytest.raises(UserError, match="b: stated 100, computed 100, expected them to differ"):
        check_claims("r", [differs._replace(computed=100)])


def test_me_llama_by_hand():
    corpus, trained = pipeline.estimate(recipe.me_llama())
    training = trained["pretrain"]
    assert {share.category: share.needed for share in corpus.shares} == recipe.TOKENS
    assert recipe.TOKENS == {"medical": 96_750_000_000, "clinical": 6_450_000_000, "general": 25_800_000_000}
    documents = sum(s.num_documents for s in recipe.EXPECTED if s.category == "medical")
    assert documents == 15_518_009 + 3_098_931
    assert corpus.num_blocks == 31_494_141  # 129e9 / 4096 = 31,494,140.6
    assert (training.num_steps, training.tokens_per_step) == (12_303, 2560 * 4096)
    assert corpus.shortage == "" and all(1 < s.epochs < 4 for s in corpus.shares if s.category != "general")


def test_what_me_llama_contradicts_itself_in():
    """Traps (a), (b) and (c) of its paper, and that its notes are those of MIMIC-IV and MIMIC-CXR alone."""
    notes = " | ".join(recipe.me_llama().expected.notes)
    assert "Figure 1 against 15:1:4: stated 32.24B, computed 25.80B" in notes
    assert "Table 2: stated 214,595, computed 219,484" in notes
    assert "README's 8 H100: stated 0.39, computed 0.123" in notes
    assert "MIMIC-III that Methods name: stated 2,880,964, computed 4,964,164" in notes


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("NUM_TOKENS", 130_000_000_000), ("PROPORTIONS", {"medical": 15, "clinical": 1, "general": 5}),
        ("NUM_ABSTRACTS", 15_158_009), ("NUM_PAPERS", 3_908_931), ("NUM_NOTES", 2_880_000),
        ("NUM_SFT_SAMPLES", 219_484), ("GPU_HOURS", 70), ("SFT_GPUS", 16), 
        ("TABLE_2", {"all": (214_595, "", "public")}),
        ("TOKENS", {"medical": 96_750_000_000, "clinical": 6_450_000_000, "general": 32_240_000_000}),
    ],
)  # fmt: skip
def test_a_wrong_number_of_me_llama_is_refused(monkeypatch, name, wrong):
    monkeypatch.setattr(recipe, name, wrong)
    with pytest.raises(UserError, match="me_llama: .*correct the number in the recipe"):
        recipe.me_llama()


def test_rates_can_be_overridden():
    faster = with_overrides(recipe.me_llama(), ["expected.rates.tokenise_tokens_per_s=700000"])
    before, after = (pipeline.estimate(r)[0].steps[-1].cpu_hours for r in (recipe.me_llama(), faster))
    tokens = sum(s.num_tokens for s in recipe.EXPECTED)
    assert before - after == pytest.approx(tokens / 3600 * (1 / Rates().tokenise_tokens_per_s - 1 / 700_000))


def medray(*words: str, cwd) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", "medray.cli", *words], capture_output=True, text=True, cwd=cwd)


def test_plan_needs_no_data_and_no_time(tmp_path):
    started = time.monotonic()
    done = medray("plan", "me_llama", cwd=tmp_path)
    assert done.returncode == 0 and time.monotonic() - started < 15  # about 1 s; the bound is a busy machine's
    for wanted in ("129,000,000,000 tokens in 31,494,141 blocks", "96,750,000,000", "12,303 optimizer steps", "clean"):
        assert wanted in done.stdout
    assert "The stages have no ids yet: sources.pile_papers" in done.stdout and not list(tmp_path.iterdir())


def test_run_without_the_files_says_which(tmp_path):
    done = medray("run", "me_llama", "--set", "files.directory=there", cwd=tmp_path)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("error: sources.pile_papers: nothing at there/pile/pubmed_central, expected a file")
    assert done.stderr.count("\n") == 1
