"""Run folders: durable lines, torn ones, full disks, locks, secrets, and counting anew."""

import asyncio
import errno
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import time
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from bench_support import KEY, bench, spawn, the_run, write_puzzles

from tclue.bench.records import FORMAT, RunConfig, iter_responses, read_config, read_run
from tclue.bench.runs.run_folder import RunFolder
from tclue.errors import UserError
from tclue.strict import read


@pytest.fixture
def finished(tmp_path: Path) -> tuple[Path, Path, Path]:
    """The puzzles, the results and the one run folder of a finished run."""
    puzzles, _ = write_puzzles(tmp_path, 5)
    results = tmp_path / "results"
    bench("random", puzzles, results)
    (folder,) = results.iterdir()
    return puzzles, results, folder


def config(results: Path) -> RunConfig:
    return the_run(results).config


def test_what_a_run_folder_holds(finished: tuple[Path, Path, Path]) -> None:
    _, results, folder = finished
    assert sorted(path.name for path in folder.iterdir()) == [
        "responses.jsonl",
        "run.json",
        "summary.json",
    ]
    assert folder.name == config(results).run_name
    assert folder.name.startswith("random--easy5--")
    summary = json.loads((folder / "summary.json").read_text())
    assert (summary["responses"], summary["cost_usd"]) == (5, 0.0)
    record = json.loads((folder / "responses.jsonl").read_text().split("\n")[0])
    assert record["grade"]["accuracy"] <= 1
    assert record["grader"] == "sound"


def test_the_name_changes_with_what_shapes_responses_and_with_nothing_else(
    finished: tuple[Path, Path, Path],
) -> None:
    base = config(finished[1])
    same = [
        replace(base, concurrency=7),
        replace(base, timeout_s=1.0, silence_timeout_s=1.0),
        replace(base, prices=replace(base.prices, source="unknown")),
        replace(base, grader="published"),
        replace(base, commit="0" * 40, versions={}, given=("seed",)),
    ]
    others = [
        replace(base, model="solver"),
        replace(base, seed=1),
        replace(base, samples=2),
        replace(base, limit=3),
        replace(base, temperature=0.5),
        replace(base, max_tokens=5),
        replace(base, puzzle_sha256="0" * 64),
        replace(base, api_base="http://localhost:1/v1"),
        replace(base, checkpoint="0" * 64),
    ]
    assert {changed.run_name for changed in same} == {base.run_name}
    assert len({changed.run_name for changed in [base, *others]}) == 1 + len(others)


def test_a_finished_run_is_left_alone(finished: tuple[Path, Path, Path]) -> None:
    puzzles, results, folder = finished
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    bench("random", puzzles, results)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("cut", [1, 40, -1])
def test_a_torn_last_line_is_mended(finished: tuple[Path, Path, Path], cut: int) -> None:
    puzzles, results, folder = finished
    path = folder / "responses.jsonl"
    *complete, last, _ = path.read_bytes().split(b"\n")
    path.write_bytes(b"".join(line + b"\n" for line in complete) + last[:cut])
    assert len(read_run(folder).responses) == 4  # a reader meanwhile leaves it out
    bench("random", puzzles, results)
    run = read_run(folder)
    assert [response.pair for response in run.responses[:4]] == [
        (json.loads(line)["puzzle"], 0) for line in complete
    ]
    assert len({response.pair for response in run.responses}) == 5 == len(run.responses)


@pytest.mark.parametrize(
    ("rubbish", "message"),
    [
        ("not json", "not JSON"),
        ("[]", "all of it is []: expected fields with values"),
        ('{"puzzle": 1}', "puzzle is 1: expected a text"),
        ("3", "all of it is 3: expected fields with values"),
        ('"text"', 'all of it is "text": expected fields with values'),
        ("", "not JSON"),
    ],
)
def test_a_line_that_no_run_wrote_is_named(
    finished: tuple[Path, Path, Path], rubbish: str, message: str
) -> None:
    puzzles, results, folder = finished
    path = folder / "responses.jsonl"
    lines = path.read_text().split("\n")
    path.write_text("\n".join([lines[0], rubbish, *lines[1:]]))
    with pytest.raises(UserError, match=re.escape(f"responses.jsonl, line 2: {message}")):
        bench("random", puzzles, results)


def test_a_damaged_configuration_is_named(finished: tuple[Path, Path, Path]) -> None:
    puzzles, results, folder = finished
    (folder / "run.json").write_text("{")
    with pytest.raises(UserError, match=r"run\.json: not JSON"):
        bench("random", puzzles, results)


def test_a_price_that_is_none_is_named(finished: tuple[Path, Path, Path]) -> None:
    puzzles, results, folder = finished
    data = json.loads((folder / "run.json").read_text())
    message = r"run\.json: prices\.completion_usd_per_million is .*: expected "
    for price in ("NaN", "-1", '"3"'):
        data["prices"]["completion_usd_per_million"] = json.loads(price)
        (folder / "run.json").write_text(json.dumps(data))
        with pytest.raises(UserError, match=message):
            bench("random", puzzles, results)


