"""Door for a standing reward service: Ray Serve calls `app(args)` (see cluster/rayservice.yaml, or `serve run`).

    args: model (directory that every replica reaches), model_id, dtype, max_tokens, placement (optional)

MEDRAY_REWARD_TOKEN holds the bearer token that clients must send; replicas keep only its digest.
"""

from __future__ import annotations

import hashlib
import os
from typing import Any

from medray.core.config import UserError
from medray.serve.config import RewardServing
from medray.serve.reward_app import RewardApp


def app(args: dict[str, Any]) -> Any:
    """The reward model's Serve application. Raises UserError without a token."""
    token = os.environ.get("MEDRAY_REWARD_TOKEN")
    if not token:
        raise UserError("MEDRAY_REWARD_TOKEN: not set, expected the token that clients send: set it")
    serving = RewardServing.model_validate({name: args[name] for name in args.keys() - {"model", "model_id"}})
    digest = hashlib.sha256(token.encode()).hexdigest()
    return RewardApp.bind(args["model"], args["model_id"], serving.model_dump(), digest)
