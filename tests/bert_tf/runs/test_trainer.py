"""The trainer with an objective of its own, which is defined here."""

import contextlib
import time

import numpy as np
import pytest
import tensorflow as tf

import bert_tf
from bert_tf.runs import finetuning, optimization
from bert_tf.runs.model_store import ModelStore
from bert_tf.runs.options import FinetuneOptions
from bert_tf.runs.run_checkpoints import RunCheckpoints
from bert_tf.runs.trainer import Trainer
from flop_tf import BertAdam, GatedModel
from flop_tf.backend import keras
from flop_tf.training.objective import Objective
from flop_tf.training.task_objective import TaskObjective

STEPS = 6
SHRINKAGE = 0.01


class Shrinking(Objective):
    """Another objective, after each step of which the kernels move towards 0; small ones are 0.

    Scored are the kernels without the smaller half of each. A checkpoint holds how much was
    removed in all.
    """

    def __init__(self, inner, shrinkage=SHRINKAGE):
        self.inner = inner
        self.shrinkage = shrinkage
        self.removed = tf.Variable(0.0)
        self.begun = []
        self.steps = keras.callbacks.LambdaCallback(
            on_batch_end=lambda _, logs: logs.update(noticed=1.0)
        )

    def step(self, model, x, y, sample_weight):
        self.model = model
        logs = self.inner.step(model, x, y, sample_weight)
        for kernel in model.kernels():
            smaller = tf.sign(kernel) * tf.maximum(tf.abs(kernel) - self.shrinkage, 0)
            self.removed.assign_add(tf.reduce_sum(tf.abs(kernel - smaller)))
            kernel.assign(smaller)
        return {**logs, "removed": tf.identity(self.removed)}

    def tracked(self, model):
        return {**self.inner.tracked(model), "removed": self.removed}

    def begin(self, model):
        self.begun.append(int(model.optimizer.iterations))
        return self.inner.begin(model)

    def callbacks(self):
        return [self.steps, *self.inner.callbacks()]

    @contextlib.contextmanager
    def scored(self, step):
        before = [kernel.numpy() for kernel in self.model.kernels()]
        for kernel, array in zip(self.model.kernels(), before, strict=True):
            kernel.assign(np.where(np.abs(array) > np.median(np.abs(array)), array, 0))
        yield step
        for kernel, array in zip(self.model.kernels(), before, strict=True):
            kernel.assign(array)


def batches(first, context):
    """Returns the batches from a step on, each by its number alone."""
    assert context.num_input_pipelines == 1

    def batch(step):
        x = tf.random.stateless_normal([8, 4], [1, step])
        return x, x[:, :2]

    return tf.data.Dataset.range(first, STEPS).map(batch)


class Stopped(Exception):
    pass


def train(folder, last_step=STEPS):
    """Trains a small model to a step, at which it is interrupted; returns what there is."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input([4])
    model = GatedModel(inputs, keras.layers.Dense(2)(keras.layers.Dense(8)(inputs)))
    optimizer = BertAdam(0.01)
    optimizer.build(model.weight_variables())
    objective = Shrinking(TaskObjective())
    model.compile(optimizer, "mse", objective=objective)
    looks = []

    def look(step, logs, writer):
        with model.objective.scored(step) as scored, writer.as_default(step):
            zeros = np.mean([np.mean(kernel == 0) for kernel in model.kernels()])
            tf.summary.scalar("zeros", zeros)
        looks.append((scored, float(zeros), logs["noticed"], float(logs["removed"])))
        if step == last_step < STEPS:
            while not checkpoints.found:  # Another thread writes the first one.
                time.sleep(0.05)
            raise Stopped
        return {"zeros": float(zeros)}

    checkpoints = RunCheckpoints(str(folder), keep=2)
    trainer = Trainer(model, checkpoints, STEPS, save_steps=2)
    first = None
    with contextlib.suppress(Stopped):
        first = trainer.run(batches, look, settings="Shrinking")
    return model, objective, looks, first


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    return train(tmp_path_factory.mktemp("unbroken"))


def test_a_toy_objective_is_trained_and_scored(unbroken):
    model, objective, looks, first = unbroken
    assert first == 0 and objective.begun == [0]
    assert [step for step, *_ in looks] == [2, 4, 6]
    assert all(zeros >= 0.5 and noticed == 1 for _, zeros, noticed, _ in looks)
    removed = [share for *_, share in looks]
    assert 0 < removed[0] < removed[1] < removed[2] == float(objective.removed)
    # Training goes on with the kernels that were scored without their smaller half.
    assert np.mean([np.mean(kernel == 0) for kernel in model.kernels()]) < 0.5


def test_a_toy_objective_resumes(unbroken, tmp_path):
    model, objective, *_ = train(tmp_path, last_step=4)
    assert int(model.optimizer.iterations) == 4
    resumed, objective, looks, first = train(tmp_path)
    assert first == 2 and objective.begun == [2]
    assert looks == unbroken[2][1:]
    for ours, theirs in zip(resumed.weights, unbroken[0].weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    *_, first = train(tmp_path)
    assert first == STEPS


def test_fine_tuning_takes_a_toy_objective(bert_dir, sst_dir, tmp_path):
    def training(inputs, model):
        settings = optimization.task_settings(inputs.options)
        objective = Shrinking(TaskObjective(**settings), shrinkage=1e-3)
        arguments = inputs.task.loss(), inputs.data.total_steps, objective
        optimization.compile_model(inputs.options, model, *arguments)
        return ModelStore(inputs)

    options = FinetuneOptions(
        task_name="sst-2",
        data_dir=sst_dir,
        init_checkpoint=bert_dir,
        output_dir=str(tmp_path),
        max_seq_length=8,
        train_examples=32,
        train_batch_size=16,
        num_train_epochs=1.0,
    )
    scores = finetuning.finetune(options, training=training)
    assert 0 <= scores["dev"]["eval_accuracy"] <= 1
    # What was scored is what was saved.
    kernel = bert_tf.load(tmp_path).encoder.blocks[0].query.kernel.numpy()
    assert np.mean(kernel == 0) >= 0.5
