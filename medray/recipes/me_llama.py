"""Me-LLaMA's corpus and continued pretraining as its paper states them; the files are the user's.

Xie et al., "Me-LLaMA: Medical Foundation Large Language Models for Comprehensive Text Analysis and Beyond".
`medray plan me_llama` needs none of the files; `medray run me_llama --set files.directory=DIRECTORY` needs all of
PLACES and BENCHMARKS there. What the paper leaves open is marked Choices; where its figures contradict each other,
`claims` says so.
"""

from __future__ import annotations

from medray.corpus.base import BaseConfig, BaseLocation
from medray.corpus.build import CorpusConfig
from medray.corpus.clean import CleanConfig, CleanPlacement
from medray.corpus.decontaminate import DecontaminateConfig
from medray.corpus.dedup import DedupConfig
from medray.corpus.deidentify import DeidentifyConfig
from medray.corpus.readers.rules import ReadRules
from medray.corpus.sources import SourceConfig, SourcesConfig, places
from medray.corpus.steps import StepPlacement
from medray.model.adapter import Adapter
from medray.plan.claims import Claim, check_claims
from medray.plan.corpus import Expected, ExpectedInstructions, ExpectedSource
from medray.plan.training import A100_FLOPS, H100_FLOPS, adapter_flops, full_flops, utilisation
from medray.pretrain.train import PretrainConfig
from medray.recipes.files import BENCHMARKS, RULES, instruction_file
from medray.recipes.recipe import Recipe
from medray.sft.instructions import InstructionsConfig
from medray.sft.train import SFTConfig
from medray.text.boilerplate import ALL_BOILERPLATE
from medray.text.language import ENGLISH
from medray.text.minhash import FINEWEB
from medray.text.normalize import CleanRules
from medray.text.phi.gate import PhiRules
from medray.train.config import Optimization, TrainPlacement

PROPORTIONS = {"medical": 15, "clinical": 1, "general": 4}  # Methods, Continual Pre-Training Data
NUM_TOKENS = 129_000_000_000  # Methods, Continual Pre-Training Data; Table 1
TOKENS = {"medical": 96_750_000_000, "clinical": 6_450_000_000, "general": 25_800_000_000}
"""What follows from the two lines above, and is checked against them."""
NUM_ABSTRACTS, NUM_PAPERS, NUM_NOTES = 15_518_009, 3_098_931, 2_880_964  # Figure 1
CONTEXT_TOKENS = 4096  # that of LLaMA2
NUM_GPUS, GPU_HOURS = 160, 700  # Methods, Training Details (A100 80GB); Discussion (70B, one epoch)
NUM_SFT_SAMPLES, SFT_GPUS, SFT_HOURS = 214_595, 8, 70  # Medical Instruction Tuning Data; Training Details; Discussion

_RESERVED = "reserved by HealthCareMagic and IclinIQ"
TABLE_2 = {
    "general_conversations": (20_000, "CC BY-NC 4.0; CC BY-SA 3.0; Apache-2.0", "restricted"),
    "medical_conversations": (20_000, _RESERVED, "restricted"), "medinstruct": (52_000, "CC BY-NC 4.0", "restricted"),
    "medical_flash_cards": (34_000, "no commercialized use", "restricted"), "mediqa": (2_220, "CC BY 4.0", "public"),
    "medicationqa": (690, "CC BY 4.0", "public"), "liveqa": (634, "CC BY 4.0", "public"),
    "wikidoc_patient": (5_490, "CC BY-SA 4.0", "public"), "guideline_qa": (2_000, "Common Crawl (other)", "public"),
    "pmc_summaries": (10_000, "CC BY", "public"), "pmc_next_sentences": (20_000, "CC BY", "public"),
    "pmc_key_words": (10_000, "CC BY", "public"), "pubmed_causal": (2_450, "CC BY", "public"),
    "umls_relations": (10_000, "Openrail", "restricted"),
    "mimic": (30_000, "PhysioNet Credentialed Health Data License 1.5.0", "credentialed"),
}  # fmt: skip
"""Samples, licence and access class of each row."""

# Published sizes: the Pile (Gao et al. 2020, table 1: 90.27 and 19.26 GiB), MIMIC-III (mimic.mit.edu, NOTEEVENTS),
# MIMIC-IV-Note 2.2 and MIMIC-CXR (their PhysioNet pages), RedPajama (C4: 806 GB, 175B tokens)
PILE_BYTES = {"pile_papers": round(90.27 * 2**30), "pile_abstracts": round(19.26 * 2**30)}
NUM_MIMIC3, NUM_DISCHARGE, NUM_RADIOLOGY, NUM_CXR = 2_083_180, 331_794, 2_321_355, 227_835

