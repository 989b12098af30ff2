"""The templates against the formats as published: written by hand, and by the families' own code where it is here."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from medray.core.config import UserError
from medray.model.render import render, render_prompt, stop_ids
from medray.model.template import TEMPLATES, chat_template
from tests.golden.tokenizers import CONVERSATIONS, messages_of, tokenizer_of

# Meta: llama/generation.py of facebookresearch/llama (B_INST, B_SYS, one BOS and EOS an exchange); the model cards of
# Llama 3 and Gemma; OpenAI's ChatML note; Qwen 2.5's tokenizer_config.json; Mistral's cookbook "Tokenization", V3;
# PROMPT_DICT in train.py of tatsu-lab/stanford_alpaca.
PUBLISHED = {
    "llama2": (
        "<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nWhich organ makes bile? [/INST] The liver. </s>"
        "<s>[INST] And insulin? [/INST] The pancreas: 5 µg </s>"
    ),
    "llama3": (
        "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nWhich organ makes bile?<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\nThe liver.<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nAnd insulin?<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\nThe pancreas: 5 µg<|eot_id|>"
    ),
    "chatml": (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nWhich organ makes bile?<|im_end|>\n"
        "<|im_start|>assistant\nThe liver.<|im_end|>\n<|im_start|>user\nAnd insulin?<|im_end|>\n"
        "<|im_start|>assistant\nThe pancreas: 5 µg\n<|im_end|>"
    ),
    "mistral": (
        "<s>[INST] Be brief.\n\nWhich organ makes bile?[/INST] The liver.</s>"
        "[INST] And insulin?[/INST] The pancreas: 5 µg\n</s>"
    ),
    "gemma": (
        "<bos><start_of_turn>user\nBe brief.\n\nWhich organ makes bile?<end_of_turn>\n"
        "<start_of_turn>model\nThe liver.<end_of_turn>\n<start_of_turn>user\nAnd insulin?<end_of_turn>\n"
        "<start_of_turn>model\nThe pancreas: 5 µg<end_of_turn>"
    ),
    "alpaca": (
        "<s>Be brief.\n\n### Instruction:\nWhich organ makes bile?\n\n### Response:The liver.</s>"
        "\n\n### Instruction:\nAnd insulin?\n\n### Response:The pancreas: 5 µg\n</s>"
    ),
}
PUBLISHED["qwen"] = PUBLISHED["chatml"]
IN_LOSS = {
    "llama2": "The liver. </s>The pancreas: 5 µg </s>",
    "mistral": "The liver.</s>The pancreas: 5 µg\n</s>",
    "llama3": "The liver.<|eot_id|>The pancreas: 5 µg<|eot_id|>",
    "gemma": "The liver.<end_of_turn>The pancreas: 5 µg<end_of_turn>",
    "chatml": "The liver.<|im_end|>The pancreas: 5 µg\n<|im_end|>",
    "qwen": "The liver.<|im_end|>The pancreas: 5 µg\n<|im_end|>",
    "alpaca": "The liver.</s>The pancreas: 5 µg\n</s>",
}


def text_of(tokenizer: Any, ids: list[int]) -> str:
    """SentencePiece writes its dummy space behind a special token; the formats do not."""
    text = tokenizer.decode(ids)
    return text.replace("<s> [INST]", "<s>[INST]").replace("[INST]  ", "[INST] ") if "INST" in text else text


@pytest.fixture(scope="module", params=TEMPLATES)
def named(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Any]:
    return request.param, tokenizer_of(request.param, tmp_path_factory.mktemp("tokenizer"))


def test_a_conversation_reads_as_published_with_its_answers_in_the_loss(named: tuple[str, Any]) -> None:
    name, tokenizer = named
    rendered = render(tokenizer, messages_of("two questions"))
    pieces = [tokenizer.decode([i]) for i, flag in zip(rendered.ids, rendered.loss_mask, strict=True) if flag]
    taught = [i for i, flag in zip(rendered.ids, rendered.loss_mask, strict=True) if flag]
    assert text_of(tokenizer, rendered.ids) == PUBLISHED[name]
    assert tokenizer.decode(taught).replace("</s> ", "</s>") == IN_LOSS[name], pieces
    assert rendered.ids[-1] == stop_ids(tokenizer)[0]
    assert rendered.prompt == render_prompt(tokenizer, messages_of("two questions")[:-1])


def test_pieces_are_the_ids_of_the_whole_text(named: tuple[str, Any]) -> None:
    """What the tokenizer makes of a whole conversation, so what inference servers send, is what is trained on."""
    name, tokenizer = named
    for conversation in CONVERSATIONS:
        messages = messages_of(conversation)
        whole = tokenizer.apply_chat_template(messages, tokenize=False)
        ids = tokenizer(whole, add_special_tokens=False).input_ids
        rendered = render(tokenizer, messages).ids
        assert ids[: len(rendered)] == rendered
        prompt = tokenizer.apply_chat_template(messages[:-1], tokenize=False, add_generation_prompt=True)
        assert tokenizer(prompt, add_special_tokens=False).input_ids == render_prompt(tokenizer, messages[:-1])


@pytest.mark.parametrize(("name", "own"), [("llama3", "llama3"), ("gemma", "gemma3"), ("qwen", "qwen2_5")])
def test_templates_write_what_the_families_own_do(name: str, own: str, tmp_path: Path) -> None:
    """TRL carries copies of the families' templates."""
    tokenizer = tokenizer_of(name, tmp_path)
    directory = Path(importlib.util.find_spec("trl").submodule_search_locations[0]) / "chat_templates"
    published = (directory / f"{own}.jinja").read_text()
    for conversation in CONVERSATIONS:
        for last, generate in ((None, False), (-1, True)):
            messages = messages_of(conversation)[:last]
            ours, theirs = (
                tokenizer.apply_chat_template(
                    messages, chat_template=template, tokenize=False, add_generation_prompt=generate
                )
                for template in (None, published)
            )
            assert ours == theirs


