"""The token stores of SFT, reward model and DPO hold exactly what the renderer says, also after a kill."""

import math
import shutil
from collections import Counter

import pyarrow.parquet as pq
import pytest

from medray.core.config import UserError, changed
from medray.core.schema import EXAMPLE, LABELLED, PAIR, write_table
from medray.core.workspace import Root, Workspace
from medray.model.base import make_tiny
from medray.model.load import load_tokenizer
from medray.model.render import render, render_completion
from medray.preference.labels import unpaired
from medray.preference.reference import ReferenceConfig, add_reference
from medray.reward.train import RewardConfig, mixed, render_pairs
from medray.sft.render import pack_examples, parts_of, render_part
from medray.sft.train import SFTConfig
from medray.tables.blocks import BlockStore
from medray.tables.rendered import choose_rows
from medray.tables.shards import Shard
from medray.train.config import KTOLoss, Optimization, TrainPlacement
from medray.train.forward import ForwardRow, sequence_logprobs
from medray.train.launch import fit
from medray.train.objective import KTO, CausalLM
from tests.numerics.tiny_training import run

OPTIMIZATION = Optimization(
    learning_rate=1e-3, schedule="constant", warmup_fraction=0.0, min_learning_rate_fraction=0.0, optimizer="adamw",
    betas=(0.9, 0.95), weight_decay=0.0, gradient_clip=1.0, global_batch=4, epochs=1, dtype="fp32", rng_seed=0,
)  # fmt: skip
CONFIG = SFTConfig(optimization=OPTIMIZATION, block_tokens=160, packing="best_fit", oversize="drop", num_examples=None)


@pytest.fixture
def workspace(tmp_path):
    return Workspace(Root(str(tmp_path / "root")), "stage", "0" * 32, "stage")


def question(number):
    return [{"role": "user", "content": f"Question {number}?"}]


def examples(num, answer="The kidney."):
    return [
        {"id": f"e{i}", "source": "s", "group": "", "licence": "x", "split": "train",
         "messages": [*question(i), {"role": "assistant", "content": answer * (1 + i % 3)}]}
        for i in range(num)
    ]  # fmt: skip


def pairs(num, split="train"):
    return [
        {"id": f"{split}{i}", "prompt_id": f"p{i}", "source": "own", "messages": question(i), "chosen": "The kidney.",
         "rejected": "heart " * (1 + i % 4), "chosen_reward": 1.0, "rejected_reward": 0.0, "split": split, "task": "t"}
        for i in range(num)
    ]  # fmt: skip


def test_sft_store_holds_every_example_once(tiny_model, workspace, tmp_path):
    rows = examples(20)
    rows.append({**rows[0], "id": "long", "messages": [*question(99), {"role": "assistant", "content": "lung " * 200}]})
    write_table(tmp_path / "examples.parquet", rows, EXAMPLE)
    config = CONFIG
    facts = render_examples(config, tiny_model, tmp_path / "examples.parquet", workspace)
    store, found = stored(workspace)
    rendered = [render(load_tokenizer(tiny_model), row["messages"]) for row in rows[:20]]
    assert sorted(found) == sorted((r.ids, r.loss_mask) for r in rendered)
    assert facts["num_examples"] == 20 and facts["num_oversize"] == 1 and facts["num_blocks"] == len(store)
    with pytest.raises(UserError, match="row long is .* tokens, expected at most 160"):
        strict = config.model_copy(update={"oversize": "error"})
        render_examples(strict, tiny_model, tmp_path / "examples.parquet", workspace)
    with pytest.raises(UserError, match="sft: 22 rows wanted, 21"):
        more = config.model_copy(update={"num_examples": 22})
        render_examples(more, tiny_model, tmp_path / "examples.parquet", workspace)


def render_examples(config, model, path, workspace):
    """What the stage does, without Ray: its facts."""
    shards = parts_of(config, path)
    counts = [render_part(s, config=config, model=model, path=path, workspace=workspace) for s in shards]
    facts = pack_examples(Shard("pack"), config=config, model=model, parts=shards, workspace=workspace)
    return {**facts, **{name: sum(part[name] for part in counts) for name in counts[0]}}


