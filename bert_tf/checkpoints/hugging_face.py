"""Hugging Face folders: `config.json` and safetensors, with or without the prefix `bert.`."""

import re

from bert_tf.checkpoints.formats import ForeignFormat, register_format
from bert_tf.checkpoints.translation import translate
from bert_tf.heads.head import HEADS
from bert_tf.models.weight_paths import POOLER, in_encoder


@register_format("hugging_face")
class HuggingFace(ForeignFormat):
    """Safetensors, `config.json` and the files of a tokenizer."""

    config_file = "config.json"
    special_tokens = True
    is_general = True

    def names(self, about):
        """See `ForeignFormat`; of heads with the same names, the one of the config's class."""
        names = super().names(about)
        return names.for_head(about.family.architectures.get(_architecture(about)))

    @staticmethod
    def recognises(variables):
        """Returns whether they are safetensors."""
        return not variables.is_checkpoint

    def weights(self, variables, about, pretraining_head=False):
        """Returns `(config, weights)`; a head that this project lacks is left out."""
        names, renamed = self.names(about), _renamed(variables, self.names(about).prefix)
        table, ignored = names.of_task_heads(), names.ignored
        if self.missing_head(variables, about):
            table = {path: row for path, row in table.items() if in_encoder(path)}
            ignored = _of_a_head({path: table[path] for path in table.keys() - names.optional})
        elif pretraining_head:
            table = names.table
        return translate(renamed, table, about.config, ignored, names.optional)

    def missing_head(self, variables, about):
        """Returns the name of a folder's head if this project lacks it, else "".

        Args:
          variables: `Variables` of its safetensors.
          about: its `ForeignConfig`.
        """
        names = self.names(about)
        table, shapes = names.of_task_heads(), _renamed(variables, names.prefix).shapes
        known = about.family.architectures
        architecture = _architecture(about)
        present = {path: row.name for path, row in table.items() if row.name in shapes}
        heads = {
            name
            for name, head in HEADS.items()
            if head.output_weights and f"{name}.{head.output_weights[0]}" in present
        }
        if architecture is not None and (
            architecture not in known or heads - {known[architecture]}
        ):
            return architecture
        for name in sorted(heads):
            if HEADS[name].reads_pooler and POOLER[0] in table and POOLER[0] not in present:
                return f"a {name} that reads no pooler"
            problem = about.data.get("problem_type")
            outputs = shapes[present[f"{name}.{HEADS[name].output_weights[0]}"]][0]
            if not HEADS[name].solves(problem, outputs):
                return f"a {name} with the problem_type {problem!r} and {outputs} outputs"
        return ""


def _architecture(about):
    """Returns the class of `transformers` that a config names first, or None."""
    return next(iter(about.data.get("architectures") or ()), None)


def _of_a_head(table):
    """Returns a regular expression of everything outside of the encoder, by its table."""
    parts = {row.name.split(".")[0] for row in table.values()}
    return rf"(?!({'|'.join(sorted(map(re.escape, parts)))})\.).*"


def _renamed(variables, prefix):
    """Returns variables without a prefix, and LayerNorm weights with their present names."""

    def plain(name):
        name = re.sub(r"LayerNorm\.gamma$", "LayerNorm.weight", name.removeprefix(prefix))
        return re.sub(r"LayerNorm\.beta$", "LayerNorm.bias", name)

    return variables.renamed({plain(name): name for name in variables.shapes})
