"""An engine and its format, defined here alone, are exported, checked, timed and benchmarked."""

import json
import os

import pytest
import tensorflow as tf
from tensorflow.python.framework import convert_to_constants

from bert_tf.serving import engines, formats, versions
from bert_tf.serving.formats.limits import Limits
from bert_tf.serving.formats.single_file import SingleFile
from bert_tf.studies.speed import benchmarking


class FrozenGraph(SingleFile):
    """A GraphDef with constants for weights, and the names of its tensors."""

    file = "frozen.pb"
    limits = Limits(largest_difference=1e-4)
    family = "GraphDef"

    def convert(self, served):
        function = served.portable_numbers.get_concrete_function()
        frozen = convert_to_constants.convert_variables_to_constants_v2(function)
        graph = frozen.graph.as_graph_def()
        names = sorted(function.structured_outputs)
        for name, tensor in zip(names, frozen.outputs, strict=True):
            graph.node.add(op="Identity", name=f"output/{name}", input=[tensor.name]).attr[
                "T"
            ].type = tensor.dtype.as_datatype_enum
        return graph.SerializeToString()

    def missing(self, error):
        return []


def load(path, threads):
    with open(path, "rb") as file:
        graph = tf.compat.v1.GraphDef.FromString(file.read())
    function = tf.compat.v1.wrap_function(lambda: tf.graph_util.import_graph_def(graph), [])
    names = [[n.name for n in graph.node if n.op == "Placeholder"]]
    names.append([n.name for n in graph.node if n.name.startswith("output/")])
    tensors = [[function.graph.get_tensor_by_name(f"import/{n}:0") for n in some] for some in names]
    pruned = function.prune(*tensors)

    def answer(_, inputs):
        values = pruned(*(tf.constant(inputs[name]) for name in names[0]))
        return {n[7:]: v.numpy() for n, v in zip(names[1], values, strict=True)}

    return answer


@pytest.fixture
def toy():
    """The registered format; the registries are as before after a test."""
    form, engine = FrozenGraph(), engines.Engine("Graph", ("frozen",), load)
    with formats.FORMATS.temporary(frozen=form), engines.ENGINES.temporary(graph=engine):
        yield form


def test_exported_checked_and_timed(toy, export, bert_dir, sst_dir, tmp_path):
    task = {"task_name": "SST-2", "data_dir": sst_dir}
    report = export(bert_dir, str(tmp_path / "toy"), format_names=["frozen"], **task)
    row = report["formats"]["frozen"]
    assert row["largest_difference"] <= 1e-5 and row["flips"] == 0.0 and "left_out" not in row
    folder = tmp_path / "toy" / "1"
    assert json.loads((folder / versions.REPORT_FILE).read_text()) == report
    path = str(folder / "frozen.pb")
    assert formats.of_path(path) is toy
    measured = benchmarking.inference([bert_dir, path], [2], [5], rounds=2)
    source, exported = measured["models"]
    assert exported["model"] == os.path.join("toy", "1", "frozen.pb")
    assert exported["parameters"] == source["parameters"] and len(measured["timings"]) == 2
    assert exported["file_bytes"] == os.path.getsize(path)


def test_one_that_is_too_far_off_is_refused(toy, export, bert_dir, tmp_path, monkeypatch):
    monkeypatch.setattr(toy, "limits", Limits(largest_difference=-1.0))
    with pytest.raises(ValueError, match="The export frozen by graph is too far from its model"):
        export(bert_dir, str(tmp_path / "toy"), format_names=["frozen"], task_name="SST-2")
    assert not (tmp_path / "toy").exists()


def test_an_unknown_name_gets_the_nearest(toy):
    with pytest.raises(ValueError, match="received 'frozn', did you mean 'frozen'?"):
        formats.get("frozn")
    assert formats.get("frozen") is toy
    assert list(formats.FORMATS)[0] == "saved_model" and list(formats.FORMATS)[-1] == "frozen"