_PHYSIONET = {
    "category": "clinical", "licence": "PhysioNet Credentialed Health Data License 1.5.0", "access": "credentialed",
    "licence_url": "https://physionet.org/content/mimiciii/view-license/1.4/",
}  # fmt: skip
_PILE = {
    "category": "medical", "format": "pile", "access": "public", "licence": "each article's own (the Pile: MIT)",
    "licence_url": "https://github.com/EleutherAI/the-pile", "url": "https://huggingface.co/datasets/EleutherAI/pile",
}  # fmt: skip
SOURCES = (
    SourceConfig(
        name="pile_papers", title="PubMed Central in the Pile", reading=ReadRules(pile_sets=("PubMed Central",)),
        **_PILE,
    ),
    SourceConfig(
        name="pile_abstracts", title="PubMed Abstracts in the Pile",
        reading=ReadRules(pile_sets=("PubMed Abstracts",)), **_PILE,
    ),
    SourceConfig(
        name="mimic3", title="MIMIC-III 1.4, NOTEEVENTS", format="mimic3_noteevents", **_PHYSIONET,
        url="https://physionet.org/content/mimiciii/1.4/",
    ),
    SourceConfig(
        name="mimic4", title="MIMIC-IV-Note 2.2, discharge and radiology", format="mimic4_notes", **_PHYSIONET,
        url="https://physionet.org/content/mimic-iv-note/2.2/",
    ),
    SourceConfig(
        name="mimic_cxr", title="MIMIC-CXR 2.0.0, reports", format="mimic_cxr", **_PHYSIONET,
        url="https://physionet.org/content/mimic-cxr/2.0.0/",
    ),
    SourceConfig(
        name="redpajama", title="RedPajama-Data-1T, a part of C4", category="general", format="redpajama",
        licence="Common Crawl terms of use", licence_url="https://commoncrawl.org/terms-of-use", access="public",
        url="https://huggingface.co/datasets/togethercomputer/RedPajama-Data-1T",
    ),
)  # fmt: skip
PLACES = {
    "pile_papers": "pile/pubmed_central", "pile_abstracts": "pile/pubmed_abstracts",
    "mimic3": "mimic-iii/NOTEEVENTS.csv.gz", "mimic4": "mimic-iv-note", "mimic_cxr": "mimic-cxr-reports",
    "redpajama": "redpajama",
}  # fmt: skip
"""Directories and files below `files.directory`."""

PARAMETERS = {"13b": 13.0e9, "70b": 69.0e9}  # Touvron et al. 2023
ADAPTER = Adapter(
    # LoRA, of which no number is stated. Choices: rank, dropout and targets of QLoRA (Dettmers et al. 2023, appendix B)
    rank=64, alpha=16, dropout=0.05,
    targets=("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"),
)  # fmt: skip
ADAPTER_PARAMETERS = {"13b": 64 * 40 * 97_792, "70b": 64 * 80 * 161_792}
"""Rank x layers x (inputs + outputs of the seven matrices of a layer)."""


def me_llama() -> Recipe:
    """The 70B model: `me_llama_70b`."""
    return me_llama_70b()


def me_llama_70b() -> Recipe:
    """129B tokens as 15:1:4, one epoch of them on LLaMA2 70B, and 214,595 instructions with LoRA.

    Raises UserError where the arithmetic is off.
    """
    return _me_llama("70b")


def me_llama_13b() -> Recipe:
    """The same on LLaMA2 13B."""
    return _me_llama("13b")