@pytest.mark.parametrize("conversation", ["one question", "an input"])
@pytest.mark.parametrize(("name", "version"), [("llama2", "v1"), ("mistral", "v3")])
def test_sentencepiece_ids_are_those_of_mistral_common(
    name: str, version: str, conversation: str, tmp_path: Path
) -> None:
    """mistral_common is the reference: v3 for our template, v1 for Llama 2's, all but its space before </s>."""
    from mistral_common.protocol.instruct.messages import AssistantMessage, UserMessage
    from mistral_common.protocol.instruct.request import ChatCompletionRequest
    from mistral_common.tokens.tokenizers.mistral import MistralTokenizer

    tokenizer = tokenizer_of(name, tmp_path)
    reference = MistralTokenizer.v1() if version == "v1" else MistralTokenizer.v3()
    question, answer = (message["content"] for message in messages_of(conversation))
    asked = [UserMessage(content=question)]
    prompt = reference.encode_chat_completion(ChatCompletionRequest(messages=asked)).tokens
    assert render_prompt(tokenizer, messages_of(conversation)[:-1]) == prompt
    request = ChatCompletionRequest(messages=[*asked, AssistantMessage(content=answer), *asked])
    whole = reference.encode_chat_completion(request).tokens
    completion = render(tokenizer, messages_of(conversation)).completion
    if name == "llama2":
        assert tokenizer.convert_ids_to_tokens(completion[-2:]) == ["▁", "</s>"]
        completion = [*completion[:-2], completion[-1]]
    assert whole[len(prompt) : len(prompt) + len(completion)] == completion


def test_alpaca_is_stanfords_prompt_with_and_without_an_input(tmp_path: Path) -> None:
    tokenizer = tokenizer_of("alpaca", tmp_path)
    head = "<s>Below is an instruction that describes a task"
    task = "Write a response that appropriately completes the request.\n\n### Instruction:\n"
    assert tokenizer.decode(render_prompt(tokenizer, messages_of("one question")[:-1])) == (
        f"{head}. {task}Which organ makes bile?\n\n### Response:"
    )
    assert tokenizer.decode(render_prompt(tokenizer, messages_of("an input")[:-1])) == (
        f"{head}, paired with an input that provides further context. {task}"
        "Sort by size.\n\n### Input:\nliver, eye\n\n### Response:"
    )


def test_qwen_has_a_system_message_of_its_own(tmp_path: Path) -> None:
    tokenizer = tokenizer_of("qwen", tmp_path)
    prompt = tokenizer.decode(render_prompt(tokenizer, messages_of("one question")[:-1]))
    assert prompt.startswith("<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.")


@pytest.mark.parametrize("name", ["llama2", "mistral", "gemma"])
def test_two_questions_in_a_row_are_refused_where_turns_alternate(name: str, tmp_path: Path) -> None:
    tokenizer = tokenizer_of(name, tmp_path)
    question, answer = messages_of("one question")
    with pytest.raises(UserError, match="cannot write .* user and assistant alternate"):
        render(tokenizer, [question, question, answer])


def test_a_tokenizer_that_writes_no_bos_gets_none(tiny_model: Path) -> None:
    from medray.model.load import load_tokenizer

    tokenizer = load_tokenizer(tiny_model)
    tokenizer.chat_template = chat_template("alpaca", tokenizer)
    text = tokenizer.decode(render(tokenizer, messages_of("one question")).ids)
    assert text.startswith("Below is") and text.endswith("### Response:The liver.<|im_end|>")
