"""A model of our own as a teacher, with engines that only tell what they are asked."""

import pytest
from ray.exceptions import RayTaskError

from medray.core.config import UserError
from medray.generate import local
from medray.generate.config import EnginePlacement, LocalTeacher, Sampling
from medray.generate.fleet import EnginesLost
from medray.generate.replies import Question

SAMPLING = Sampling(
    num_completions=1, temperature=0.7, top_p=0.9, max_tokens=8, rng_seed=5, dtype="fp32", max_model_len=40
)


class Said:
    def __init__(self, ids, seed):
        self.token_ids, self.text, self.finish_reason = [1, 2], f"{len(ids)} {seed}", "stop"


class Engines:
    """Renders a word as a token, and says how many tokens it was asked and with which seed."""

    def __init__(self):
        self.started, self.asked, self.is_lost = 0, [], False

    def open(self, directory, sampling, placement):
        self.started += 1
        return [f"engine {i}" for i in range(placement.replicas)]

    def call(self, engine, method, placement, directory, model_id, *arguments):
        assert (directory, model_id) == ("there", "judge-1")
        if self.is_lost:
            raise EnginesLost("sampling: engine died at each of 4 tries")
        if method == "render":
            [[messages]] = arguments
            if "<|end|>" in messages[-1]["content"]:
                error = UserError("messages[0].content: spells the special token '<|end|>': remove it")
                raise RayTaskError("render", "traceback", error).as_instanceof_cause()
            return [[0] * len(messages[-1]["content"].split())]
        ids, seeds, sampling = arguments
        self.asked.append((engine, [seed for [seed] in seeds]))
        return [[Said(each, seed)] for each, [seed] in zip(ids, seeds, strict=True)]


@pytest.fixture
def engines(monkeypatch):
    found = Engines()
    monkeypatch.setattr(local, "open_engines", found.open)
    monkeypatch.setattr(local, "call", found.call)
    return found


def model(tmp_path, name="replies", replicas=1, prompts_per_shard=4, **changes):
    placement = EnginePlacement(replicas=replicas, prompts_per_shard=prompts_per_shard)
    config = LocalTeacher(sampling=SAMPLING.model_copy(update=changes), placement=placement)
    return local.LocalModel(config, tmp_path / name, "there", "judge-1")


def questions(*texts, version="v1"):
    return [Question(f"q{i}", [{"role": "user", "content": text}], version) for i, text in enumerate(texts)]


def texts_of(replies):
    return [reply.text for reply in replies]


def test_a_reply_says_everything_that_made_it(tmp_path, engines):
    with model(tmp_path) as asked:
        [reply] = asked.ask(questions("Which organ makes bile?"))
    assert (reply.model, reply.served_model, reply.prompt_version, reply.finish_reason) == (
        "judge-1", "judge-1", "v1", "stop",
    )  # fmt: skip
    seed = reply.parameters["seed"]
    assert reply.parameters == {
        "temperature": 0.7, "top_p": 0.9, "max_tokens": 8, "rng_seed": 5, "dtype": "fp32", "max_model_len": 40,
        "seed": seed,
    }  # fmt: skip
    assert reply.text == f"4 {seed}" and (reply.tokens_in, reply.tokens_out, reply.cost) == (4, 2, 0.0)
    assert (asked.tokens, asked.cost) == (6, 0.0)


def test_nothing_is_asked_twice_and_no_engine_started_for_nothing(tmp_path, engines):
    with model(tmp_path) as asked:
        first = asked.ask(questions("a", "a b", "a"))
    assert len(engines.asked) == 1 and len(engines.asked[0][1]) == 2, "equal questions share a reply"
    with model(tmp_path) as asked:
        assert asked.ask(questions("a", "a b", "a")) == first and asked.tokens == 3 + 4
    assert engines.started == 1
    with model(tmp_path) as asked:
        assert texts_of(asked.ask(questions("a", version="v2"))) != texts_of(first[:1])
        assert len(list((tmp_path / "replies").iterdir())) == 2


def test_a_question_has_its_seed_wherever_it_is_asked(tmp_path, engines):
    words = [f"word{i}" for i in range(11)]
    with model(tmp_path, "a") as asked:
        straight = asked.ask(questions(*words))
    assert len({reply.parameters["seed"] for reply in straight}) == 11
    with model(tmp_path, "b", replicas=3, prompts_per_shard=2) as asked:
        assert texts_of(asked.ask(questions(*words[::-1])))[::-1] == texts_of(straight)
    assert {engine for engine, _ in engines.asked} == {"engine 0", "engine 1", "engine 2"}
    with model(tmp_path, "c", rng_seed=6) as asked:
        assert not set(texts_of(asked.ask(questions(*words)))) & set(texts_of(straight))


def test_what_cannot_be_asked_is_refused_and_kept_with_the_reason(tmp_path, engines):
    with model(tmp_path) as asked:
        spelt, fine, long = asked.ask(questions("a <|end|>", "a b c", "a " * 33))
    assert spelt.text == long.text == "" and fine.text.startswith("3 ")
    assert spelt.finish_reason.startswith("refused: messages[0].content: spells the special token")
    assert "33 tokens and needs 8 more" in long.finish_reason and long.finish_reason.startswith("refused: ")
    with model(tmp_path, "b") as asked:
        assert asked.ask(questions("<|end|>"))[0].text == "", "a shard of refused ones asks nothing"


def test_lost_engines_are_no_refusal_and_what_came_is_kept(tmp_path, engines):
    with model(tmp_path) as asked:
        asked.ask(questions("a", "b"))
    engines.is_lost = True
    with model(tmp_path) as asked, pytest.raises(EnginesLost, match="died at each"):
        asked.ask(questions("a", "b", "c"))
    engines.is_lost = False
    with model(tmp_path) as asked:
        assert len(asked.ask(questions("a", "b", "c"))) == 3
    assert [len(seeds) for _, seeds in engines.asked] == [2, 1]
