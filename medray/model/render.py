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

from jinja2 import TemplateError

from medray.core.config import UserError

Messages = Sequence[dict[str, str]]
_ROLES = ("system", "user", "assistant")
_PROBE = ({"role": "user", "content": "Ask."},)
_PROBE_ANSWER = {"role": "assistant", "content": "Reply."}


@dataclass(frozen=True)
class Rendered:
    """A conversation as ids. loss_mask: 1 on assistant tokens and their stop tokens, else 0.

    ids[:prompt_length] is the prompt of the last answer, exactly `render_prompt` of the messages before it.
    """

    ids: list[int]
    loss_mask: list[int]
    prompt_length: int

    @property
    def prompt(self) -> list[int]:
        """Ids up to and including the generation prompt of the last answer."""
        return self.ids[: self.prompt_length]

    @property
    def completion(self) -> list[int]:
        """Ids of the last answer with its stop token."""
        return self.ids[self.prompt_length :]


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
    prompt_length, before = 0, ""
    for text, in_loss in pieces:
        piece = _encode(tokenizer, text, before)
        before = text or before
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
    texts = [*(text for text, _ in pieces), rest]
    ids = [i for before, text in zip(["", *texts], texts, strict=False) for i in _encode(tokenizer, text, before)]
    _check_bos(tokenizer, ids)
    return ids


def render_completion(tokenizer: Any, messages: Messages, text: str) -> Rendered:
    """A prompt and one completion of it, with only the completion and its stop token in the loss."""
    whole = render(tokenizer, [*messages, {"role": "assistant", "content": text}])
    num_completion = len(whole.ids) - whole.prompt_length
    return Rendered(whole.ids, [0] * whole.prompt_length + [1] * num_completion, whole.prompt_length)


def render_pair(tokenizer: Any, pair: dict[str, Any]) -> list[Rendered]:
    """The chosen and the rejected completion of a row of PAIR."""
    return [render_completion(tokenizer, pair["messages"], pair[side]) for side in ("chosen", "rejected")]


def stop_ids(tokenizer: Any) -> list[int]:
    """Ids that end generation: first the one the template puts after an answer, then EOS where it is another."""
    stop = _encode(tokenizer, _stop_text(tokenizer))
    assert len(stop) == 1, f"stop text is {len(stop)} tokens"
    return list(dict.fromkeys([stop[0], tokenizer.eos_token_id]))


def check_messages(tokenizer: Any, messages: Messages) -> None:
    """Raises UserError for an unknown role, empty content, or content that spells a special token of the vocabulary.

    Text that spells "<|im_end|>" would end its turn early: an injected turn, or a stop token outside the loss.
    """
    if not messages or messages[0].get("role") == "assistant":
        raise UserError("messages: no question, expected system or user first: give the conversation")
    special = _special_pattern(tokenizer)
    for index, message in enumerate(messages):
        role, content = message.get("role"), message.get("content")
        if role not in _ROLES:
            raise UserError(f"messages[{index}].role: got {role!r}, expected one of {', '.join(_ROLES)}: correct it")
        if not isinstance(content, str) or not content.strip():
            raise UserError(f"messages[{index}].content: empty, expected text: drop the message")
        if found := special.search(content):
            raise UserError(f"messages[{index}].content: spells the special token {found[0]!r}: remove it")


def _pieces(tokenizer: Any, messages: Messages) -> tuple[list[tuple[str, bool]], str]:
    """Texts to tokenise apart, with whether they are in the loss, and the text after the last answer."""
    stop = _stop_text(tokenizer)
    pieces: list[tuple[str, bool]] = []
    done = ""
    for index, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        before = _apply(tokenizer, messages[:index], generate=True)
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
        raise UserError("chat template: a later turn rewrites an earlier one: use one that leaves them unchanged")
    return pieces, whole[len(done) :]


def _apply(tokenizer: Any, messages: Messages, *, generate: bool) -> str:
    plain = [dict(message) for message in messages]
    try:
        return tokenizer.apply_chat_template(plain, tokenize=False, add_generation_prompt=generate)
    except TemplateError as error:
        reason = " ".join(str(error).split())
        raise UserError(f"chat template: cannot write {[m['role'] for m in plain]} ({reason}): mend either") from error


def _encode(tokenizer: Any, text: str, before: str = "") -> list[int]:
    """Ids of a text that follows another one.

    Trap: SentencePiece tokenizers (Llama 2, Mistral) begin any text with a space. So it is tokenised behind what it
    follows: the special token that ends it, else a line feed, with which nothing merges.
    """
    if not text:
        return []
    special, anchor = _special_texts(tokenizer), ""
    if before.endswith(special):
        anchor = next(token for token in special if before.endswith(token))
    elif before and _begins_with_space(tokenizer):
        anchor = "\n"
    skipped = tokenizer(anchor, add_special_tokens=False).input_ids if anchor else []
    ids = tokenizer(anchor + text, add_special_tokens=False).input_ids
    assert ids[: len(skipped)] == skipped, f"{text[:20]!r} merges with {anchor!r} before it"
    return ids[len(skipped) :]


