"""What the program of this module, tests/tools/test_attention_patterns.py, does not reach."""

import types

import pytest

from bert_tf.studies.attention import attention_study


def of_task(name):
    return types.SimpleNamespace(task=types.SimpleNamespace(name=name))


def test_models_of_several_tasks():
    models = [of_task("RTE"), of_task("QQP")]
    with pytest.raises(ValueError, match=r"models of one task, received \['QQP', 'RTE'\]; look at"):
        attention_study.find_patterns("classifier", models, (), "out")
    with pytest.raises(ValueError, match=r"models of one task, received \[\]"):
        attention_study.find_patterns("classifier", [], (), "out")


def test_no_texts():
    with pytest.raises(ValueError, match="`num_texts` must be at least 1, received 0"):
        attention_study.save_maps(None, "out", num_texts=0)
