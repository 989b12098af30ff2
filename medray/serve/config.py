"""How a reward model is served: what changes the rewards (identity) and what must not (placement)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from medray.core.config import Config, Placement


class ServingPlacement(Placement):
    """Where the replicas run and how the service is reached."""

    replicas: int = Field(default=1, ge=1)
    """At least."""
    max_replicas: int | None = Field(default=None, ge=1)
    """At most, started and stopped by the calls that run or wait; None: as many as `replicas`."""
    calls_per_replica: float = Field(default=4.0, gt=0)
    """Running or waiting: with more, another replica is started. A call is 32 rows unless the client says otherwise."""
    threads: int = Field(default=1, ge=1)
    use_gpu: bool = False
    tokens_per_forward: int = Field(default=4096, ge=1)
    """Padded tokens of one forward pass: bounds the memory of a request."""
    host: str = "127.0.0.1"
    """Loopback unless workers on other nodes must reach the service (then 0.0.0.0); the token guards either."""
    port: int = Field(default=8123, ge=1, le=65535)
    """First port tried; a free one is taken when it is in use."""
    start_timeout_s: float = Field(default=300.0, gt=0)
    request_timeout_s: float = Field(default=120.0, gt=0)

    @model_validator(mode="after")
    def _replicas_in_order(self) -> ServingPlacement:
        if self.max_replicas is not None and self.max_replicas < self.replicas:
            raise ValueError(
                f"max_replicas: {self.max_replicas}, expected at least replicas, {self.replicas}: raise it"
            )
        return self


class RewardServing(Config):
    """A served reward model."""

    dtype: Literal["bf16", "fp32"]
    """fp32 rewards are equal for any batch to 1e-4; bf16 moves them by 0.1 (measured), so parity is tested in fp32."""
    max_tokens: int = Field(ge=16)
    """Longest prompt + completion in tokens; longer prompts lose their end, completions never do."""
    merge_rows: int = Field(default=0, ge=0)
    """Rows of waiting calls, at most, that are computed together: for a service that is asked for a row at a time. 0:
    each call by itself, so that its rewards depend on nothing else, as the equal digests of rounds need it."""
    placement: ServingPlacement = ServingPlacement()