def _me_llama(size: str) -> Recipe:
    return Recipe(
        name=f"me_llama_{size}",
        base=BaseConfig(
            format="huggingface", licence="Llama 2 Community License", access="restricted",
            placement=BaseLocation(hub_id=f"meta-llama/Llama-2-{size}-hf"),
            chat_template="alpaca",  # Choices: LLaMA2 has none, and the paper states none for its answers
        ),
        sources=SourcesConfig(sources=SOURCES, placement=places(PLACES)),
        clean=CleanConfig(
            # the paper states none. Gopher (Rae et al. 2021, section A1.1, table A1): 50 to 100,000 words, lines 0.30,
            # 5-grams 0.15; Choices: 8 words, since radiology reports are short; symbols 0.35, for laboratory values;
            # boilerplate: C4, RefinedWeb and publishers' notices; language: FineWeb's 0.65 (text/boilerplate, language)
            rules=CleanRules(
                min_words=8, max_words=100_000, max_symbol_fraction=0.35, max_repeated_line_fraction=0.3,
                max_repeated_ngram_fraction=0.15, boilerplate=ALL_BOILERPLATE, language=ENGLISH,
            ),
            max_quarantine_fraction=0.001,
            placement=CleanPlacement(num_shards=920, concurrency=64),
        ),
        # the paper states none: MIMIC comes de-identified, so what the gate still finds is little. Choices: ten years
        deidentify=DeidentifyConfig(
            rules=PhiRules(rng_seed=7, max_shift_weeks=520, strict=True), categories=("clinical",),
            access=("credentialed",), sources_without_patients=(), placement=StepPlacement(concurrency=64),
        ),
        # the paper states none. Choices: FineWeb's bands; notes copy forward and templates look alike: verified at 0.8
        dedup=DedupConfig(
            source_priority=tuple(PLACES), near=FINEWEB.model_copy(update={"min_jaccard": 0.8}),
        ),
        decontaminate=DecontaminateConfig(
            rules=RULES, benchmarks=BENCHMARKS, question_splits=(), quoted_tasks=(),
            placement=StepPlacement(concurrency=64),
        ),
        corpus=CorpusConfig(
            proportions=PROPORTIONS, token_budget=NUM_TOKENS, evidence=None,  # the paper weighs nothing
            # once is not enough (EXPECTED); Muennighoff et al. 2023: up to 4 times are nearly as good as new text
            max_epochs=4,
            max_unit_tokens=CONTEXT_TOKENS, block_tokens=CONTEXT_TOKENS, blocks_per_file=16_384, rng_seed=7,
            placement=StepPlacement(concurrency=64),
        ),
        pretrain=PretrainConfig(optimization=_optimization(), placement=_placement()),
        instructions=InstructionsConfig(
            files=tuple(instruction_file(name, *row) for name, row in TABLE_2.items()),
            benchmarks=BENCHMARKS, rules=RULES,
            dev_fraction=0.0, max_bad_fraction=0.001, rng_seed=7,
        ),
        sft=_tuning(),
        expected=Expected(
            sources=EXPECTED,
            # padded to the context, as the paper's hours say (see claims); medray's rows have no padding
            instructions=ExpectedInstructions(
                num_examples=NUM_SFT_SAMPLES, num_rows=NUM_SFT_SAMPLES, row_tokens=CONTEXT_TOKENS
            ),
            num_parameters=PARAMETERS[size], adapter_parameters=ADAPTER_PARAMETERS[size],
            notes=check_claims("me_llama", claims()),
        ),
    )  # fmt: skip


def _optimization() -> Optimization:
    """Methods, Training Details. Choices: no clipping, decay to 0 and seed are not stated, nor is the micro-batch."""
    return Optimization(
        learning_rate=8e-6, schedule="cosine", warmup_fraction=0.05, min_learning_rate_fraction=0.0, optimizer="adamw",
        betas=(0.9, 0.95), weight_decay=1e-5, gradient_clip=0.0, epochs=1.0, dtype="bf16", rng_seed=7,
        global_batch=NUM_GPUS * 16,  # 16 steps of accumulation on 160 GPUs, one row each
    )  # fmt: skip