def stored(workspace):
    """(ids, loss mask) of every sequence of the store, in order."""
    store, found = BlockStore(workspace.scratch / "store"), []
    for i in range(len(store)):
        row, stop = store[i], 0
        for length in row.lengths:
            start, stop = stop, stop + length
            found.append((row.input_ids[start:stop].tolist(), row.loss_mask[start:stop].tolist()))
    return store, found


def test_concatenated_examples_lie_end_to_end_and_cut_ones_go_on_alone(tiny_model, workspace, tmp_path):
    rows = examples(20)
    long = [{"role": "user", "content": "lung " * 200}, {"role": "assistant", "content": "Yes."}]
    write_table(tmp_path / "examples.parquet", [*rows, {**rows[0], "id": "long", "messages": long}], EXAMPLE)
    config = CONFIG.model_copy(update={"block_tokens": 100, "packing": "concatenate"})
    facts = render_examples(config, tiny_model, tmp_path / "examples.parquet", workspace)
    store, found = stored(workspace)
    assert all(store.num_tokens(i) == 100 for i in range(len(store) - 1))
    order = choose_rows(rows, None, OPTIMIZATION.rng_seed, "sft")
    rendered = [render(load_tokenizer(tiny_model), row["messages"]) for row in order]
    assert facts["num_oversize"] == 1, "what is too long is left out before packing"
    assert sum((ids for ids, _ in found), []) == sum((r.ids for r in rendered), [])
    whole = sum((r.loss_mask for r in rendered), [])
    cuts = {sum(len(ids) for ids, _ in found[:i]) for i in range(len(found))}
    assert sum((mask for _, mask in found), []) == [0 if t in cuts else flag for t, flag in enumerate(whole)]
    assert facts["num_cut"] == len(found) - 20 > 0


@pytest.mark.parametrize("num_examples", [None, 17])
def test_parts_are_packed_as_if_they_were_one(tiny_model, workspace, tmp_path, monkeypatch, num_examples):
    config, rows = CONFIG.model_copy(update={"num_examples": num_examples}), examples(20)
    rows[4]["split"] = "heldout"
    write_table(tmp_path / "examples.parquet", rows, EXAMPLE)
    whole = render_examples(config, tiny_model, tmp_path / "examples.parquet", workspace)
    before = (workspace.scratch / "store" / "part-00000.arrow").read_bytes()
    assert whole["num_examples"] == (num_examples or 19)
    order = choose_rows(rows, num_examples, OPTIMIZATION.rng_seed, "sft")
    rendered = [render(load_tokenizer(tiny_model), row["messages"]) for row in order]
    assert sorted(stored(workspace)[1]) == sorted((r.ids, r.loss_mask) for r in rendered)
    monkeypatch.setattr("medray.sft.render._ROWS_PER_PART", 6)
    pq.write_table(pq.read_table(tmp_path / "examples.parquet"), tmp_path / "groups.parquet", row_group_size=3)
    assert [shard.payload["groups"] for shard in parts_of(config, tmp_path / "groups.parquet")] == [
        [0, 1], [2, 3], [4, 5], [6],
    ]  # fmt: skip
    assert render_examples(config, tiny_model, tmp_path / "groups.parquet", workspace) == whole
    assert (workspace.scratch / "store" / "part-00000.arrow").read_bytes() == before


def test_blocks_without_an_answer_are_left_out_and_counted(tiny_model, workspace, tmp_path):
    rows = examples(2)
    for row in rows:
        row["messages"] = [{"role": "user", "content": "lung " * 20}, {"role": "assistant", "content": "Yes."}]
    write_table(tmp_path / "examples.parquet", rows, EXAMPLE)
    rendered = render(load_tokenizer(tiny_model), rows[0]["messages"])
    # of the second block only a stop token is left, with nothing before it
    config = CONFIG.model_copy(update={"block_tokens": 2 * len(rendered.ids) - 1, "packing": "concatenate"})
    facts = render_examples(config, tiny_model, tmp_path / "examples.parquet", workspace)
    assert (facts["num_blocks"], facts["num_empty_blocks"], facts["num_cut"]) == (1, 1, 1)


