"""Options of a run, composed of groups; each flag of a program is a field of one of them."""

from bert_tf.runs.options.finetune import FinetuneOptions
