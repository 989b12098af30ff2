"""Sampling with vLLM: long-lived engine actors, fed shard by shard. The only file that knows vllm.

An engine is a named Ray actor with `vllm.LLM` in its own process. It stays up between the stages and rounds of a run:
a start costs 12 s on CPU, other weights of the same architecture 0.5 s. Every call names the model it wants, so an
engine that was started again after a death can never answer with the weights of an earlier round.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import ray

from medray.core.mirror import here, there
from medray.core.schema import COMPLETION, read_table, write_table
from medray.core.workspace import Workspace
from medray.generate.config import EnginePlacement, Sampling
from medray.generate.fleet import EngineSettings, architecture, call, ensure_engines, shutdown_engines
from medray.generate.isolate import FAILED, generated
from medray.generate.sampling import check_lengths, check_unique, completion_seeds, plan_shards
from medray.tables import shards as tables

__all__ = ["open_engines", "sample", "shutdown_engines"]

_DTYPES = {"bf16": "bfloat16", "fp32": "float32"}
_BATCHED_TOKENS = 8192
_RENDER_BATCH = 4096


class _Generated(NamedTuple):
    token_ids: list[int]
    text: str
    finish_reason: str


class _Engine:
    """One vLLM engine. Weights are loaded by the first call, and reloaded when a call names another model."""

    def __init__(self, settings: EngineSettings):
        from vllm import LLM  # noqa: F401  10 s, while the driver starts what else it needs

        self._settings = settings
        self._llm: Any = None
        self._tokenizer: Any = None
        self._loaded = {"render": "", "generate": ""}
        self._failure = ""
        self.num_reloads = 0

    def facts(self) -> dict[str, Any]:
        """Process id, the id of the model in memory and the number of reloads so far."""
        return {"pid": os.getpid(), "model_id": self._loaded["generate"], "num_reloads": self.num_reloads}

    def nothing(self, model: str, model_id: str) -> _Generated:
        """What stands for the completion of a prompt that no engine survives: a stop token and no text."""
        from medray.model.render import stop_ids

        self._load_tokenizer(model, model_id)
        return _Generated(stop_ids(self._tokenizer)[:1], "", FAILED)

    def render(self, model: str, model_id: str, conversations: Sequence[Sequence[dict[str, str]]]) -> list[list[int]]:
        """Prompt ids of conversations. Here, because this process has paid for transformers already."""
        from medray.model.render import render_prompt

        self._load_tokenizer(model, model_id)
        return [render_prompt(self._tokenizer, messages) for messages in conversations]

    def generate(
        self, model: str, model_id: str, prompts: Sequence[Sequence[int]], seeds: Sequence[Sequence[int]],
        sampling: Sampling,
    ) -> list[list[_Generated]]:  # fmt: skip
        """Completions of each prompt, one per seed, in order.

        A function of the model and the arguments alone: the prefix cache is emptied first (what lies in it changes
        the shapes of the prefill, hence float order), and each completion is a request with its own seed.
        """
        from vllm import SamplingParams
        from vllm.inputs import TokensPrompt
        from vllm.sampling_params import RequestOutputKind

        from medray.model.render import stop_ids

        if self._failure:  # requests of the failed call still lie in the engine
            raise RuntimeError(self._failure)
        self._load_tokenizer(model, model_id)
        self._load_weights(model, model_id)
        assert self._llm.reset_prefix_cache(), "prefix cache is in use"
        stops = stop_ids(self._tokenizer)
        requests = [(ids, seed) for ids, prompt_seeds in zip(prompts, seeds, strict=True) for seed in prompt_seeds]
        parameters = [
            SamplingParams(
                n=1, temperature=sampling.temperature, top_p=sampling.top_p, max_tokens=sampling.max_tokens,
                seed=seed, stop_token_ids=stops, detokenize=False, output_kind=RequestOutputKind.FINAL_ONLY,
            )
            for _, seed in requests
        ]  # fmt: skip
        tokens = [TokensPrompt(prompt_token_ids=list(ids)) for ids, _ in requests]
        try:
            outputs = self._llm.generate(tokens, parameters, use_tqdm=False)
        except Exception as error:
            self._failure = f"vLLM failed: {type(error).__name__}: {error}"
            raise
        assert len(outputs) == len(requests), f"sent {len(requests)} requests, got {len(outputs)} outputs"
        made = iter([self._read(output.outputs[0]) for output in outputs])
        return [[next(made) for _ in prompt_seeds] for prompt_seeds in seeds]

    def _read(self, output: Any) -> _Generated:
        token_ids = [int(token) for token in output.token_ids]
        text = self._tokenizer.decode(token_ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        for special in self._tokenizer.get_added_vocab():  # spelled out in plain tokens it would end its turn early
            text = text.replace(special, "")
        return _Generated(token_ids, text, str(output.finish_reason))

    def _load_tokenizer(self, model: str, model_id: str) -> None:
        if self._loaded["render"] != model_id:
            from medray.model.load import load_tokenizer

            self._tokenizer = load_tokenizer(here(model))
            self._loaded["render"] = model_id

    def _load_weights(self, model: str, model_id: str) -> None:
        if self._loaded["generate"] == model_id:
            return
        if self._llm is not None:
            self._loaded["generate"] = ""
            self.num_reloads += 1
        if self._llm is None or not self._settings.placement.use_gpu:
            self._renew(model)
        else:
            try:
                self._llm.collective_rpc("reload_weights", kwargs={"weights_path": str(here(model))})
            except Exception as error:  # half of the weights may be new
                _die(f"reload of {model} failed: {error!r}")
                raise
        self._loaded["generate"] = model_id

    def _renew(self, model: str) -> None:
        """A new engine in this process: about 3 s once the imports are paid.

        Trap: on a CPU vLLM packs the weights of linear layers when it loads them, and its reload_weights then leaves
        the packed ones as they were, without a word: embeddings and norms are new, everything else is old.
        """
        if self._llm is not None:
            import gc

            from vllm.distributed import cleanup_dist_env_and_memory

            self._llm.llm_engine.engine_core.shutdown()
            self._llm = None
            gc.collect()
            cleanup_dist_env_and_memory()
        self._llm = _new_llm(str(here(model)), self._settings)


def _die(reason: str) -> None:
    """End this process: Ray starts a fresh engine, and the caller asks again."""
    print(f"medray engine: {reason}: starting a fresh one", file=sys.stderr, flush=True)
    os._exit(1)


def _new_llm(model: str, settings: EngineSettings) -> Any:
    from vllm import LLM

    placement = settings.placement
    on_cpu = {} if placement.use_gpu else {"kv_cache_memory_bytes": int(placement.kv_cache_gib * 2**30)}
    # left to itself vLLM would look for its processes in Ray's placement group, where a stage has one
    divided = {"tensor_parallel_size": placement.tensor_parallel, "distributed_executor_backend": "mp"}
    return LLM(
        model=model,
        dtype=_DTYPES[settings.dtype],
        max_model_len=settings.max_model_len,
        max_num_seqs=placement.max_num_seqs,
        max_num_batched_tokens=max(_BATCHED_TOKENS, settings.max_model_len, placement.max_num_seqs),
        enforce_eager=not placement.use_gpu,  # compiling gains nothing on CPU and costs 20 to 50 s
        # CPU: a seeded request whose prompt is prefilled in chunks crashes ("CPU Generator does not use offset")
        enable_chunked_prefill=placement.use_gpu,
        enable_prefix_caching=True,
        skip_tokenizer_init=True,  # ids go in and come out: medray.model renders and decodes
        generation_config="vllm",  # the model's own defaults must not change what the config says
        disable_log_stats=True,
        **on_cpu,
        **(divided if placement.tensor_parallel > 1 else {}),
    )


def open_engines(model: Path, sampling: Sampling, placement: EnginePlacement) -> list[str]:
    """Names of the engines that answer for a model; they stay up. Raises UserError for one that none can hold."""
    assert ray.is_initialized(), "engines need Ray: start or join it first"
    settings = EngineSettings(architecture(model, placement), sampling.dtype, sampling.max_model_len, placement)
    return ensure_engines(_Engine, settings)


def sample(
    *, model: Path, model_id: str, prompts: pa.Table, sampling: Sampling, placement: EnginePlacement,
    workspace: Workspace, salt: str, into: str = "completions", then: Callable[[], tables.Step] | None = None,
) -> dict[str, int]:  # fmt: skip
    """Writes K completions of every prompt (PROMPT rows, in order) to the folder `into` of the data; returns counters.

    Shards of `prompts_per_shard` prompts are sampled and marked one by one, so a killed stage goes on where it was;
    the first attempt's shard size stays in force. An engine that dies costs its shard another try, never the job; a
    prompt that ends every engine gets K blank completions of finish_reason FAILED, and stands in the quarantine.
    then() is called once the engines are starting; its step is done with each shard (payload "shard": a
    sampling.Shard) as soon as its completions are written, while others are sampled.
    Raises UserError for an over-long prompt (before anything is sampled) and when engines keep dying.
    """
    assert ray.is_initialized(), "sample() needs Ray: start or join it first"
    rows = prompts.select(["id", "messages"]).to_pylist()
    check_unique([row["id"] for row in rows])
    if not workspace.is_done(plan_mark := f"{into}-plan"):
        workspace.mark_done(plan_mark, prompts_per_shard=placement.prompts_per_shard)
    plan = plan_shards(len(rows), workspace.marks()[plan_mark]["prompts_per_shard"], into)
    open_ = [row for shard in plan if not workspace.is_done(shard.mark) for row in rows[shard.start : shard.stop]]
    engines = open_engines(model, sampling, placement) if open_ else []
    following = [then()] if then else []
    ids = _rendered(engines, open_, there(model), model_id, sampling, placement)

    def sample_shard(work: tables.Shard) -> dict[str, Any]:
        shard, names, ids = work.payload["shard"], work.payload["names"], work.payload["ids"]
        seeds = [completion_seeds(sampling.rng_seed, salt, name, sampling.num_completions) for name in names]
        engine = engines[shard.index % len(engines)]
        made = generated(engine, placement, there(model), model_id, ids, seeds, sampling)
        table = _completion_rows(names, ids, seeds, made)
        assert len(table) == len(names) * sampling.num_completions, f"shard {shard.index}: {len(table)} rows"
        write_table(workspace.data / into / shard.file_name, table, COMPLETION)
        failed = sorted({row["prompt_id"] for row in table if row["finish_reason"] == FAILED})
        reason = "the engine died or failed at each try, also when asked this prompt alone"
        workspace.quarantine(shard.mark, [{"where": name, "reason": reason, "row": name} for name in failed])
        return _shard_facts(table, len(names))

    names = [row["id"] for row in rows]
    work = []
    for shard in plan:
        asked = [name for name in names[shard.start : shard.stop] if name in ids]
        payload = {"shard": shard, "file_name": shard.file_name, "names": asked, "ids": [ids[name] for name in asked]}
        work.append(tables.Shard(shard.mark, payload))
    # two shards in flight per engine: the next is there when one is done
    step = tables.Step(sample_shard, num_cpus=0.1, concurrency=max(1, 2 * len(engines)))
    unit = f"shards of {plan[0].stop if plan else 0} prompts"
    facts = tables.run_steps(workspace, work, [step, *following], unit)[0].values()
    workspace.fetch(f"data/{into}/*")
    _check_completions(workspace.data / into, names, sampling.num_completions)
    return {name: sum(fact[name] for fact in facts) for name in _shard_facts([], 0)}


def _rendered(
    engines: Sequence[str], rows: Sequence[dict[str, Any]], model: str, model_id: str, sampling: Sampling,
    placement: EnginePlacement,
) -> dict[str, list[int]]:  # fmt: skip
    """Prompt ids by prompt, none of them too long."""
    ids: list[list[int]] = []
    for start in range(0, len(rows), _RENDER_BATCH):
        conversations = [row["messages"] for row in rows[start : start + _RENDER_BATCH]]
        ids += call(engines[0], "render", placement, model, model_id, conversations)
    names, lengths = [row["id"] for row in rows], [len(prompt_ids) for prompt_ids in ids]
    check_lengths(names, lengths, max_tokens=sampling.max_tokens, max_model_len=sampling.max_model_len)
    return dict(zip(names, ids, strict=True))


def _completion_rows(
    prompt_ids: Sequence[str], ids: Sequence[list[int]], seeds: Sequence[Sequence[int]],
    made: Sequence[Sequence[_Generated]],
) -> list[dict[str, Any]]:  # fmt: skip
    return [
        {
            "id": f"{prompt_id}/{index}",
            "prompt_id": prompt_id,
            "index": index,
            "text": completion.text,
            "token_ids": completion.token_ids,
            "prompt_token_ids": tokens,
            "finish_reason": completion.finish_reason,
            "seed": seed,
        }
        for prompt_id, tokens, prompt_seeds, completions in zip(prompt_ids, ids, seeds, made, strict=True)
        for index, (seed, completion) in enumerate(zip(prompt_seeds, completions, strict=True))
    ]


def _shard_facts(rows: Sequence[dict[str, Any]], num_prompts: int) -> dict[str, int]:
    return {
        "num_prompts": num_prompts,
        "num_completions": len(rows),
        "num_tokens": sum(len(row["token_ids"]) for row in rows),
        "num_cut": sum(row["finish_reason"] == "length" for row in rows),
        "num_failed": sum(row["finish_reason"] == FAILED for row in rows),
    }


def _check_completions(directory: Path, prompt_ids: Sequence[str], num_completions: int) -> None:
    """What is on disk is exactly K completions of every prompt: the reading end of the K check."""
    table = read_table(directory, COMPLETION) if prompt_ids else COMPLETION.empty_table()
    found = sorted(table.column("id").to_pylist())
    expected = sorted(f"{prompt_id}/{index}" for prompt_id in prompt_ids for index in range(num_completions))
    assert found == expected, f"{directory}: {len(found)} completions, expected {len(expected)}; or ids differ"
