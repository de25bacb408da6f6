from bert_tf.runs import run_search


def test_folders_that_hold_a_file(tmp_path):
    for name in ("b/run", "a/deep", "a", ".hidden", "a/.hidden/deep", "none"):
        (tmp_path / name).mkdir(parents=True, exist_ok=True)
    for name in ("b/run", "a/deep", "a", ".hidden", "a/.hidden/deep"):
        (tmp_path / name / "run.flags").write_text("")
    (tmp_path / "damaged/run.flags").mkdir(parents=True)
    found = [
        path.removeprefix(f"{tmp_path}/") for path in run_search.holding(str(tmp_path), "run.flags")
    ]
    assert found == ["a", "a/deep", "b/run", "damaged"]
    assert list(run_search.holding(str(tmp_path / "b/run"), "run.flags")) == [f"{tmp_path}/b/run"]
    assert list(run_search.holding(str(tmp_path / "none"), "run.flags")) == []
