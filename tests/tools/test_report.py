from flop_tools import report


def test_report(call, tmp_path, capsys):
    folder = tmp_path / "runs" / "half"
    folder.mkdir(parents=True)
    (folder / "run.flags").write_text("--init_checkpoint=/bert\n--output_dir=/runs/half\n")
    assert call(report, f"--runs_dir={tmp_path / 'runs'}") is None
    assert capsys.readouterr().out.startswith("## Best of each task\n\nNone.\n")
    names = ["half", "report.html", "report.json", "report.md"]
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == names
    out = tmp_path / "elsewhere"
    assert call(report, f"--runs_dir={tmp_path / 'runs'}", f"--output_dir={out}") is None
    assert "unfinished" in (out / "report.md").read_text()


def test_bad_input(call, tmp_path):
    end = call(report, f"--runs_dir={tmp_path}")
    assert end == (
        f"report: error: The folder '{tmp_path}' holds no runs: no run.flags lies in it or in a "
        "folder below it."
    )
