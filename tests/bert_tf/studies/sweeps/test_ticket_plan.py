import pytest

from bert_tf.encoders.config import EncoderConfig
from bert_tf.methods.tickets.find_options import FindOptions, flags_of
from bert_tf.studies.sweeps import sweep, sweep_state, ticket_plan

CONFIG = EncoderConfig(
    vocab_size=9,
    hidden_size=12,
    num_hidden_layers=6,
    num_attention_heads=12,
    intermediate_size=8,
    max_position_embeddings=16,
)
SETTINGS = sweep.Settings("/out", "/bert", "2", ("--train_batch_size=16",))
RTE = sweep.SweepTask("RTE", ("--task_name=RTE", "--data_dir=/RTE"), ("--num_train_epochs=4",), ())


def options(*methods, **changes):
    """The options of each method, of the changes those that it has."""
    own = {m: {n: v for n, v in changes.items() if flags_of(m, (f"--{n}",))} for m in methods}
    return [FindOptions(model_dir=".", output_dir=".", method=m, **own[m]) for m in methods]


def plan(*methods, kinds=(), flags=(), seeds=(0,), pruned=False, **changes):
    found = ticket_plan.searches(options(*methods, **changes), kinds, flags, CONFIG)
    return ticket_plan.plan(RTE, SETTINGS, found, seeds, pruned)


def last(run, *flags):
    """The values that the program takes: of a flag that stands there twice, the last."""
    return [sweep.value(run.flags, name) for name in flags]


def test_super_tickets():
    runs = plan("super", percents="10,50", seeds=(0, 1))
    # Of 72 heads 10 % are 7, with 0 of 6 FFNs; 50 % are 36, with 2.
    assert [run.name for run in runs[:10]] == [
        f"RTE/seed0/{name}"
        for name in (
            *("dense", "tickets/super", "tickets/super-7-0"),
            *("retrained/super-winning-7-0", "retrained/super-random-7-0"),
            *("retrained/super-losing-7-0", "tickets/super-36-2"),
            *("retrained/super-winning-36-2", "retrained/super-random-36-2"),
            "retrained/super-losing-36-2",
        )
    ]
    assert len(runs) == 20 and runs[10].name == "RTE/seed1/dense"
    dense, measured, level, winning = runs[:4]
    assert measured.title == "measure the importance of units"
    for run in (dense, winning):
        names = ("init_checkpoint", "num_train_epochs", "train_batch_size", "data_dir", "seed")
        assert last(run, *names) == ["/bert", "2", "16", "/RTE", "0"]
    mask = "/out/RTE/seed0/tickets/super-7-0/masks/winning-7-0.safetensors"
    assert last(dense, "mask") == [None] and last(winning, "mask") == [mask]
    assert last(measured, "percents", "model_dir") == ["", "/out/RTE/seed0/dense"]
    assert last(level, "head_counts", "ffn_counts", "seed") == ["7", "0", "0"]
    assert last(level, "importance") == ["/out/RTE/seed0/tickets/super/importance.json"]
    assert [run.done_file.rsplit("/", 1)[1] for run in runs[:4]] == [
        *("eval_results.txt", "tickets.json", "tickets.json", "eval_results.txt")
    ]


def test_a_method_gets_its_own_flags():
    flags = ("--threshold=.8", "--normalize=none", "--max_steps=3")
    runs = {run.name.split("/", 2)[2]: run for run in plan("super", "magnitude", flags=flags)}
    names = ("threshold", "normalize", "max_steps")
    assert last(runs["tickets/super"], *names) == [None, "none", None]
    assert last(runs["tickets/magnitude"], *names) == [".8", None, "3"]


def test_importances_leave_out_what_the_training_holds_out():
    held = ("--holdout_examples=9", "--holdout_seed=2", "--train_examples=50")
    settings = sweep.Settings("/out", "/bert", "2", held)
    for split, expected in (("", ["9", "2", "50"]), ("dev", [None] * 3)):
        found = ticket_plan.searches(options("super", split=split, percents="50"), config=CONFIG)
        for run in ticket_plan.plan(RTE, settings, found)[1:3]:
            assert last(run, "holdout_examples", "holdout_seed", "train_examples") == expected
    (dense, search, *_) = ticket_plan.plan(
        RTE, settings, ticket_plan.searches(options("lottery", split="train"))
    )
    assert last(search, "holdout_examples") == last(dense, "holdout_examples") == ["9"]
    (_, search, *_) = ticket_plan.plan(RTE, settings, ticket_plan.searches(options("lottery")))
    assert last(search, "holdout_examples") == [None]