def test_the_oldest_exchanges_leave_until_the_rest_fits(tiny_model, workspace, tmp_path):
    system = [{"role": "system", "content": "Be brief."}]
    turns = [
        [{"role": "user", "content": f"Question {i}? lung lung lung"}, {"role": "assistant", "content": f"No {i}."}]
        for i in range(4)
    ]
    rows = examples(2)
    rows[0] |= {"id": "chat", "messages": [*system, *sum(turns, [])]}
    rows[1] |= {"id": "long", "messages": [*turns[0], {"role": "user", "content": "x " * 300}, turns[1][1]]}
    write_table(tmp_path / "examples.parquet", rows, EXAMPLE)
    tokenizer = load_tokenizer(tiny_model)
    kept = render(tokenizer, [*system, *turns[2], *turns[3]])
    config = CONFIG.model_copy(update={"block_tokens": len(kept.ids), "oversize": "truncate_history"})
    facts = render_examples(config, tiny_model, tmp_path / "examples.parquet", workspace)
    assert stored(workspace)[1] == [(kept.ids, kept.loss_mask)]
    assert (facts["num_examples"], facts["num_truncated"], facts["num_oversize"]) == (1, 1, 1)


def test_a_store_of_another_tokenizer_is_refused_before_anything_starts(tiny_model, workspace, tmp_path):
    write_table(tmp_path / "examples.parquet", examples(4), EXAMPLE)
    config = CONFIG
    render_examples(config, tiny_model, tmp_path / "examples.parquet", workspace)
    make_tiny(tmp_path / "other", ["Another text has other pairs of letters."], vocab_size=290)
    with pytest.raises(UserError, match="stage: the token store was made with tokenizer .* expected the model's own"):
        fit(
            objective=CausalLM(), model=tmp_path / "other", store=workspace.scratch / "store",
            optimization=OPTIMIZATION, placement=TrainPlacement(), workspace=workspace,
        )  # fmt: skip


def test_bad_examples_are_quarantined_up_to_the_fraction(tiny_model, workspace, tmp_path):
    rows = examples(20)
    rows[3]["messages"] = [*question(3), {"role": "assistant", "content": "x<|im_end|>"}]
    write_table(tmp_path / "examples.parquet", rows, EXAMPLE)
    config = CONFIG.model_copy(update={"max_bad_fraction": 0.1})
    render_examples(config, tiny_model, tmp_path / "examples.parquet", workspace)
    assert [row["where"] for row in workspace.quarantined()] == ["row e3"]
    with pytest.raises(UserError, match="1 of 20 rows are bad"):
        strict = config.model_copy(update={"max_bad_fraction": 0.01})
        render_examples(strict, tiny_model, tmp_path / "examples.parquet", workspace)


def test_reward_store_holds_train_pairs_only(tiny_model, workspace, tmp_path):
    write_table(tmp_path / "pairs.parquet", pairs(8) + pairs(3, "heldout"), PAIR)
    config = RewardConfig(optimization=OPTIMIZATION, max_tokens=100, oversize="error", num_pairs=6)
    render_pairs(config, tiny_model, {"pairs": tmp_path / "pairs.parquet"}, workspace)
    store = BlockStore(workspace.scratch / "store")
    assert len(store) == 6 == workspace.marks()["render"]["num_pairs"]
    tokenizer = load_tokenizer(tiny_model)
    chosen = {tuple(render_completion(tokenizer, row["messages"], row["chosen"]).ids) for row in pairs(8)}
    for i in range(6):
        assert tuple(store[i].input_ids[: store[i].lengths[0]].tolist()) in chosen


