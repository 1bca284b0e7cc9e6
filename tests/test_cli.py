"""The command line keeps its contract: one JSON document on stdout, exit status 0, 1 or 2, errors in one line."""

import json
import sys

import pytest

from dbpsim.cli import main

SMALL = "mlp:64-12-10"  # for the embedded digits, 8 x 8


def run(capsys, *argv):
    """Return exit status, stdout and stderr of one command."""
    try:
        status = main(list(argv))
    except SystemExit as left:
        status = left.code
    out, err = capsys.readouterr()
    return status, out, err


def document(out):
    return json.loads(out, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))


@pytest.mark.parametrize(
    "argv",
    [
        ("devices",),
        ("verify", SMALL),
        ("verify", SMALL, "--eta", "0.8", "--dtype", "float64", "--coordinates", "xz", "--coupling", "split"),
        ("verify", SMALL, "--schedule", "wavefront"),
        ("verify", SMALL, "--hardware", "pcm"),
        ("verify", "mlp:5-4-3", "--data", "random"),
        ("train", SMALL, "--limit", "256"),
    ],
    ids=" ".join,
)
def test_json_is_one_document_and_text_is_not_empty(capsys, argv):
    status, out, _ = run(capsys, *argv, "--json")
    assert status == 0
    document(out)
    status, out, _ = run(capsys, *argv)
    assert status == 0
    assert len(out.splitlines()) > 1


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("coordinates", ["ms", "xz"])
def test_verify_shows_exactness_at_twice_the_depth_and_not_before(capsys, dtype, coordinates):
    status, out, _ = run(capsys, "verify", SMALL, "--dtype", dtype, "--coordinates", coordinates, "--json")
    found = document(out)
    assert (status, found["holds"], found["steps"], found["depth"]) == (0, True, 4, 2)
    assert found["relative_error"] <= found["max_error"]
    assert found["relative_error_one_step_before"] > 1e-2
    assert (found["float32_floor"] is None) == (dtype == "float64")
    assert [row["stage"] for row in found["fidelity"]["stages"]] == ["dense1", "dense2"]


def test_verify_exits_one_where_the_error_exceeds_what_is_allowed(capsys):
    argv = ("verify", SMALL, "--hardware", "pcm")
    status, out, err = run(capsys, *argv, "--max-error", "1e-9", "--json")
    found = document(out)
    assert (status, found["holds"], found["max_error"], err) == (1, False, 1e-9, "")
    status, out, _ = run(capsys, *argv, "--max-error", "1e-9")
    assert status == 1
    assert "DOES NOT HOLD" in out
    assert run(capsys, *argv, "--max-error", "100")[0] == 0


def test_verify_repeats_itself_under_one_seed(capsys):
    argv = ("verify", SMALL, "--hardware", "pcm", "--json", "--seed")
    one, again, other = (run(capsys, *argv, seed)[1] for seed in ("1", "1", "2"))
    assert one == again != other


def test_devices_lists_them_in_both_forms(capsys):
    records = document(run(capsys, "devices", "--json")[1])
    _, text, _ = run(capsys, "devices")
    assert len(records) + 1 == len(text.splitlines())
    assert all(record["name"] in text for record in records)


def test_devices_show_gives_figures_with_sources_and_draws_them(capsys, tmp_path):
    status, text, _ = run(capsys, "devices", "show", "stt_mram")
    assert status == 0
    assert "0.0002857 S" in text
    found = document(run(capsys, "devices", "show", "stt_mram", "--json", "--out", str(tmp_path))[1])
    assert found["conductance"]["g_max_S"] == 2.857e-4
    assert (tmp_path / "stt_mram.png").read_bytes().startswith(b"\x89PNG")
    assert found["figure"] == str(tmp_path / "stt_mram.png")


def test_devices_schema_is_json_schema_with_every_section(capsys):
    schema = document(run(capsys, "devices", "schema")[1])
    assert {"conductance", "drift", "update", "faults"} <= schema["properties"].keys()
    assert schema["additionalProperties"] is False
    assert schema["$defs"]["Conductance"]["properties"]["g_max_S"]["exclusiveMinimum"] == 0


@pytest.mark.parametrize(
    ("typed", "words"),
    [(("show",), "found no name"), (("show", "pcmm"), "did you mean pcm?"), (("list", "pcm"), "accepted: with show"),
     (("schema", "--out", "x"), "accepted: with show"), (("show", "nowhere.toml"), "No such file")],
)  # fmt: skip
def test_devices_says_what_is_wrong_in_a_line(capsys, typed, words):
    status, out, err = run(capsys, "devices", *typed)
    assert (status, out) == (2, "")
    assert words in err
    assert len(err.splitlines()) == 1