def test_a_puzzle_of_no_file_is_named_before_anything_is_counted_anew(
    finished: tuple[Path, Path, Path],
) -> None:
    puzzles, results, folder = finished
    path = folder / "responses.jsonl"
    first, *others = path.read_text().splitlines(True)
    path.write_text("".join([json.dumps(json.loads(first) | {"puzzle": "other"}) + "\n", *others]))
    before = path.read_bytes()
    with pytest.raises(UserError, match=r"responses\.jsonl: other is not a puzzle of"):
        bench("random", puzzles, results, grader="published")
    assert path.read_bytes() == before


@pytest.mark.server
def test_two_processes_do_not_write_one_run(finished: tuple[Path, Path, Path]) -> None:
    puzzles, results, _ = finished
    with RunFolder(results, config(results)):
        second = spawn("random", puzzles, results)
        _, errors = second.communicate()
    assert second.returncode == 2
    assert "another process is writing this run" in errors
    assert len(errors.strip().splitlines()) == 1
    bench("random", puzzles, results)  # the lock went with its holder


def test_a_file_system_without_locks(
    finished: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, results, _ = finished

    def flock(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("tclue.journal.fcntl.flock", flock)
    with pytest.raises(UserError, match="cannot be locked: No locks available"):
        RunFolder(results, config(results))


@pytest.mark.slow
@pytest.mark.server
def test_killed_over_and_over_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    puzzles, _ = write_puzzles(tmp_path, 40)
    results = tmp_path / "results"
    sizes = [0]
    for kill in range(4):
        process = spawn("random", puzzles, results, samples=40)
        path = None
        while path is None or path.stat().st_size <= sizes[-1] + 3000 * kill:
            path = next(results.glob("*/responses.jsonl"), None)
            assert process.poll() is None, process.communicate()
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        sizes.append(path.stat().st_size)
    assert len(the_run(results).responses) < 1600
    bench("random", puzzles, results, samples=40)
    pairs = [response.pair for response in the_run(results).responses]
    assert len(pairs) == 1600 == len(set(pairs))


def full_disk_told(process: "subprocess.Popen[str]", reason: str) -> None:
    _, errors = process.communicate()
    last = errors.strip().splitlines()[-1]
    assert process.returncode == 2, errors
    assert "Traceback" not in errors
    assert "cannot be written" in last
    assert reason in last
    assert "the same command resumes" in last


@pytest.mark.server
def test_a_file_that_may_not_grow(tmp_path: Path) -> None:
    puzzles, _ = write_puzzles(tmp_path, 20)
    results = tmp_path / "results"
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    # Inherited by the process; Python ignores the signal, so a write fails with EFBIG.
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, old[1]))
    try:
        process = spawn("random", puzzles, results)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    full_disk_told(process, "File too large")
    recorded = the_run(results).responses
    assert 0 < len(recorded) < 20
    (folder,) = results.iterdir()
    assert (folder / "responses.jsonl").read_bytes().endswith(b"}\n")
    bench("random", puzzles, results)
    assert the_run(results).responses[: len(recorded)] == recorded
    assert len(the_run(results).responses) == 20


@pytest.mark.server
def test_a_full_disk(tmp_path: Path) -> None:
    puzzles, _ = write_puzzles(tmp_path, 60)
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs to mount a file system of 32 kB, which only root may do")
    try:
        full_disk_told(spawn("random", puzzles, disk / "results"), "No space left on device")
        recorded = the_run(disk / "results").responses
        assert 0 < len(recorded) < 60
        shutil.copytree(disk / "results", tmp_path / "results")
    finally:
        subprocess.run(["umount", str(disk)], check=True)
    bench("random", puzzles, tmp_path / "results")
    assert the_run(tmp_path / "results").responses[: len(recorded)] == recorded
    assert len(the_run(tmp_path / "results").responses) == 60


