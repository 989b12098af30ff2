"""What is sampled or asked (identity), and on which engines or endpoint (placement)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from medray.core.access import Access
from medray.core.artifact import Equality
from medray.core.config import Config, Placement


class Sampling(Config):
    """How completions are drawn. Every field changes the tokens."""

    num_completions: int = Field(ge=1, le=64)
    """K, completions per prompt."""
    temperature: float = Field(ge=0)
    """0 is greedy: all K completions of a prompt are then equal."""
    top_p: float = Field(gt=0, le=1)
    max_tokens: int = Field(ge=1)
    """Longest completion in tokens, the stop token included."""
    rng_seed: int = Field(ge=0)
    dtype: Literal["bf16", "fp32"]
    """fp32: on a CPU a shard comes out bitwise equal however often it is sampled; bf16 is about twice as fast."""
    max_model_len: int = Field(ge=2)
    """Room for prompt and completion in tokens; a prompt that does not fit is the user's error."""


class EnginePlacement(Placement):
    """Where the engines run. A change may flip single tokens (floating-point order), never the distribution."""

    replicas: int = Field(default=1, ge=1)
    """Engines, each with the whole model: prompts are divided among them."""
    tensor_parallel: int = Field(default=1, ge=1)
    """GPUs of one node (CPU: processes) that hold one engine's model together: for models larger than a GPU."""
    threads: int = Field(default=2, ge=1)
    """CPU threads of one engine's process; ignored on a GPU."""
    kv_cache_gib: float = Field(default=1.0, gt=0)
    """CPU: size of the KV cache of one engine's process. On a GPU vLLM takes its default share of the memory."""
    max_num_seqs: int = Field(default=128, ge=1)
    """Completions decoded together."""
    use_gpu: bool = False
    batch_invariant: bool = False
    """GPU: vLLM's slower kernels whose results do not depend on what is computed together. Without them two runs draw
    different completions, and the manifest says so."""
    prompts_per_shard: int = Field(default=32, ge=1)
    """Prompts between two completion marks: what a kill can cost."""
    max_restarts: int = Field(default=3, ge=0)
    """Times an engine that died is started again, and a shard tried again, before one of its prompts is taken to be the
    cause and looked for; where it is none of them, the stage fails."""
    call_timeout_s: float = Field(default=1800.0, gt=0)
    """An engine that has not answered for a shard by then is taken for hung and started again."""


def equality(sampling: Sampling, placement: EnginePlacement) -> Equality:
    """Whether two runs draw the same completions: shown in fp32 on a CPU (tests/e2e/test_sampling.py)."""
    is_exact = placement.batch_invariant if placement.use_gpu else sampling.dtype == "fp32"
    return "exact" if is_exact else "sampled"


class LocalTeacher(Config):
    """A model of one's own as a teacher or judge; which one is an input of the stage that asks it."""

    sampling: Sampling
    placement: EnginePlacement = EnginePlacement()

    @model_validator(mode="after")
    def _says_one_thing(self) -> LocalTeacher:
        if self.sampling.num_completions != 1:
            raise ValueError(f"num_completions {self.sampling.num_completions}: a question has one reply: set it to 1")
        return self


class EndpointPlacement(Placement):
    """Where the endpoint is and how hard it may be driven: none of it changes what is asked."""

    base_url: str = Field(pattern=r"^https?://")
    """Up to and with /v1; https unless it is on this machine."""
    key_variable: str = ""
    """Environment variable that holds the key; "": none is sent. The key itself is never written down."""
    concurrency: int = Field(default=8, ge=1)
    requests_per_minute: float = Field(default=600.0, gt=0)
    timeout_s: float = Field(default=120.0, gt=0)
    max_attempts: int = Field(default=6, ge=1)
    """Of one request; waits between them double from a second, or are what the endpoint asks for."""


class Budget(Config):
    """What may be spent, over all attempts of the stage; the run stops before a request that could exceed it."""

    max_tokens: int = Field(ge=1)
    max_cost: float = Field(ge=0)
    """In the currency of the prices."""
    price_per_million_in: float = Field(ge=0)
    price_per_million_out: float = Field(ge=0)

    def cost(self, tokens_in: int, tokens_out: int) -> float:
        """Of so many tokens, in the currency of the prices."""
        return (tokens_in * self.price_per_million_in + tokens_out * self.price_per_million_out) / 1e6


class Endpoint(Config):
    """A model that others serve."""

    model: str = Field(min_length=1)
    access: Access
    """The strictest class of rows that it may receive: a hospital's own may see credentialed ones, others never."""
    temperature: float = Field(ge=0)
    top_p: float = Field(gt=0, le=1)
    max_tokens: int = Field(ge=1)
    rng_seed: int | None
    """Sent along; None where the endpoint takes none."""
    budget: Budget
    placement: EndpointPlacement