def _tuning() -> SFTConfig:
    """Methods, Training Details. Choices: schedule, batch, betas, clipping and seed are not stated."""
    return SFTConfig(
        optimization=Optimization(
            learning_rate=1e-5, schedule="cosine", warmup_fraction=0.01, min_learning_rate_fraction=0.0,
            optimizer="adamw", betas=(0.9, 0.95), weight_decay=1e-5, gradient_clip=1.0, epochs=3.0, dtype="bf16",
            rng_seed=7, global_batch=SFT_GPUS * 16,
        ),
        packing="none", block_tokens=CONTEXT_TOKENS, oversize="drop", num_examples=None, adapter=ADAPTER,
        placement=TrainPlacement(
            num_workers=(SFT_GPUS // 2, SFT_GPUS), use_gpu=True, zero_stage=3, gradient_checkpointing=True,
            micro_batch=1, checkpoint_every_steps=200, max_failures=-1, log_every_steps=10,
        ),
    )  # fmt: skip


def _placement() -> TrainPlacement:
    return TrainPlacement(
        num_workers=(NUM_GPUS, NUM_GPUS), use_gpu=True, zero_stage=3, gradient_checkpointing=True, micro_batch=1,
        checkpoint_every_steps=200, max_failures=-1, log_every_steps=10,
    )  # fmt: skip


# Tokens of LLaMA2's tokenizer: about 350 an abstract and 8,300 a paper in Meditron's corpus (Chen et al. 2023; with
# its 16.1M abstracts, 5M papers and guidelines they make the 48.1B that it states). Choices: 3.3 bytes a token of
# notes, 4.6 of web text (RedPajama's own count); the mean length of notes is a guess: 1,900 bytes (MIMIC-III), 10,500
# a discharge summary, 1,200 a radiology report, 700 a chest report (in one archive). Replace what you can measure.
EXPECTED = (
    ExpectedSource(name="pile_papers", category="medical", num_files=30, num_documents=NUM_PAPERS,
                   text_bytes=PILE_BYTES["pile_papers"], num_tokens=NUM_PAPERS * 8_300),
    ExpectedSource(name="pile_abstracts", category="medical", num_files=30, num_documents=NUM_ABSTRACTS,
                   text_bytes=PILE_BYTES["pile_abstracts"], num_tokens=NUM_ABSTRACTS * 350),
    ExpectedSource(name="mimic3", category="clinical", num_files=1, num_documents=NUM_MIMIC3,
                   text_bytes=NUM_MIMIC3 * 1_900, num_tokens=NUM_MIMIC3 * 1_900 * 10 // 33),
    ExpectedSource(name="mimic4", category="clinical", num_files=2, num_documents=NUM_DISCHARGE + NUM_RADIOLOGY,
                   text_bytes=NUM_DISCHARGE * 10_500 + NUM_RADIOLOGY * 1_200,
                   num_tokens=(NUM_DISCHARGE * 10_500 + NUM_RADIOLOGY * 1_200) * 10 // 33),
    ExpectedSource(name="mimic_cxr", category="clinical", num_files=1, num_documents=NUM_CXR,
                   text_bytes=NUM_CXR * 700, num_tokens=NUM_CXR * 700 * 10 // 33),
    # as much of C4 (364.9M documents, 1,024 files) as fills its part, and a tenth for what the steps drop
    ExpectedSource(name="redpajama", category="general", num_files=166, num_documents=59_200_000,
                   text_bytes=130_700_000_000, num_tokens=28_400_000_000),
)  # fmt: skip


def claims() -> tuple[Claim, ...]:
    """The paper's figures, each beside what follows from its other figures and from what others have published."""
    rows = sum(size for size, *_ in TABLE_2.values())
    notes = NUM_DISCHARGE + NUM_RADIOLOGY + NUM_CXR
    padded = adapter_flops(70e9, NUM_SFT_SAMPLES * CONTEXT_TOKENS)
    on_a100, on_h100 = (utilisation(padded, SFT_GPUS, SFT_HOURS, flops) for flops in (A100_FLOPS, H100_FLOPS))
    pretraining = utilisation(full_flops(70e9, NUM_TOKENS), NUM_GPUS, GPU_HOURS, A100_FLOPS)
    papers, abstracts = PILE_BYTES["pile_papers"] / NUM_PAPERS, PILE_BYTES["pile_abstracts"] / NUM_ABSTRACTS
    parts = PROPORTIONS.items()
    shares = [(name, NUM_TOKENS * part / sum(PROPORTIONS.values())) for name, part in parts]
    return (
        Claim("tokens of all categories", NUM_TOKENS, sum(TOKENS.values())),
        *(Claim(f"{name} tokens at 15:1:4", TOKENS[name], share) for name, share in shares),
        Claim("general tokens, Figure 1 against 15:1:4", 32.24e9, TOKENS["general"], contradicts=True),
        # its counts are those of the Pile's two sets: they were taken whole
        Claim("mean bytes of a paper (Pile, table 1: 30.55 KiB)", 30.55 * 1024, papers, tolerance=0.001),
        Claim("mean bytes of an abstract (Pile, table 1: 1.30 KiB)", 1.30 * 1024, abstracts, tolerance=0.005),
        # but for 20 notes: so the count leaves MIMIC-III out, as the repository's README and Data Availability do
        Claim("notes of MIMIC-IV and MIMIC-CXR", NUM_NOTES, notes, tolerance=1e-5),
        Claim("notes, with the MIMIC-III that Methods name", NUM_NOTES, NUM_MIMIC3 + notes, 1e-5, contradicts=True),
        Claim("samples, the text against the rows of Table 2", NUM_SFT_SAMPLES, rows, contradicts=True),
        # what such machines reach: the samples were padded to the context, the machines those of the paper
        Claim("utilisation of 160 A100 over 700 h", 0.43, pretraining, tolerance=0.01),
        Claim("utilisation of 8 A100 over 70 h of fine-tuning", 0.39, on_a100, tolerance=0.01),
        Claim("the same on the README's 8 H100", 0.39, on_h100, tolerance=0.01, contradicts=True),
    )