def test_a_secret_in_a_text_is_masked(
    finished: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, results, folder = finished
    monkeypatch.setenv("SOME_API_KEY", KEY)
    (first, *_) = the_run(results).responses
    with RunFolder(results, config(results)) as opened:
        asyncio.run(opened.record(replace(first, text=f"your key is {KEY}", model_id=KEY)))
        opened.amend(sent={"url": f"http://localhost/{KEY}"})
    assert KEY not in (folder / "responses.jsonl").read_text()
    assert "http://localhost/[SOME_API_KEY]" in (folder / "run.json").read_text()
    assert read_run(folder).responses[-1].text == "your key is [SOME_API_KEY]"


def test_a_secret_that_is_the_name_of_a_field(
    finished: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, results, folder = finished
    monkeypatch.setenv("DB_PASSWORD", "latency_s")
    (first, *_) = the_run(results).responses
    with RunFolder(results, config(results)) as opened:
        asyncio.run(opened.record(replace(first, text="it is latency_s")))
    assert read_run(folder).responses[-1].text == "it is [DB_PASSWORD]"


def test_texts_that_no_file_can_hold(finished: tuple[Path, Path, Path]) -> None:
    _, results, folder = finished
    (first, *_) = the_run(results).responses
    text = "half a pair \ud83d, a line\u2028break, a nul \0, \r\n"
    with RunFolder(results, config(results)) as opened:
        asyncio.run(opened.record(replace(first, text=text)))
    assert read_run(folder).responses[-1].text == text.replace("\ud83d", "?")


def test_another_grader_counts_anew_without_asking(finished: tuple[Path, Path, Path]) -> None:
    puzzles, results, folder = finished
    before = read_run(folder)
    assert bench("random", puzzles, results, grader="published").grader == "published"
    after = read_run(folder)
    assert [r.text for r in after.responses] == [r.text for r in before.responses]
    assert [r.at for r in after.responses] == [r.at for r in before.responses]
    assert {r.grader for r in after.responses} == {"published"} == {after.config.grader}
    # Not given, the grader of the folder holds; given again, the first one is back.
    assert bench("random", puzzles, results).grader == "published"
    bench("random", puzzles, results, grader="sound")
    assert read_run(folder) == before


def test_a_folder_of_a_newer_format_is_told_and_left_alone(
    finished: tuple[Path, Path, Path],
) -> None:
    puzzles, results, folder = finished
    data = json.loads((folder / "run.json").read_text())
    for version in (FORMAT + 1, "3", 0, None):
        (folder / "run.json").write_text(json.dumps(data | {"format": version}))
        before = {path.name: path.read_bytes() for path in folder.iterdir()}
        message = rf"run\.json: its format is {json.dumps(version)}: expected at most {FORMAT}; a "
        with pytest.raises(UserError, match=message):
            bench("random", puzzles, results)
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_folder_of_another_puzzle_file_is_told_and_left_alone(
    finished: tuple[Path, Path, Path],
) -> None:
    puzzles, results, folder = finished
    data = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(data | {"puzzle_sha256": "0" * 64}))
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(UserError, match=r"describes the run random--easy5--\w+: expected a"):
        bench("random", puzzles, results)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_responses_without_their_configuration_are_left_alone(
    finished: tuple[Path, Path, Path],
) -> None:
    puzzles, results, folder = finished
    (folder / "run.json").unlink()
    before = (folder / "responses.jsonl").read_bytes()
    with pytest.raises(UserError, match=r"run\.json: cannot be read"):
        bench("random", puzzles, results)
    assert (folder / "responses.jsonl").read_bytes() == before


def test_keys_hang_on_what_shapes_a_response_and_on_nothing_else(
    finished: tuple[Path, Path, Path],
) -> None:
    base = replace(config(finished[1]), request={"model": "m", "temperature": 1.0})
    key = base.response_key()("a prompt", 0)
    same = [
        replace(base, samples=9, limit=3, puzzle_set="other", puzzle_sha256="0" * 64),
        replace(base, grader="published", concurrency=1, stream=True),
        replace(base, timeout_s=1.0, silence_timeout_s=1.0),
        replace(base, request={**base.request, "stream": True, "stream_options": {"x": 1}}),
    ]
    others = [
        replace(base, model="solver"),
        replace(base, seed=1),
        replace(base, api_base="http://localhost:1/v1"),
        replace(base, request={**base.request, "thinking": {"budget_tokens": 1}}),
    ]
    assert {config.response_key()("a prompt", 0) for config in same} == {key}
    keys = [config.response_key()("a prompt", 0) for config in others]
    keys += [base.response_key()("a prompt", 1), base.response_key()("another", 0)]
    assert len({key, *keys}) == 1 + len(keys)
    recorded = the_run(finished[1]).responses
    assert len({response.key for response in recorded}) == len(recorded)


def test_a_record_of_another_key_is_asked_again(finished: tuple[Path, Path, Path]) -> None:
    puzzles, results, folder = finished
    path = folder / "responses.jsonl"
    first, *others = path.read_text().splitlines(True)
    path.write_text("".join([json.dumps(json.loads(first) | {"key": "0" * 16}) + "\n", *others]))
    bench("random", puzzles, results)
    assert len(read_run(folder).responses) == 6


def test_responses_one_after_another_without_texts(finished: tuple[Path, Path, Path]) -> None:
    _, _, folder = finished
    with_texts, without_texts = (
        list(iter_responses(folder, read_config(folder), texts=texts)) for texts in (True, False)
    )
    assert all(response.text for response in with_texts)
    assert not any(response.text for response in without_texts)
    assert [replace(response, text="") for response in with_texts] == without_texts


def test_a_run_written_before_keeps_its_name_and_its_keys(
    finished: tuple[Path, Path, Path],
) -> None:
    """A temperature of 0 is not one of 0.0: both have been written, and names hang on them."""
    _, _, folder = finished
    path = folder / "run.json"
    names = set()
    for written in (0, 0.0):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"temperature": written}))
        written_config = read(RunConfig, json.loads(path.read_text()), "run.json")
        names.add(written_config.run_name)
        assert type(written_config.temperature) is type(written)
    assert len(names) == 2


