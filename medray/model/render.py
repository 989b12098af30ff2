"""THE chat renderer: the only function that turns messages into token ids, for training, sampling, serving, evaluation.

A conversation is cut at the edges of each assistant answer and the pieces are tokenised apart, because that is what
generation does: the policy continues the ids of its prompt, and no merge crosses from the prompt into the answer.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from medray.core.config import UserError

Messages = Sequence[dict[str, str]]
_ROLES = ("system", "user", "assistant")
_PROBE = ({"role": "system", "content": "Sys."}, {"role": "user", "content": "Ask."})
_PROBE_ANSWER = {"role": "assistant", "content": "Reply."}


@dataclass(frozen=True)
class Rendered:
    """A conversation as ids. loss_mask: 1 on assistant tokens and their stop tokens, else 0.

    ids[:prompt_length] is the prompt of the last answer, exactly `render_prompt` of the messages before it.
    """

    ids: list[int]
    loss_mask: list[int]
    prompt_length: int


def render(tokenizer: Any, messages: Messages) -> Rendered:
    """Ids and loss mask of a conversation that ends with the assistant; the last id is its stop token.

    What a template writes after the last stop token (ChatML: a line feed) is left out. Raises UserError for messages
    or templates that cannot be rendered soundly.
    """
    check_messages(tokenizer, messages)
    if messages[-1]["role"] != "assistant":
        raise UserError(f"messages: the last role is {messages[-1]['role']!r}, expected 'assistant': add the answer")
    pieces, _ = _pieces(tokenizer, messages)
    ids: list[int] = []
    loss_mask: list[int] = []
    prompt_length = 0
    for text, in_loss in pieces:
        piece = _encode(tokenizer, text)
        if in_loss:
            prompt_length = len(ids)
        ids += piece
        loss_mask += [int(in_loss)] * len(piece)
    _check_bos(tokenizer, ids)
    assert loss_mask[-1] == 1 and ids[-1] == stop_ids(tokenizer)[0], "the stop token is not inside the loss"
    assert all(i != tokenizer.pad_token_id for i, m in zip(ids, loss_mask, strict=True) if m), "pad is a label"
    return Rendered(ids, loss_mask, prompt_length)


def render_prompt(tokenizer: Any, messages: Messages) -> list[int]:
    """Ids of a conversation that the assistant is to continue, generation prompt included."""
    check_messages(tokenizer, messages)
    if messages[-1]["role"] == "assistant":
        raise UserError("messages: the last role is 'assistant', expected a question to answer: drop the answer")
    pieces, rest = _pieces(tokenizer, messages)
    ids = [i for text, _ in pieces for i in _encode(tokenizer, text)] + _encode(tokenizer, rest)
    _check_bos(tokenizer, ids)
    return ids


def render_answer(tokenizer: Any, text: str) -> list[int]:
    """Ids of one assistant answer with its stop token: render(prompt + answer) is render_prompt(prompt) + these."""
    check_messages(tokenizer, [{"role": "assistant", "content": text}])
    return _encode(tokenizer, text + _format_of(tokenizer)[1])


def stop_ids(tokenizer: Any) -> list[int]:
    """Ids that end generation: first the one the template puts after an answer, then EOS where it is another."""
    stop = _encode(tokenizer, _format_of(tokenizer)[1])
    assert len(stop) == 1, f"stop text is {len(stop)} tokens"
    return list(dict.fromkeys([stop[0], tokenizer.eos_token_id]))


def check_messages(tokenizer: Any, messages: Messages) -> None:
    """Raises UserError for an unknown role, empty content, or content that spells a special token of the vocabulary.

    Text that spells "<|im_end|>" would end its turn early: an injected turn, or a stop token outside the loss.
    """
    if not messages:
        raise UserError("messages: empty, expected at least one: give the conversation")
    special = _special_pattern(tokenizer.name_or_path, tuple(sorted(_special_texts(tokenizer))))
    for index, message in enumerate(messages):
        role, content = message.get("role"), message.get("content")
        if role not in _ROLES:
            raise UserError(f"messages[{index}].role: got {role!r}, expected one of {', '.join(_ROLES)}: correct it")
        if not isinstance(content, str) or not content.strip():
            raise UserError(f"messages[{index}].content: empty, expected text: drop the message")
        if found := special.search(content):
            raise UserError(f"messages[{index}].content: spells the special token {found[0]!r}: remove it from the text")


def _pieces(tokenizer: Any, messages: Messages) -> tuple[list[tuple[str, bool]], str]:
    """Texts to tokenise apart, with whether they are in the loss, and the text after the last answer."""
    header, stop = _format_of(tokenizer)
    pieces: list[tuple[str, bool]] = []
    done = ""
    for index, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        before = _apply(tokenizer, messages[:index], generate=True) if index else done + header
        after = _apply(tokenizer, messages[: index + 1], generate=False)
        answer_end = after.rfind(stop) + len(stop)
        if not (before.startswith(done) and after.startswith(before) and answer_end > len(before)):
            raise UserError(
                f"chat template: the prompt of messages[{index}] is not a prefix of the conversation: use a template "
                "that writes earlier turns unchanged and ends each answer with a stop token"
            )
        pieces.append((before[len(done) :], False))
        pieces.append((after[len(before) : answer_end], True))
        done = after[:answer_end]
    if messages[-1]["role"] == "assistant":
        return pieces, ""
    whole = _apply(tokenizer, messages, generate=True)
    if not whole.startswith(done):
        raise UserError("chat template: a later turn rewrites an earlier one: use a template that leaves them unchanged")
    return pieces, whole[len(done) :]


def _apply(tokenizer: Any, messages: Messages, *, generate: bool) -> str:
    return tokenizer.apply_chat_template([dict(m) for m in messages], tokenize=False, add_generation_prompt=generate)


def _encode(tokenizer: Any, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False).input_ids if text else []


def _format_of(tokenizer: Any) -> tuple[str, str]:
    if not tokenizer.chat_template:
        raise UserError(f"{tokenizer.name_or_path}: no chat template: add chat_template.jinja to the model directory")
    facts = _probe(tokenizer, tokenizer.chat_template)
    if facts is None:
        raise UserError(f"{tokenizer.name_or_path}: ")
    return facts


class _Probed(dict):
    pass


@lru_cache(maxsize=16)
def _probe(tokenizer: Any, template: str) -> tuple[str, str]:
    """Assistant header and stop text of a template, taken from a probe conversation."""
    name = tokenizer.name_or_path
    without, prompt = (_apply(tokenizer, _PROBE, generate=generate) for generate in (False, True))
    whole = _apply(tokenizer, [*_PROBE, _PROBE_ANSWER], generate=False)
    if without == prompt or not prompt.startswith(without):
        raise UserError(f"{name}: chat template ignores add_generation_prompt: mend chat_template.jinja")
    header = prompt[len(without) :]
    rest = whole.removeprefix(prompt)
    if whole == rest or not rest.startswith(_PROBE_ANSWER["content"]):
        raise UserError(f"{name}: chat template doubles or changes the assistant header {header!r}: mend the template")
    tail = rest.removeprefix(_PROBE_ANSWER["content"])
    if header.strip() and header.strip() in tail:
        raise UserError(f"{name}: chat template adds the assistant header after an answer: mend chat_template.jinja")
    stops = sorted((tail.find(text), text) for text in _special_texts(tokenizer) if text in tail)
    if not stops or stops[0][0] != 0:
        raise UserError(f"{name}: chat template ends an answer with {tail!r}, expected a stop token: mend the template")
    if stops[0][1] == tokenizer.pad_token:
        raise UserError(f"{name}: the stop token {stops[0][1]!r} is also the pad token: set another pad token")
    return header, stops[0][1]