@lru_cache(maxsize=16)
def _begins_with_space(tokenizer: Any) -> bool:
    first, alone, both = (tokenizer(text, add_special_tokens=False).input_ids for text in ("\n", "a", "\na"))
    return both != first + alone


def _stop_text(tokenizer: Any) -> str:
    if not tokenizer.chat_template:
        raise UserError(
            f"{tokenizer.name_or_path}: no chat template: add chat_template.jinja to the model directory, or name one "
            "in base.chat_template"
        )
    return _probe(tokenizer, tokenizer.chat_template)


@lru_cache(maxsize=16)
def _probe(tokenizer: Any, template: str) -> str:
    """Stop text of a template, taken from a probe conversation; refuses templates that train or sample wrongly."""
    name = tokenizer.name_or_path
    without, prompt = (_apply(tokenizer, _PROBE, generate=generate) for generate in (False, True))
    whole = _apply(tokenizer, [*_PROBE, _PROBE_ANSWER], generate=False)
    # [/INST] at a question's end is Llama 2's and Mistral's generation prompt: there the flag changes nothing
    ignored = f"{name}: chat template ignores add_generation_prompt: mend chat_template.jinja"
    rest = whole.removeprefix(prompt).lstrip(" ")
    if whole == rest or not rest.startswith(_PROBE_ANSWER["content"]):
        header = prompt.removeprefix(without)
        doubled = f"{name}: chat template doubles or changes the assistant header {header!r}: mend the template"
        raise UserError(ignored if without == prompt else doubled)
    tail = rest.removeprefix(_PROBE_ANSWER["content"])
    stop = next((text for text in _special_texts(tokenizer) if tail.lstrip().startswith(text)), None)
    if stop is None:
        raise UserError(f"{name}: chat template ends an answer with {tail!r}, expected a stop token: mend the template")
    if after := tail.lstrip().removeprefix(stop).strip():
        added = f"{name}: chat template adds {after!r} after an answer: mend chat_template.jinja"
        raise UserError(ignored if without == prompt else added)
    if stop == tokenizer.pad_token:
        raise UserError(f"{name}: the stop token {stop!r} is also the pad token: set another pad token")
    return stop


@lru_cache(maxsize=16)
def _special_texts(tokenizer: Any) -> tuple[str, ...]:
    """Special tokens of the vocabulary, longest first."""
    added = [str(token.content) for token in tokenizer.added_tokens_decoder.values() if token.special]
    return tuple(sorted({*tokenizer.all_special_tokens, *added}, key=lambda text: (-len(text), text)))


@lru_cache(maxsize=16)
def _special_pattern(tokenizer: Any) -> re.Pattern[str]:
    return re.compile("|".join(map(re.escape, _special_texts(tokenizer))))


@lru_cache(maxsize=16)
def _adds_bos(tokenizer: Any) -> bool:
    return tokenizer.bos_token_id is not None and tokenizer("a").input_ids[0] == tokenizer.bos_token_id


def _check_bos(tokenizer: Any, ids: list[int]) -> None:
    """One at the start, and no other but right behind a stop token, where Llama 2 begins each exchange with one."""
    if not _adds_bos(tokenizer):
        return
    bos, stop = tokenizer.bos_token_id, stop_ids(tokenizer)[0]
    found = [at for at, token in enumerate(ids) if token == bos and (at == 0 or ids[at - 1] != stop)]
    if found != [0]:
        raise UserError(
            f"{tokenizer.name_or_path}: chat template writes {len(found)} BOS tokens, expected one "
            f"{tokenizer.bos_token!r} at the start: mend chat_template.jinja"
        )


def tokens_page(tokenizer: Any, examples: Iterable[Rendered], title: str = "Tokens") -> str:
    """A self-contained HTML page of rendered conversations, one box a token; tokens in the loss are green."""
    body = []
    for number, example in enumerate(examples):
        boxes = []
        for position, (token, in_loss) in enumerate(zip(example.ids, example.loss_mask, strict=True)):
            text = html.escape(tokenizer.decode([token])).replace("\n", "\u21b5<br>").replace(" ", "\u00b7")
            boxes.append(f'<span class="{"loss" if in_loss else "plain"}" title="{position}: {token}">{text}</span>')
        facts = f"{len(example.ids)} tokens, {sum(example.loss_mask)} in the loss, prompt {example.prompt_length}"
        body.append(f"<h2>{number}: {facts}</h2><p>{''.join(boxes)}</p>")
    return (
        f'<!doctype html><meta charset="utf-8"><title>{html.escape(title)}</title><style>'
        "body{font:14px/1.7 monospace;max-width:100ch;margin:2em auto}h2{font-size:1em}"
        "span{border-radius:3px;margin-right:1px}.loss{background:#bfe8c4}.plain{background:#eee}</style>"
        f"<h1>{html.escape(title)}</h1><p>Green tokens are in the loss.</p>{''.join(body)}"
    )
