"""The page to choose a model from, also in Chromium."""

import html
import json
import re
import shlex
import shutil

import pytest

from bert_tf.methods.compress import compress_page

HOSTILE = "</script><script>alert(1)</script> <b>&amp; \u2028 'x' \"y\""
METRIC = "eval_accuracy"


FILES = {"tensorflow": ("saved_model", ""), "onnxruntime_int8": ("onnx_int8", "/model.onnx")}


def row(model, engine, score, milliseconds, size, **more):
    form, file = FILES[engine]
    return {
        "model": model,
        "folder": f"runs/a b/{model}",
        "engine": engine,
        "parameters": {"dense": 20_000, "0.5": 15_000}.get(model, 10_000),
        "vocab_size": 1000,
        "word_embedding_rank": None,
        "heads": [2, 2],
        "head_sizes": [[16, 16], [16, 16]],
        "neurons": [48, 48],
        "ranks": [{}, {}],
        "score": 0.9,
        "format": form,
        "path": f"/a b/{model}/served/1{file}",
        "exported_score": score,
        "p50_ms": milliseconds,
        "file_bytes": size,
        "flips": 0.0025,
        **more,
    }


def example(text, label, dense, answer):
    return {"texts": [text], "label": label, "dense": dense, "model": answer, "difference": 0.5}


def answers(number=0, examples=()):
    classes = [
        {"label": label, "examples": support, "precision": 0.9, "recall": 0.8, "f1_score": 0.8471}
        for label, support in (("negative", 30), ("positive", 37))
    ]
    return {
        "scores": {"eval_loss": 0.25, METRIC: 0.9},
        "classes": classes,
        "different": {"number": number, "examples": list(examples)},
    }


@pytest.fixture
def report():
    half = {"target": "0.5", "heads": [2, 1], "neurons": [16, 48], "ratio": 0.5}
    words = {"vocab_size": 600, "word_embedding_rank": 12}
    third = {**words, "target": "0.3", "heads": [1, 0], "neurons": [0, 32], "ratio": 0.3}
    third["head_sizes"] = [[8, 16], [16, 16]]
    int8 = "onnxruntime_int8"
    left_out = row("0.2", "tensorflow", None, None, None, target="0.2", left_out="Too far off.")
    for name in ("format", "path", "exported_score", "p50_ms", "file_bytes", "flips"):
        del left_out[name]
    examples = [
        example(HOSTILE, "negative", "negative", "positive"),
        example("a film", "positive", "negative", "positive"),
    ]
    return {
        "engine": int8,
        "optimize_for": "8x128",
        "task": "SST-2",
        "metric": METRIC,
        "split": "dev",
        "text_names": ["text"],
        "dense": {
            **{"vocab_size": 1000, "embedding_size": 24, "hidden_size": 32},
            **{"blocks": 2, "heads": 2, "head_size": 16, "neurons": 48},
        },
        "models": [
            row("dense", int8, 0.92, 20.0, 4_000_000),
            row("dense", "tensorflow", 0.93, 50.0, 12_000_000),
            row("runs/flop/compact", int8, 0.85, 14.0, 3_000_000, ratio=0.7),
            row("0.5", int8, 0.9, 10.0, 2_000_000, ranks=[{}, {"query": 8, "ffn_out": 4}], **half),
            row("0.3", int8, 0.8, 6.0, 1_500_000, float_layers=["a", "b"], **third),
            left_out,
        ],
        "answers": {
            "dense": answers(),
            "runs/flop/compact": answers(),
            "0.5": answers(7, examples),
            "0.3": answers(),
            "0.2": answers(),
        },
    }


def data_of(page):
    return json.loads(
        re.search(r'<script type="application/json" id="report">(.*?)</script>', page)[1]
    )


def test_the_page_holds_the_report_and_its_texts_are_texts(report, tmp_path):
    compress_page.write(report, tmp_path)
    page = (tmp_path / "compress.html").read_text(encoding="utf-8")
    assert data_of(page) == report
    assert page.count("<script") == page.count("</script>") == 2
    assert "&lt;/script&gt;&lt;script&gt;alert(1)" in page
    assert not re.search(r"https?://(?!localhost)|@import|url\(|<link|<img", page)