@pytest.mark.parametrize("name", [field.name for field in fields(RunConfig)])
def test_what_a_configuration_must_say(finished: tuple[Path, Path, Path], name: str) -> None:
    _, results, folder = finished
    data = json.loads((folder / "run.json").read_text())
    data.pop(name, None)
    (folder / "run.json").write_text(json.dumps(data))
    defaults = "concurrency timeout_s stream api_base request reasoning checkpoint dtype trained"
    added = ("silence_timeout_s", "terms", "sent", "prompts_sha256", "grader_version", "format")
    if name in (*defaults.split(), *added, "versions", "commit"):
        assert config(results)
        return
    with pytest.raises(UserError, match=rf"run\.json: {name} is missing"):
        config(results)


def test_a_difficulty_that_is_no_text_is_recorded_as_one(tmp_path: Path) -> None:
    puzzles, _ = write_puzzles(tmp_path, 2)
    lines = [json.loads(line) | {"difficulty": 3} for line in puzzles.read_text().splitlines()]
    puzzles.write_text("".join(json.dumps(line) + "\n" for line in lines))
    bench("random", puzzles, tmp_path / "results")
    assert {response.difficulty for response in the_run(tmp_path / "results").responses} == {"3"}


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("responses.jsonl", {"usage": {"completion_tokens": 10**400}}),
        ("responses.jsonl", {"cost_usd": 1e308}),
        ("responses.jsonl", {"cost_parts": {"prompt_usd": 1e308, "completion_usd": 1e308}}),
        ("responses.jsonl", {"compute_s": 1e308}),
        ("responses.jsonl", {"tries": 10**400}),
        ("run.json", {"puzzles": 10**400}),
        ("run.json", {"samples": 10**400}),
        ("run.json", {"concurrency": 10**13}),
    ],
)
def test_absurd_numbers_are_refused_in_one_line(
    tmp_path: Path, file: str, change: dict[str, Any]
) -> None:
    path, _ = write_puzzles(tmp_path, 1)
    bench("random", path, tmp_path / "r")
    (folder,) = (tmp_path / "r").iterdir()
    data = json.loads((folder / file).read_text())
    (folder / file).write_text(json.dumps({**data, **change}) + "\n")
    with pytest.raises(UserError, match=r"expected at most 1e\+12") as error:
        read_run(folder)
    assert "\n" not in str(error.value)


def test_rescued_responses_are_added_once(finished: tuple[Path, Path, Path]) -> None:
    puzzles, results, folder = finished
    file = folder / "responses.jsonl"
    lines = file.read_bytes().splitlines(keepends=True)
    rescued = folder / f"rescued-{folder.name[-8:]}-x.jsonl"
    for grader in ("sound", "published"):  # another grader changes the lines
        rescued.write_bytes(b"".join(lines))
        file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[:2]))
        bench("random", puzzles, results, grader=grader)
        assert not rescued.exists()
        assert len(the_run(results).responses) == len(lines)
    rescued.write_bytes(b"".join(lines))  # again, although all are there
    bench("random", puzzles, results)
    assert len(the_run(results).responses) == len(lines)


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("rescued-00000000-x.jsonl", b"", "belongs to another run: move it to that run's folder"),
        ("rescued-{}-x.jsonl", b'{"puzzle": 1', r"rescued-\w+-x\.jsonl, line 1: "),
    ],
)
def test_a_rescued_file_that_is_not_of_the_run_is_refused(
    finished: tuple[Path, Path, Path], name: str, text: bytes, told: str
) -> None:
    puzzles, results, folder = finished
    rescued = folder / name.format(folder.name[-8:])
    rescued.write_bytes(text)
    with pytest.raises(UserError, match=told):
        bench("random", puzzles, results)
    assert rescued.read_bytes() == text


def test_what_can_be_saved_nowhere_is_counted(
    finished: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, results, folder = finished
    count = len(the_run(results).responses)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("tclue.journal.tempfile.mkstemp", full)
    with pytest.raises(UserError, match=rf"was removed or replaced .*\. Lost: {count} responses$"):  # noqa: SIM117
        with RunFolder(results, config(results)):
            (folder / "responses.jsonl").unlink()
