"""Hugging Face folders: `config.json` and safetensors, with or without the prefix `bert.`."""

import dataclasses
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
        table, ignored, config = names.of_task_heads(), names.ignored, about.config
        if self.missing_head(variables, about):
            table = {path: row for path, row in table.items() if in_encoder(path)}
            ignored = _of_a_head({path: table[path] for path in table.keys() - names.optional})
        elif pretraining_head:
            table = names.table
        elif heads := _solving(self._heads(variables, about), about):
            config = dataclasses.replace(config, head=heads[0].name)
        return translate(renamed, table, config, ignored, names.optional)

    def missing_head(self, variables, about):
        """Returns the name of a folder's head if this project lacks it, else "".

        Args:
          variables: `Variables` of its safetensors.
          about: its `ForeignConfig`.
        """
        table, present = self.names(about).of_task_heads(), self._shapes(variables, about)
        known, heads = about.family.architectures, self._heads(variables, about)
        architecture = _architecture(about)
        layers = {head.layer_path: outputs for head, outputs in heads}
        if architecture is not None and (
            architecture not in known or layers.keys() - {known[architecture]}
        ):
            return architecture
        for layer, outputs in layers.items():
            own = [(head, number) for head, number in heads if head.layer_path == layer]
            reads_pooler = own[0][0].reads_pooler
            if reads_pooler and POOLER[0] in table and POOLER[0] not in present:
                return f"a {layer} that reads no pooler"
            if not _solving(own, about):
                problem = about.data.get("problem_type")
                return f"a {layer} with the problem_type {problem!r} and {outputs} outputs"
        return ""

    def _shapes(self, variables, about):
        """Returns the shapes of the weights of encoder and task heads that are there, by path."""
        names = self.names(about)
        shapes = _renamed(variables, names.prefix).shapes
        table = names.of_task_heads().items()
        return {path: shapes[row.name] for path, row in table if row.name in shapes}

    def _heads(self, variables, about):
        """Returns `(head, number of outputs)` of each head whose layer is there, by its name."""
        present, found = self._shapes(variables, about), []
        for _, cls in sorted(HEADS.items()):
            head = cls(about.config)
            if head.output_paths and head.output_paths[0] in present:
                found.append((head, present[head.output_paths[0]][0]))
        return found


def _solving(heads, about):
    """Returns those of some `(head, number of outputs)` that solve a config's problem."""
    problem = about.data.get("problem_type")
    return [head for head, outputs in heads if head.solves(problem, outputs)]


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