def test_the_table_of_subnetworks():
    runs = plan("lottery", "magnitude", pruned=True)
    names = [run.name.removeprefix("RTE/seed0/") for run in runs]
    assert names[:4] == [
        "dense",
        "tickets/lottery",
        "retrained/lottery-good",
        "pruned/lottery-good",
    ]
    assert len(names) == 1 + 2 * (1 + 3 * 2) and names[-1] == "pruned/magnitude-bad"
    retrained, pruned = runs[2:4]
    mask = "/out/RTE/seed0/tickets/lottery/masks/good.safetensors"
    assert (
        last(pruned, "mask", "do_train") == [mask, "false"] == [*last(retrained, "mask"), "false"]
    )
    assert last(pruned, "init_checkpoint") == ["/out/RTE/seed0/dense"]
    assert pruned.needs == ("RTE/seed0/dense", "RTE/seed0/tickets/lottery")


def test_each_run_comes_after_those_it_needs():
    seen = set()
    for run in plan("super", "lottery", "magnitude", pruned=True, seeds=(0, 1)):
        assert seen >= set(run.needs)
        seen.add(run.name)


@pytest.mark.parametrize(
    "more",
    [
        {"percents": "10,30,50", "flags": ("--units=heads", "--percents=10,30,50")},
        {"seeds": (0, 1)},
        {"pruned": True},
        {"kinds": ("winning", "random", "losing", "random_by_layer")},
        {"methods": ("super", "magnitude")},
    ],
)
def test_what_is_added_leaves_the_runs_that_were_there(more):
    given = {"percents": "10,50", "flags": ("--units=heads", "--percents=10,50")}
    before = sweep_state.keys(plan("super", units="heads", **given))
    methods = more.pop("methods", ("super",))
    after = sweep_state.keys(plan(*methods, units="heads", **{**given, **more}))
    assert before.items() <= after.items() and len(after) > len(before)


def test_levels_are_named_once_and_remove_something():
    found = plan("super", percents="1,10,10.5,20", kinds=("winning",))
    levels = [run.name for run in found if run.stage == "tickets"]
    assert levels == ["RTE/seed0/tickets/super-7-0", "RTE/seed0/tickets/super-14-1"]
    (search,) = ticket_plan.searches(
        options("super", units="neurons", percents="50"), (), (), CONFIG
    )
    assert search.levels == ({"neurons": 24},)
    (search,) = ticket_plan.searches(
        options("super", head_counts="3,5", ffn_counts="1,1"), (), ("--head_counts=3,5",), CONFIG
    )
    assert search.levels == ({"heads": 3, "ffn": 1}, {"heads": 5, "ffn": 1})
    assert search.flags == ()


@pytest.mark.parametrize(
    "methods, settings, text",
    [
        (
            ["super", "super"],
            {},
            r"`method` must name each one once, received \['super', 'su",
        ),
        (["super"], {"kinds": ["losing"] * 2}, "`kinds` must name each one once"),
        (
            ["super"],
            {"kinds": ["winning", "good"]},
            r"`kinds` must .* received \['winning', 'g",
        ),
        (["super", "lottery"], {"kinds": ["winning"]}, r"some of each method \(super: winning, l"),
        (["super"], {"percents": "1"}, "`percents` must have a level .* received '1', of 72 and 6"),
        (["super"], {"percents": "101"}, r"`percents` must be in .0, 100., received 101"),
        (["super"], {"seeds": ()}, r"`seeds` must name at least one .* received \[\]"),
        (["super"], {"seeds": (1, 1)}, r"`seeds` must name .* each once, received \[1, 1\]"),
    ],
)
def test_refusals(methods, settings, text):
    with pytest.raises(ValueError, match=text):
        plan(*methods, **settings)