def text_of(page):
    """The page without tags, and blanks as one."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", page)).split())


def test_the_table_and_the_models(report):
    text = text_of(compress_page.page(report))
    assert "dense onnxruntime_int8 0.9200 20.0 1.00 4.0 0.25% tensorflow 0.9300 50.0 1.00" in text
    assert "runs/flop/compact onnxruntime_int8 0.8500 14.0 0.70 3.0 0.25%" in text
    assert "0.5 onnxruntime_int8 0.9000 10.0 0.50 2.0 0.25%" in text
    assert "0.3 onnxruntime_int8 2 layers in float 0.8000 6.00" in text
    assert "0.2 tensorflow left out: Too far off." in text
    assert "Baseline runs/flop/compact 10,000 parameters, 50% of the dense model" in text
    assert "Network: 3 of 4 heads, 64 of 96 neurons" in text
    assert "1 of 2 heads 48 of 48 neurons Q 8 F2 4" in text
    assert text.count("1,000 of 1,000 words") == 4
    assert "600 of 1,000 words by rank 12 of 24 1 1 of 2 heads, width 8, 16" in text
    assert text.count("width of 16: of a head's query and key, of its value") == 1
    assert "negative 30 0.900 (0.900) 0.800 (0.800) 0.847 (0.847)" in text
    assert "7 examples of dev have another answer than by the dense model; the 2 that" in text
    assert "a film label positive dense model negative ✗ this model positive ✓" in text


def test_a_dense_model_has_the_time_next_to_a_smaller_one(report):
    dense = report["models"][0]
    del dense["p50_ms"]
    assert "dense onnxruntime_int8 0.9200 - - 4.0" in text_of(compress_page.page(report))
    report["models"][3]["dense_p50_ms"] = 21.0
    assert "dense onnxruntime_int8 0.9200 21.0 1.00 4.0" in text_of(compress_page.page(report))


def test_a_dense_model_that_is_left_out_stays_without_a_time(report):
    """Its time was measured next to a smaller model, but nothing of it is served."""
    dense = report["models"][0]
    for name in ("format", "path", "exported_score", "p50_ms", "file_bytes", "flips"):
        del dense[name]
    dense["left_out"] = "Too far off."
    report["models"][3]["dense_p50_ms"] = 21.0
    assert "dense onnxruntime_int8 left out: Too far off." in text_of(compress_page.page(report))


def test_commands_are_quoted(report):
    page = compress_page.page(report)
    commands = re.findall(r"<pre>(.*?)</pre>", page, re.DOTALL)
    commands = [shlex.split(html.unescape(one).replace("\\\n", "")) for one in commands]
    onnx = ["python", "examples/onnx_serving.py"]
    assert commands[:3] == [
        [*onnx, "/a b/dense/served/1/model.onnx"],
        ["examples/serve.sh", "/a b/dense/served"],
        [
            *("python", "examples/serving_client.py", "--model=served"),
            *("--rest=http://localhost:8501", '{"text": ["a good film"]}'),
        ],
    ]
    assert commands[7:10:2] == [
        [*onnx, "/a b/0.5/served/1/model.onnx"],
        [
            *("flop-benchmark", "--model_dirs=/a b/dense/served/1,/a b/0.5/served/1"),
            *("--engines=onnxruntime_int8", "--batch_sizes=8", "--lengths=128"),
            "--output_dir=runs/speed",
        ],
    ]


def test_a_regression(report):
    for one in report["answers"].values():
        one["classes"] = []
    found = [{**example("a film", 1.5, 1.25, 0.5), "texts": ["one", "two"]}]
    report["answers"]["0.5"]["different"] = {"number": 67, "examples": found}
    text = text_of(compress_page.page(report))
    assert "All 67 examples of dev are compared with the dense model's answers; the 1 that" in text
    assert "one two label 1.5000 dense model 1.2500 this model 0.5000" in text
    assert "By class" not in text


def test_a_task_without_an_answer_for_a_text(report):
    for one in report["answers"].values():
        one |= {"classes": [], "different": None}
    text = text_of(compress_page.page(report))
    assert "Only tasks with labels or numbers of a text have examples here." in text


def test_models_that_nothing_timed(report):
    for one in report["models"]:
        one.pop("p50_ms", None)
        one.pop("ratio", None)
    page = compress_page.page(report)
    assert "Score against megabytes" in page and "Score against milliseconds" not in page
    assert "0.5 by onnxruntime_int8: eval_accuracy 0.9000, 2.0 MB." in page


def test_models_that_no_engine_serves(report):
    left_out = report["models"][-1]
    report["models"] = [
        {**left_out, "model": name, "target": target}
        for name, target in (("dense", "1"), ("0.2", "1"))
    ]
    text = text_of(compress_page.page(report))
    assert "Score against" not in text and "Serve it" not in text
    assert "dense tensorflow left out: Too far off." in text


@pytest.fixture(scope="module")
def browser():
    webdriver = pytest.importorskip("selenium.webdriver")
    paths = [shutil.which(name) for name in ("chromium", "chromedriver")]
    if None in paths:
        pytest.skip("No Chromium: install the Debian packages chromium and chromium-driver.")
    options = webdriver.ChromeOptions()
    options.binary_location = paths[0]
    for flag in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--hide-scrollbars"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(paths[1]))
    yield driver
    driver.quit()


@pytest.fixture
def opened(browser, report, tmp_path):
    """The page in a window of 390 pixels, and a function that gives the text of the shown model."""
    compress_page.write(report, tmp_path)
    size = {"width": 390, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get((tmp_path / "compress.html").as_uri())
    yield browser
    assert browser.get_log("browser") == []


def shown(browser):
    (article,) = [one for one in browser.find_elements("tag name", "article") if one.is_displayed()]
    return article


def points(browser, number):
    return browser.find_elements("css selector", f"svg a[href='#model-{number}']")


def test_a_click_changes_the_drawing(opened):
    assert shown(opened).find_element("tag name", "h2").text == "Model 0.5"
    assert len(points(opened, 0)) == 4 and len(points(opened, 3)) == 2  # In both charts.
    before = shown(opened).find_element("tag name", "svg").get_attribute("outerHTML")
    points(opened, 3)[0].click()
    after = shown(opened).find_element("tag name", "svg")
    assert after.get_attribute("outerHTML") != before
    assert "1 of 2 heads" in after.text and "32 of 48 neurons" in after.text
    assert opened.current_url.endswith("#model-3")
    assert [one.get_attribute("aria-current") for one in points(opened, 3)] == ["true"] * 2
    assert points(opened, 2)[0].get_attribute("aria-current") is None
    says = opened.find_element("id", "says").text
    assert says == (
        "0.3 by onnxruntime_int8: eval_accuracy 0.8000, 6.00 ms (0.30 of the dense model), 1.5 MB."
    )


def test_keys_reach_the_points(opened):
    keys = pytest.importorskip("selenium.webdriver.common.keys").Keys
    body = opened.find_element("tag name", "body")
    body.send_keys(keys.TAB)
    focused = opened.switch_to.active_element
    assert focused.get_attribute("href") is not None
    assert opened.find_element("id", "says").text.startswith("dense by onnxruntime_int8")
    focused.send_keys(keys.ENTER)
    assert shown(opened).find_element("tag name", "h2").text == "Dense model"


def test_a_link_opens_the_model_that_it_names(opened):
    opened.get(f"{opened.current_url}#model-3")
    opened.refresh()
    assert shown(opened).find_element("tag name", "h2").text == "Model 0.3"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_can_be_read_at_390_pixels(opened, scheme):
    feature = {"name": "prefers-color-scheme", "value": scheme}
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    assert opened.execute_script("return document.documentElement.scrollWidth") == 390
    sizes = opened.execute_script(
        "return [...document.querySelectorAll('figure svg text')].filter(x => x.checkVisibility())"
        ".map(x => parseFloat(getComputedStyle(x).fontSize) * x.getScreenCTM().a)"
    )
    assert min(sizes) > 9.5
    text, page = opened.execute_script(
        "const style = getComputedStyle(document.body); return [style.color, style.backgroundColor]"
    )
    brightness = [sum(map(int, re.findall(r"\d+", color)[:3])) for color in (text, page)]
    assert (brightness[0] > brightness[1]) == (scheme == "dark")
    assert abs(brightness[0] - brightness[1]) > 450


def test_hostile_texts_are_shown_and_not_run(opened):
    assert HOSTILE.split()[0] in shown(opened).find_element("tag name", "ol").text
    assert opened.execute_script("return JSON.parse(report.textContent).models.length") == 6