def test_reports_are_written_compared_and_their_schema_printed(capsys, tmp_path):
    folders = [tmp_path / "1", tmp_path / "0.9"]
    for out_dir in folders:
        argv = ("report", SMALL, "--hardware", "pcm", "--eta", out_dir.name, "--out", str(out_dir), "--json")
        status, out, _ = run(capsys, *argv)
        assert status == 0
        found = document(out)
        assert found["report"] == str(out_dir / "index.html")
        assert {"fidelity", "cost"} <= found.keys()
        data = document((out_dir / "report.json").read_text())
        assert data["command"] == " ".join(("dbpsim", *argv))
        assert 0 < data["settling"]["p50_s"] <= data["settling"]["p95_s"] <= data["settling"]["max_s"]
        assert len(data["settling"]["times_s"]) == 16
        assert (out_dir / "index.html").stat().st_size > 1000
    status, out, _ = run(capsys, "report", "--diff", *map(str, folders), "--out", str(tmp_path / "d"), "--json")
    assert status == 0
    found = document(out)
    changed = {c["path"]: (c["first"], c["second"]) for c in found["settings"]}
    assert changed["facts.eta"] == (1.0, 0.9)
    assert "cost.latency_s" in [c["path"] for c in found["figures"]]
    assert (tmp_path / "d" / "index.html").exists()
    status, out, _ = run(capsys, "report", "--diff", *map(str, folders))
    assert status == 0
    assert "facts.eta: 1 -> 0.9" in out
    status, out, _ = run(capsys, "report", "--schema")
    assert document(out)["title"] == "ReportDocument"


def test_train_writes_its_files_and_goes_on_from_its_checkpoint(capsys, tmp_path):
    argv = ("train", SMALL, "--limit", "256", "--json", "--epochs", "2", "--out", str(tmp_path))
    status, out, _ = run(capsys, *argv)
    assert status == 0
    first = document(out)
    assert [epoch["epoch"] for epoch in first["epochs"]] == [1, 2]
    assert (tmp_path / "curves.png").stat().st_size > 1000
    assert list((tmp_path / "ckpt").glob("*.safetensors"))
    status, out, _ = run(capsys, *argv, "--resume")
    assert status == 0
    assert document(out) == first  # nothing was left to do: even the times are those of the first run
    status, out, err = run(capsys, *argv, "--resume", "--rate", "0.1")
    assert (status, out) == (2, "")
    assert "rate: was 0.05, is 0.1" in err


def test_train_by_relaxation_takes_the_steps_of_backprop(capsys):
    argv = ("train", SMALL, "--limit", "256", "--json", "--dtype", "float64", "--method")
    documents = [document(run(capsys, *argv, method)[1]) for method in ("bp", "relax")]
    assert documents[0]["epochs"][0]["loss"] == documents[1]["epochs"][0]["loss"]  # bit for bit, as the gradients are


