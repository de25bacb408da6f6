"""A model as a folder of Hugging Face, which `AutoModel...from_pretrained` loads without our code.

| file | holds |
|---|---|
| `model.safetensors` | the weights by the names of the model's family, blocks of one size |
| `config.json` | its keys, with the names of the classes |
| `vocab.txt` or `tokenizer.json`, `tokenizer_config.json` | the tokenizer |
| `README.md` | the model card |

One with the head of embeddings is a folder of sentence-transformers too, see that module.
"""

import dataclasses
import os

import jinja2
import numpy as np
import safetensors.numpy

from bert_tf.checkpoints import sentence_transformers
from bert_tf.encoders.config import EncoderConfig
from bert_tf.families.family import DEFAULT_FAMILY, FAMILIES
from bert_tf.families.names import per_block
from bert_tf.heads.head import head_of
from bert_tf.models import model_info
from bert_tf.models.weight_paths import POOLER, in_encoder
from bert_tf.surgery.uniform import uniform
from flop_tf import files

# A classifier has so many where its config does not say it.
_USUAL_LABELS = 2

_CARD = jinja2.Template(
    """\
---
library_name: {{ library }}
{%- if library == "sentence-transformers" %}
pipeline_tag: sentence-similarity
{%- endif %}
---
# {{ title }}

{{ family }} with {{ "{:,}".format(stored) }} parameters of {{ "{:,}".format(dense) }}.
{% if task %}
Task: {{ task }}{% if labels %}, classes {{ labels | join(", ") }}{% endif %}.
{% if thresholds -%}
Of several labels those hold whose probabilities are at least {{ thresholds | join(", ") }}.
{% endif %}
{% endif %}
| block | heads | width of query and key, value | neurons | ranks |
|---|---|---|---|---|
{% for layer in layers -%}
| {{ loop.index }} | {{ layer.num_heads }} | {{ layer.unit_width("key", head_size) }}, \
{{ layer.unit_width("value", head_size) }} | {{ layer.intermediate_size }} | \
{% for name, spec in layer.projections.items() if spec.rank -%}
{{ name }} {{ spec.rank }} {% endfor %}|
{% endfor %}
In this folder all blocks have one size, with zeros in place of heads, columns and neurons that were
removed, and products in place of factors: {{ "{:,}".format(written) }} parameters.
{% for split, found in scores.items() %}
Scores of {{ split }}:
{%- for name, value in found.items() %} {{ name }} {{ "%.4f" | format(value) }}
{%- if not loop.last %},{% endif %}{% endfor %}.
{% endfor %}
""",
    undefined=jinja2.StrictUndefined,
)


def write(source, folder, title):
    """Writes the folder of a model.

    Args:
      source: the `bert_tf.checkpoints.Source`, without gates, with its tokenizer.
      folder: path of a folder that exists.
      title: of the model card.

    Raises:
      ValueError: if it is of a family that says so, or its head has no name there.
      OSError: if a file cannot be written.
    """
    name = source.info.get("family", DEFAULT_FAMILY)
    family = FAMILIES[name]
    config, weights = uniform(source.config, source.weights)
    head = head_of(config) if source.has_head else None
    # A head without weights is a module of its own there, after a model without a head.
    is_embedding = head is not None and not head.weights
    head = None if is_embedding else head
    architecture = family.architecture(name, head and head.layer_path)
    labels = source.labels or [f"LABEL_{number}" for number in range(config.num_labels)]
    named = source.labels is not None or config.num_labels != _USUAL_LABELS
    tokenizer = source.tokenizer()
    about = {"model_type": name, "architectures": [architecture], "dtype": "float32"}
    about |= {"pad_token_id": tokenizer.pad_id, **family.foreign(config)}
    _check_family(family, name, about, config)
    if head is not None and head.num_outputs is None and named:
        about["id2label"] = {str(number): label for number, label in enumerate(labels)}
        about["label2id"] = {label: number for number, label in enumerate(labels)}
    problem = head and head.problem_type(config.num_labels)
    if problem is not None:
        about["problem_type"] = problem
    with files.replacing(os.path.join(folder, "model.safetensors")) as aside:
        safetensors.numpy.save_file(_arrays(family, config, weights, head), aside, {"format": "pt"})
    files.write_json(os.path.join(folder, "config.json"), about)
    file, text = tokenizer.file()
    files.write_text(os.path.join(folder, file), text)
    settings = {**tokenizer.foreign(), "model_max_length": config.num_positions}
    files.write_json(os.path.join(folder, "tokenizer_config.json"), settings)
    card = {
        "title": title,
        "library": "sentence-transformers" if is_embedding else "transformers",
        "family": name,
        "stored": model_info.num_parameters(source.config),
        "dense": model_info.num_parameters(source.config.dense),
        "written": model_info.num_parameters(config),
        "layers": source.config.layers,
        "head_size": source.config.head_size,
        "task": source.info.get("task", {}).get("name"),
        "thresholds": source.info.get("task", {}).get("label_thresholds"),
        "labels": source.labels,
        "scores": source.info.get("scores", {}),
    }
    files.write_text(os.path.join(folder, "README.md"), _CARD.render(card))
    if is_embedding:
        longest = source.info.get("max_seq_length", config.num_positions)
        sentence_transformers.write(folder, config, min(longest, config.num_positions))


def _check_family(family, name, about, config):
    """Raises ValueError where the keys of a family do not say all of a config."""
    own = {name: getattr(config, name) for name in head_of(config).fields}
    again = EncoderConfig.from_dict({**family.fields(about), **own})
    fields = [one.name for one in dataclasses.fields(config)]
    if differing := [one for one in fields if getattr(again, one) != getattr(config, one)]:
        raise ValueError(
            f"The model must be of the family {name!r}, that of its info.json or else bert, but it "
            f"differs in {', '.join(differing)}; import the checkpoint that it came from again."
        )


def _arrays(family, config, weights, head):
    """Returns the weights by the names of a family."""
    names = family.names["hugging_face"]
    rows, found = per_block(names.table, config.num_hidden_layers), {}
    for path, array in weights.items():
        of_pooler = path in POOLER
        if of_pooler and head is not None and not head.reads_pooler:
            continue
        if of_pooler and head is None and not rows[path].name.startswith("pooler."):
            continue  # It is a part of a head that this model lacks.
        inside = in_encoder(path) and (not of_pooler or rows[path].name.startswith("pooler."))
        # Each transform is its own inverse: a transposition, or none.
        array = np.ascontiguousarray(rows[path].transform(array), np.float32)
        found[(names.prefix if inside and head is not None else "") + rows[path].name] = array
    return found
