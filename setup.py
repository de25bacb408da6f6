"""Installs the libraries `flop_tf` and `bert_tf`, and the folder `tools` as `flop_tools`."""

import setuptools

TOOLS = (
    "analyze_tickets",
    "attention_patterns",
    "benchmark",
    "compare_masks",
    "compress",
    "diff",
    "diff_prune",
    "evaluate",
    "export",
    "factorize",
    "fetch_minilm",
    "find_tickets",
    "finetune",
    "make_demo_task",
    "make_mask",
    "remove_mask",
    "report",
    "share_tickets",
    "sweep",
    "train_mask",
    "train_tickets",
)

setuptools.setup(
    name="flop-tf",
    version="0.1.0",
    description="Structured pruning of BERT by factorized projections with L0 gates (FLOP)",
    license="Apache-2.0",
    python_requires=">=3.11,<3.13",  # On 3.10 pip finds no set of versions for all of these.
    packages=[*setuptools.find_packages(include=["flop_tf*", "bert_tf*"]), "flop_tools"],
    package_dir={"flop_tools": "tools"},
    package_data={
        "bert_tf.data": ["demo_words.json"],
        "bert_tf.methods.compress": ["*.html", "*.css"],
    },
    entry_points={
        "console_scripts": [
            f"flop-{tool.replace('_', '-')} = flop_tools.{tool}:run" for tool in TOOLS
        ]
    },
    install_requires=[
        # One TensorFlow release: the four are built against each other.
        "tensorflow==2.20.*",
        "tf_keras==2.20.*",
        "tensorflow-text==2.20.*",
        "tf-models-official==2.20.*",
        # tf-models imports these two and leaves their versions open; with these it was tested.
        "tensorflow-model-optimization>=0.8.1,<0.9",
        "tensorflow-datasets>=4.9.9,<5",
        # tensorflow-datasets imports it to prepare a data set and does not ask for it.
        "importlib_resources>=6,<8",
        # tensorflow-model-optimization 0.8 does not accept 2.
        "absl-py>=1.4,<2",
        # 1 may change the functions that read and write files.
        "safetensors>=0.5,<1",
        # From these releases on NumPy 2 is supported, which TensorFlow 2.20 brings along.
        "scikit-learn>=1.5,<2",
        # Scores of entities as CoNLL counts them.
        "seqeval>=1.2.2,<2",
        "scipy>=1.13,<2",
        "matplotlib>=3.9,<4",
        # The tables of a report; tabulate is what pandas writes Markdown with.
        "pandas>=2.2,<4",
        "tabulate>=0.9,<1",
        # The page of flop-compress; it escapes every text.
        "jinja2>=3.1,<4",
        # Checks what JSON files say against declared shapes; small, and needs nothing itself.
        "msgspec>=0.19,<1",
        # The tokenizers of RoBERTa and XLM-R; the oracle for what is read of a tokenizer.json.
        "tokenizers>=0.21,<1",
        # The progress line.
        "tqdm>=4.66,<5",
    ],
    extras_require={
        # The minor release of ruff is fixed since each one formats a little differently.
        # xdist runs test files side by side.
        # selenium clicks in Chromium, where that is installed.
        "test": [
            "pytest>=8,<10",
            "pytest-xdist>=3.6,<4",
            "ruff==0.17.*",
            "selenium>=4.20,<5",
        ],
        # CUDA libraries as wheels, of the versions that this TensorFlow was built with.
        "gpu": ["tensorflow[and-cuda]==2.20.*"],
        "export": [
            # The messages of requests: in the warm-up file of a SavedModel and over gRPC.
            "tensorflow-serving-api==2.20.*",
            # From this release on the converter knows NumPy 2.
            "tf2onnx>=1.17,<2",
            "onnx>=1.18,<2",
            # It runs what was converted.
            "onnxruntime>=1.20,<2",
            # It runs LiteRT files; TensorFlow's own interpreter is about to go.
            "ai-edge-litert>=1.2,<3",
        ],
        # One more engine for ONNX files; from this release on it knows NumPy 2.
        "openvino": ["openvino>=2024.6,<2027"],
        "analysis": [
            # Cochran's Q and Fleiss' kappa; from this release on it imports beside SciPy 1.16.
            "statsmodels>=0.14.5,<0.16",
            # Krippendorff's alpha, which statsmodels has not.
            "krippendorff>=0.8,<1",
        ],
    },
)
