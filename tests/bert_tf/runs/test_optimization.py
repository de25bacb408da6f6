import numpy as np
import pytest

from bert_tf.encoders.config import EncoderConfig
from bert_tf.models.bert import BertModel
from bert_tf.runs import optimization
from bert_tf.runs.options import FinetuneOptions
from flop_tf import BertAdamax
from flop_tf.layers.projection import ProjectionSpec

NEEDED = {"task_name": "sst-2", "data_dir": "d", "init_checkpoint": "c", "output_dir": "o"}


def options(**changes):
    return FinetuneOptions(**NEEDED, **changes)


@pytest.fixture(scope="module")
def model():
    config = EncoderConfig(13, 8, 1, 2, 12, max_position_embeddings=9)
    gate = {"name": "hard_concrete", "config": {"axis": 0, "initial_log_alpha": 3.0}}
    specs = {(i, name): ProjectionSpec(8, gate) for i, name, *_ in config.projections()}
    return BertModel(config.with_projections(specs))


def rates(optimizer, steps):
    schedule = optimizer._learning_rate
    return np.array([float(schedule(step)) for step in steps])


def training(model, fix_step=50, **changes):
    changes = {"target_sparsity": 0.6, **changes}
    return optimization.gate_training(options(**changes), model, model.budget(), fix_step)


@pytest.mark.parametrize(
    ("warmup", "expected"),
    [(0.1, [0.0, 0.45, 0.9, 0.5, 0.0]), (0.0, [1.0, 0.95, 0.9, 0.5, 0.0])],
)
def test_rate_of_the_weights(warmup, expected):
    optimizer = optimization.weight_optimizer(
        options(learning_rate=2.0, warmup_proportion=warmup), 100
    )
    found = rates(optimizer, [0, 5, 10, 50, 100])
    # Warmup leads to the decayed rate of its last step.
    np.testing.assert_allclose(found, 2 * np.array(expected), atol=1e-6)
    assert optimizer.global_clipnorm == 1.0 and optimizer.weight_decay == 0.01


@pytest.mark.parametrize(
    ("warmup", "expected"),
    [(0.1, [0.0, 0.5, 1.0, 0.5, 0.0]), (0.0, [1.0, 0.95, 0.9, 0.45, 0.0])],
)
def test_adamax_rises_to_the_whole_rate(warmup, expected):
    """Vector C17 of the specification of the tickets."""
    optimizer = optimization.weight_optimizer(
        options(optimizer="adamax", learning_rate=2.0, warmup_proportion=warmup), 100
    )
    assert type(optimizer) is BertAdamax
    np.testing.assert_allclose(rates(optimizer, [0, 5, 10, 55, 100]), 2 * np.array(expected), 1e-5)
    assert optimizer.global_clipnorm == 1.0 and optimizer.weight_decay == 0.01
    assert optimizer.epsilon == 1e-6


@pytest.mark.parametrize("precision", ["none", "float16"])
@pytest.mark.parametrize("name", optimization.OPTIMIZERS)
def test_compiled_optimizers_are_built_and_decay_matrices_alone(model, name, precision):
    changes = {"optimizer": name, "mixed_precision": precision}
    optimization.compile_model(options(**changes), model, "mse", 10)
    scaled, optimizer = model.optimizer, getattr(model.optimizer, "inner_optimizer", None)
    assert (optimizer is not None) == (precision == "float16")
    optimizer = optimizer or scaled
    assert type(optimizer) is optimization.OPTIMIZERS[name][0]
    weights = model.weight_variables()
    assert len(optimizer._m) == len(optimizer._v) == len(weights)
    decayed = {v.name for v in weights if optimizer._use_weight_decay(v)}
    assert decayed == {v.name for v in weights if v.shape.rank == 2}
    assert not [name for name in decayed if name.split("/")[-1][:4] in ("bias", "gamm", "beta")]


@pytest.mark.parametrize("schedule", ["constant", "noam"])
@pytest.mark.parametrize("fix_step", [50, 500])
def test_default_rates_travel_as_far_in_any_run(model, schedule, fix_step):
    made = training(model, fix_step, gate_schedule=schedule)
    for name, travel in (("gate_optimizer", 8), ("multiplier_optimizer", 200)):
        assert rates(made[name], range(fix_step)).sum() == pytest.approx(travel, rel=0.15)


def test_rates_that_are_given(model):
    made = training(
        model,
        gate_schedule="noam",
        alpha_learning_rate=5.0,
        lambda_learning_rate=10.0,
        learning_rate_warmup=20,
    )
    expected = 5 * 8**-0.5 * np.array([20**-1.5, 20**-0.5, 80**-0.5])
    np.testing.assert_allclose(rates(made["gate_optimizer"], [0, 19, 79]), expected, rtol=1e-5)
    np.testing.assert_allclose(
        rates(made["multiplier_optimizer"], [0, 19, 79]), 2 * expected, rtol=1e-5
    )
    constant = training(model, alpha_learning_rate=5.0, learning_rate_warmup=4)
    np.testing.assert_allclose(rates(constant["gate_optimizer"], [0, 3, 9]), [1.25, 5, 5])


@pytest.mark.parametrize(("asked", "steps"), [(None, 40), (7, 7), (0, 0)])
def test_ramp(model, asked, steps):
    lagrangian = training(model, target_sparsity_warmup=asked)["lagrangian"]
    assert lagrangian.warmup_steps == steps and lagrangian.target_sparsity == 0.6
    assert lagrangian.start_sparsity == float(model.budget().expected_sparsity()) < 0