@pytest.mark.parametrize("more", [(), ("--average", "0.9"), ("--activation", "gelu")])
def test_evaluate_finds_what_the_training_found_last(capsys, tmp_path, more):
    argv = ("train", SMALL, "--json", "--out", str(tmp_path), "--views", "flip", "--label-smoothing", "0.1", *more)
    last = document(run(capsys, *argv)[1])["epochs"][-1]
    status, out, _ = run(capsys, "evaluate", str(tmp_path), "--data", "digits", "--views", "flip", "--json")
    found = document(out)
    assert (status, found["step"]) == (0, 1500 // 128)
    assert (found["plain"]["accuracy"], found["flip"]["accuracy"]) == (last["test_accuracy"], last["views_accuracy"])
    assert found["plain"]["loss"] == pytest.approx(last["test_loss"], rel=1e-5)
    status, out, _ = run(capsys, "evaluate", str(tmp_path), "--data", "digits")
    assert status == 0
    assert "flip-shift: accuracy" in out


def test_a_recipe_trains_and_another_run_starts_from_its_weights(capsys, tmp_path):
    argv = ("train", "vgg9_fast", "--recipe", "fast", "--limit", "20", "--epochs", "1", "--json")
    first = document(run(capsys, *argv, "--out", str(tmp_path))[1])
    assert first["config"]["schedule"] == "linear"
    assert len(first["config"]["groups"]) == 4
    assert "views_accuracy" in first["epochs"][0]
    frozen = ("--rate", "1e-9", "--momentum", "0", "--weight-decay", "0")
    plain = ("train", "vgg9_fast", "--limit", "20", "--batch", "20", "--json", *frozen)
    again = document(run(capsys, *plain, "--weights", str(tmp_path))[1])
    fresh = document(run(capsys, *plain)[1])
    losses = [found["epochs"][0]["loss"] for found in (again, fresh)]
    assert abs(losses[0] - losses[1]) > 0.01  # it did not begin at fresh weights


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ((), "required"),
        (("verfy", SMALL), "did you mean verify?"),
        (("verify", SMALL, "--coupling", "midpont"), "did you mean midpoint?"),
        (("verify", SMALL, "--dtype", "float16"), "invalid choice"),
        (("verify", SMALL, "--batch", "0"), "accepted: 1 or more"),
        (("verify", SMALL, "--batch", "many"), "invalid"),
        (("verify", SMALL, "--ta", "1"), "unrecognized arguments"),
        (("verify", SMALL, "--etaa", "1"), "dbpsim verify: unrecognized arguments: --etaa 1; did you mean --eta?"),
        (("verify", SMALL, "--btach=4"), "did you mean --batch?"),
        (("verify", SMALL, "--unheard-of"), "unrecognized arguments: --unheard-of\n"),
        (("check", SMALL, "--hardware", "pcm", "again"), "dbpsim check: unrecognized arguments: again\n"),
        (("verify",), "required"),
        (("verify", "vg9"), "accepted: vgg9"),
        (("verify", "mlp:64-x"), "accepted: widths as in"),
        (("verify", SMALL, "--eta", "2.5"), "accepted: 0 < eta < 2"),
        (("verify", SMALL, "--eta", "nan"), "accepted: 0 < eta < 2"),
        (("verify", SMALL, "--eta", "0.5", "--schedule", "wavefront"), "needs eta=1"),
        (("verify", SMALL, "--hardware", "pmc"), "pcm"),
        (("verify", SMALL, "--hardware", "/nowhere/chip.toml"), "chip.toml"),
        (("verify", SMALL, "--data", "digts"), "digits"),
        (("verify", SMALL, "--data", "cifar10", "--path", "/nowhere"), "/nowhere"),
        (("verify", SMALL, "--seed", "-1"), ""),
        (("verify", SMALL, "--normalise"), "accepted: vgg9"),
        (("train", SMALL, "--filter-rate", "0.1"), "accepted: with it"),
        (("verify", "resnet18", "--activation", "gelu"), "found model resnet18"),
        (("report", "--out", "r"), "found no MODEL"),
        (("report", SMALL, "--out", "r", "--compare", "digital-gpu"), "--compare: found no hardware"),
        (("report", SMALL, "--hardware", "pcm", "--out", "r", "--compare", "digital-gpuu"), "did you mean digital-gpu?"),
        (("report", SMALL, "--hardware", "pcm", "--out", "r", "--components", "nowhere.toml"), "nowhere.toml"),
        (("report", SMALL, "--diff", "a", "b"), "accepted: none with --diff"),
        (("report", "--diff", "nowhere", "b"), "nowhere"),
        (("verify", "mlp:63-10"), "63"),
        (("train", SMALL, "--resume"), "--out"),
        (("train", SMALL, "--limit", "0"), "accepted: 1 or more"),
        (("train", SMALL, "--momentum", "2"), "momentum"),
        (("train", SMALL, "--recipe", "fast"), "accepted: vgg9_fast"),
        (("train", SMALL, "--micro-batch", "50"), "a divisor of the batch of 128"),
        (("evaluate", "/nowhere", "--data", "digits"), "found no checkpoint"),
        (("report", SMALL), "--out"),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, tuple) else "",
)
def test_bad_usage_is_one_line_on_stderr_and_status_two(capsys, argv, words):
    status, out, err = run(capsys, *argv)
    assert (status, out) == (2, "")
    assert err.count("\n") == 1
    assert err.startswith("dbpsim")
    assert words in err
    assert "Traceback" not in err


def test_a_relaxation_that_does_not_settle_is_status_one(capsys, monkeypatch):
    room = sys.modules["dbpsim.credit.relax"]  # `dbpsim.relax` the function hides the module of that name
    monkeypatch.setattr(room, "clocks_to", lambda *law: 1)  # a law that allows four steps
    status, out, err = run(capsys, "verify", SMALL, "--eta", "0.5")
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert "stage dense" in err


def test_help_is_status_zero(capsys):
    status, out, _ = run(capsys, "verify", "--help")
    assert status == 0
    assert "--max-error" in out