def test_reward_store_mixes_inputs_and_holds_their_margins(tiny_model, workspace, tmp_path):
    own, other = pairs(8), pairs(30) + pairs(3, "heldout")
    for row in other:
        row |= {"id": f"g{row['id']}", "chosen": "General.", "chosen_reward": 5.0, "rejected_reward": 3.0}
    other[4]["rejected_reward"] = math.nan
    tables = {"pairs": own, "pairs_general": other}
    for role, rows in tables.items():
        write_table(tmp_path / f"{role}.parquet", rows, PAIR)
    config = RewardConfig(
        optimization=OPTIMIZATION, max_tokens=100, oversize="error", num_pairs=None, max_bad_fraction=0.1,
        proportions={"pairs": 1.0, "pairs_general": 3.0}, margin_factor=0.5,
    )  # fmt: skip
    assert len(mixed(tables, config)) == 32, "8 own ones and three times as many"
    render_pairs(config, tiny_model, {role: tmp_path / f"{role}.parquet" for role in tables}, workspace)
    facts, store = workspace.marks()["render"], BlockStore(workspace.scratch / "store")
    assert facts["num_pairs_own"] == 8 and len(store) == facts["num_pairs"] == 8 + facts["num_pairs_general"]
    bad = [row["where"] for row in workspace.quarantined()]
    assert bad in ([], ["row gtrain4"]) and facts["num_pairs_general"] == 24 - len(bad)
    tokenizer, leads = load_tokenizer(tiny_model), {"The kidney.": 1.0, "General.": 2.0}
    texts = {tuple(render_completion(tokenizer, question(i), t).ids): t for i in range(30) for t in leads}
    rows = [store[i] for i in range(len(store))]
    found = [(texts[tuple(row.input_ids[: row.lengths[0]])], row.label) for row in rows]
    assert Counter(found) == {("The kidney.", 1.0): 8, ("General.", 2.0): facts["num_pairs_general"]}


def test_mixtures_that_cannot_be(tmp_path):
    config = RewardConfig(optimization=OPTIMIZATION, max_tokens=100, oversize="drop", num_pairs=None)
    tables = {"pairs": pairs(7), "pairs_general": pairs(3) + pairs(9, "heldout")}
    assert len(mixed(tables, config)) == 10
    for num, parts, counts in (
        (None, (7, 3), (7, 3)),
        (None, (1, 2), (1, 3)),
        (6, (1, 1), (3, 3)),
        (5, (4, 1), (4, 1)),
    ):
        proportions = dict(zip(tables, map(float, parts), strict=True))
        rows = mixed(tables, config.model_copy(update={"num_pairs": num, "proportions": proportions}))
        assert tuple(sum(row["role"] == role for row in rows) for role in tables) == counts
    with pytest.raises(UserError, match="reward: pairs_general: 4 rows wanted, 3 in the train split"):
        mixed(tables, config.model_copy(update={"num_pairs": 8, "proportions": {"pairs": 1, "pairs_general": 1}}))
    with pytest.raises(UserError, match="expected a part above 0 for each of pairs, pairs_general"):
        mixed(tables, config.model_copy(update={"proportions": {"pairs": 1}}))


def test_reference_logprobs_equal_the_forward_and_survive_a_kill(tiny_model, workspace, tmp_path, monkeypatch):
    monkeypatch.setattr("medray.preference.reference._ROWS_PER_SHARD", 4)
    write_table(tmp_path / "pairs.parquet", pairs(10), PAIR)
    config = ReferenceConfig(dtype="fp32", max_tokens=100, oversize="error")
    facts = add_reference(config, tiny_model, tmp_path / "pairs.parquet", workspace)
    store = BlockStore(workspace.data / "store")
    assert len(store) == facts["num_pairs"] == 10 and facts["num_oversize"] == 0
    for i in range(len(store)):
        row = store[i]
        first = int(row.lengths[0])
        sides = [(row.input_ids[:first], row.loss_mask[:first]), (row.input_ids[first:], row.loss_mask[first:])]
        for (ids, mask), reference in zip(sides, row.reference, strict=True):
            prompt, completion = ids[mask == 0].tolist(), ids[mask == 1].tolist()
            [[(value, count)]] = sequence_logprobs(tiny_model, [ForwardRow(prompt, [completion])], dtype="fp32")
            assert abs(value - reference) < 1e-4 and count == mask.sum()
    before = {path.name: path.read_bytes() for path in (workspace.data / "store").iterdir()}
    shutil.rmtree(workspace.data)
    (workspace.local / "marks" / "logprobs-00000004.json").unlink()
    loads = []
    monkeypatch.setattr("medray.train.forward.Forward.sequence_logprobs", counted(loads))
    assert add_reference(config, tiny_model, tmp_path / "pairs.parquet", workspace) == facts
    assert {path.name: path.read_bytes() for path in (workspace.data / "store").iterdir()} == before
    assert loads == [4], "only the shard without a mark is computed again"


