"""Keys: what is read from a `.env`, and what is masked wherever it is written."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from places import ROOT

from tclue.errors import UserError
from tclue.secrets import error_line, load_env, mask

SECRET = 'pl"anted\\é-0123456789'


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.endswith(("_KEY", "_TOKEN"))]:
        monkeypatch.delenv(name)
    # What a test takes from a file is gone after it.
    monkeypatch.setattr(os, "environ", os.environ.copy())


def test_a_file_gives_the_keys_that_the_environment_lacks(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text(
        "# mine\nexport ONE_API_KEY='first key'\nTWO_TOKEN=second\nOPENAI_API_KEY=of-the-file\n"
        "THREE_KEY=third\nAWS_ACCESS_KEY_ID=fourth\nAWS_REGION=x\nKEY_FILE=x\n"
        "EMPTY_API_KEY=\nHTTPS_PROXY=http://elsewhere\nPATH=/nowhere\n"
    )
    os.environ["OPENAI_API_KEY"] = "of-the-environment"
    before = os.environ["PATH"]
    load_env(path)
    assert os.environ["ONE_API_KEY"] == "first key"
    assert os.environ["TWO_TOKEN"] == "second"
    assert os.environ["THREE_KEY"] == "third"
    assert os.environ["AWS_ACCESS_KEY_ID"] == "fourth"
    assert os.environ["OPENAI_API_KEY"] == "of-the-environment"
    assert os.environ["PATH"] == before
    assert not {"EMPTY_API_KEY", "HTTPS_PROXY", "AWS_REGION", "KEY_FILE"} & set(os.environ)


def test_no_file_is_none_and_rubbish_is_one_line(tmp_path: Path) -> None:
    load_env(tmp_path / ".env")
    (tmp_path / ".env").write_bytes(b"A_KEY=\xff\xfe\n")
    with pytest.raises(UserError, match=r"\.env: cannot be read"):
        load_env(tmp_path / ".env")


def test_values_of_keys_are_masked_in_every_form() -> None:
    os.environ |= {"ODD_API_KEY": SECRET, "LONGER_KEY": f"{SECRET}-and-more", "SHORT_KEY": "none"}
    text = f"{SECRET} {json.dumps(SECRET)} {SECRET!r} {SECRET}-and-more none"
    assert mask(text) == "[ODD_API_KEY] \"[ODD_API_KEY]\" '[ODD_API_KEY]' [LONGER_KEY] none"
    assert "planted" not in error_line(f"no, {SECRET}")


@pytest.mark.server
def test_a_screen_a_log_and_a_traceback_hold_no_key(tmp_path: Path) -> None:
    code = """
import logging, os, sys
from tclue.secrets import guard
guard()
secret = os.environ["ODD_API_KEY"]
logging.basicConfig()
logging.warning("sent %s", secret)
print("out", secret)
raise ValueError(f"not accepted: {secret}")
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "ODD_API_KEY": "planted-0123456789", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "planted" not in done.stdout + done.stderr
    assert done.stdout == "out [ODD_API_KEY]\n"
    assert "sent [ODD_API_KEY]" in done.stderr
    assert "ValueError: not accepted: [ODD_API_KEY]" in done.stderr