@pytest.mark.parametrize("role", ["unpaired", "labelled"])
def test_labelled_store_holds_completions_and_those_of_other_prompts(tiny_model, workspace, tmp_path, role):
    if role == "unpaired":
        rows = unpaired(pairs(10))
        write_table(tmp_path / "table.parquet", pairs(10) + pairs(3, "heldout"), PAIR)
    else:
        rows = [row for row in unpaired(pairs(10)) if row["desirable"] or row["prompt_id"] > "p5"]
        write_table(tmp_path / "table.parquet", rows, LABELLED)
    config = ReferenceConfig(dtype="fp32", max_tokens=100, oversize="error")
    facts = add_reference(config, tiny_model, tmp_path / "table.parquet", workspace, role)
    store, tokenizer = BlockStore(workspace.data / "store"), load_tokenizer(tiny_model)
    assert store.facts["kind"] == "labelled" and len(store) == facts["num_rows"] == len(rows)
    assert (facts["num_desirable"], facts["num_unmatched"], facts["num_oversize"]) == (10, 0, 0)
    expected = {tuple(render_completion(tokenizer, r["messages"], r["completion"]).ids): r for r in rows}
    found, margins = [], []
    for row in map(store.__getitem__, range(len(store))):
        ids, cut = row.input_ids.tolist(), int(row.lengths[0])
        own, other = (ids[:cut], row.loss_mask[:cut]), (ids[cut:], row.loss_mask[cut:])
        source = expected[tuple(own[0])]
        assert row.label == source["desirable"] and own[0] not in [o for o in found]
        found.append(own[0])
        prompt = [token for token, flag in zip(*own, strict=True) if not flag]
        mismatched = other[0][len(prompt) :]
        assert other[0][: len(prompt)] == prompt and other[1].tolist() == [0] * len(prompt) + [1] * len(mismatched)
        owners = {r["prompt_id"] for ids, r in expected.items() if list(ids[-len(mismatched) :]) == mismatched}
        assert owners - {source["prompt_id"]}
        wanted = ForwardRow(prompt, [own[0][len(prompt) :], mismatched])
        [values] = sequence_logprobs(tiny_model, [wanted], dtype="fp32")
        assert [value for value, _ in values] == pytest.approx(row.reference.tolist(), abs=1e-4)
        margins.append(row.reference[0] - row.reference[1])
    assert facts["reference_margin_mean"] == pytest.approx(sum(margins) / len(margins))


def test_kto_starts_where_policy_and_reference_are_one_and_learns(tiny_model, workspace, tmp_path):
    write_table(tmp_path / "pairs.parquet", pairs(10), PAIR)
    config = ReferenceConfig(dtype="fp32", max_tokens=100, oversize="error")
    add_reference(config, tiny_model, tmp_path / "pairs.parquet", workspace, "unpaired")
    terms = KTOLoss(name="kto", beta=0.5, desirable_weight=1.0, undesirable_weight=3.0)
    objective, told = KTO(terms=terms), []
    run(
        BlockStore(workspace.data / "store"), tmp_path / "checkpoints", objective=objective,
        model=objective.load(tiny_model, "fp32"), optimization=changed(OPTIMIZATION, global_batch=20, epochs=12),
        on_step=lambda done, num_steps, metrics: told.append(metrics),
    )  # fmt: skip
    first, last = told[0], told[-1]
    assert first["loss"] == pytest.approx((1.0 + 3.0) / 2 / 2, abs=1e-4)
    assert (first["kl"], first["reward_margin"]) == (pytest.approx(0, abs=1e-3), pytest.approx(0, abs=1e-3))
    assert first["desirable_fraction"] == pytest.approx(0.5) and last["reward_accuracy"] == pytest.approx(1.0)
    assert last["loss"] < 0.8 * first["loss"] and last["reward_margin"] > 0.1


def counted(calls):
    from medray.train.forward import Forward

    original = Forward.sequence_logprobs

    def sequence_logprobs(self, rows):
        calls.append(len(rows))
        return original(self, rows)

    return sequence_logprobs
