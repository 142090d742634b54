"""The model registry: the shipped one holds, a typo is told, and a name means what it should.

Every model ends some day. A test about one that still runs sets the day, so that it holds in any
year; the last test runs all the others in 2030.
"""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bench_support import (
    KEY,
    Answer,
    Silent,
    _Handler,
    bench,
    completion,
    serving,
    the_run,
    write_puzzles,
)
from commands import call, refused
from places import ROOT

from tclue.bench.costs.cost import Prices
from tclue.bench.models import hosted, resolve
from tclue.bench.models.listing import list_models
from tclue.bench.models.reasoning import plan
from tclue.bench.models.registry import is_served_as, load, lookup, parse_setting
from tclue.bench.models.resolve import resolve_all
from tclue.bench.records import read_run
from tclue.bench.runs.run import BenchOptions, StopError, run_models
from tclue.errors import UserError

ALIASES = (
    "claude claude-3.7 deepseek-r1 o1 o3-mini gpt-5 gemini-2.5 qwen-2.5-14b qwen-2.5-32b "
    "llama-3.1-8b llama-3.3-70b r1-distill-llama-70b"
)
MINE = """
[keys]
corner = ["CORNER_KEY"]
[models.mine]
about = "my own"
weights = "me/mine"
variants = ["none", "8k"]
reasoning = { kind = "budget", off = "unset" }
checked = 2026-11-24
sources = ["me"]
hosts = [{ litellm = "corner/mine", max_output_tokens = 32_000, served_as = ["mine*"] }]
"""


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No real key and no registry of whoever runs the tests."""
    for name in [name for name in os.environ if name.endswith("_API_KEY")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def user_registry(tmp_path: Path, text: str = MINE) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_shipped_aliases_hold() -> None:
    shipped, litellm = load(None), hosted.load_litellm()
    assert set(ALIASES.split()) <= set(shipped.models)
    for alias, facts in shipped.models.items():
        assert facts.sources
        for host in facts.hosts:
            _, provider, _, _ = litellm.get_llm_provider(host.litellm)
            assert provider == host.provider
            # What litellm asks for is what the registry asks for.
            assert set(litellm.validate_environment(host.litellm)["missing_keys"]) == set(
                shipped.keys[provider]
            )
            listed = litellm.model_cost.get(host.litellm) or litellm.model_cost.get(
                host.litellm.removeprefix(f"{provider}/"), {}
            )
            if host.max_output_tokens and listed.get("max_output_tokens"):
                assert host.max_output_tokens == listed["max_output_tokens"], host
            model = resolve.registered_capabilities(alias, facts, host)
            for text in facts.variants:
                assert plan(model, parse_setting(text), BenchOptions(), Prices("free", "")).request


def test_the_settings_of_a_name() -> None:
    shipped = load(None)

    def settings(name: str) -> list[str | None]:
        return [setting.text if setting else None for setting in lookup(name, shipped).settings]

    assert settings("claude") == ["none", "16k", "64k"]
    assert settings("claude@24k") == ["24k"]
    assert settings("o3-mini") == ["medium", "high"]
    assert settings("deepseek-r1") == [None]
    assert settings("openai/gpt-5.6-luna@xhigh") == ["xhigh"]
    assert settings("openai/gpt-5.6-luna") == [None]
    match = lookup("qwen-2.5-14b=served/name@x", shipped)
    assert (match.alias, match.server_name) == ("qwen-2.5-14b", "served/name@x")
    # A host's own name finds the facts; a name with an @ of its own is left whole.
    match = lookup("novita/deepseek/deepseek-r1-turbo", shipped)
    assert match.host is not None
    assert (match.alias, match.host.max_output_tokens) == ("deepseek-r1", 16_000)
    assert lookup("vertex_ai/claude-sonnet-4-5@20250929", shipped).name.endswith("@20250929")
    with pytest.raises(UserError, match=r"unknown variant 'claude@16kk'.*claude@none, claude@16k"):
        lookup("claude@16kk", shipped)


def test_budgets_as_they_are_written() -> None:
    budgets = {text: parse_setting(text) for text in ("16k", "1024", "0", "0k", "1.5k", "k", "-1")}
    assert [s and s.budget_tokens for s in budgets.values()] == [16_000, 1024, *[None] * 5]


def test_served_as() -> None:
    names = ("gpt-5", "gpt-5-2025*")
    assert is_served_as("gpt-5", names)
    assert is_served_as("gpt-5-2025-08-07", names)
    assert not is_served_as("gpt-5-mini", names)
    assert is_served_as("whatever", ())


def test_ones_own_file_is_merged_key_by_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = user_registry(tmp_path, MINE + '[models.claude]\nvariants = ["32k"]\n')
    merged, shipped = load(path), load(None)
    assert merged.models["claude"].variants == ("32k",)
    assert merged.models["claude"].hosts == shipped.models["claude"].hosts
    assert merged.models["mine"].hosts[0].provider == "corner"
    assert merged.keys["openai"] == shipped.keys["openai"]
    usual = tmp_path / "config" / "tclue" / "models.toml"
    usual.parent.mkdir(parents=True)
    usual.write_text(MINE, encoding="utf-8")
    assert "mine" in load(None).models
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert "mine" not in load(None).models
    (tmp_path / "config").rename(tmp_path / ".config")
    assert "mine" in load(None).models


def test_the_registry_in_the_documentation_is_one(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "reference" / "models.md").read_text(encoding="utf-8")
    path = user_registry(tmp_path, text.split("```toml\n")[1].split("```")[0])
    facts = load(path).models["mine"]
    model = resolve.registered_capabilities("mine", facts, facts.hosts[0])
    assert [
        plan(model, parse_setting(v), BenchOptions(), Prices("free", "")).variant
        for v in facts.variants
    ] == [
        "mine@none",
        "mine@on",
    ]
    assert load(path).models["claude"].variants == ("32k",)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("weights =", "wieghts =", "unknown field models.mine.wieghts: did you mean weights?"),
        ("off =", "of =", "unknown field models.mine.reasoning.of: did you mean off?"),
        (
            "served_as",
            "served",
            "unknown field models.mine.hosts.1.served: did you mean served_as?",
        ),
        ("[models.mine]", "[model.mine]", "unknown field model: did you mean models?"),
        ('weights = "me/mine"\n', "", "models.mine.weights is missing"),
        ('"budget"', '"buget"', 'models.mine.reasoning.kind is "buget": did you mean budget?'),
        ('"unset"', '"maybe"', 'models.mine.reasoning.off is "maybe": expected one of unset,'),
        (
            "32_000",
            '"32k"',
            'models.mine.hosts.1.max_output_tokens is "32k": expected a whole number',
        ),
        ("32_000", "0", "models.mine.hosts.1.max_output_tokens is 0: expected 1 or more"),
        ("32_000", "nan", "max_output_tokens is NaN: expected a whole number"),
        ('["none", "8k"]', '"8k"', 'models.mine.variants is "8k": expected a list'),
        (
            '["none", "8k"]',
            '["8kk"]',
            "models.mine.variants: '8kk' is not a setting: expected none",
        ),
        ('["none", "8k"]', '["8k", "8k"]', "models.mine.variants: a setting is repeated"),
        ("2026-11-24", '"yesterday"', 'models.mine.checked is "yesterday": expected a day'),
        ('about = "my own"', 'about = "a"\nabout = "b"', "not a TOML file: "),
        ("hosts = [", 'hosts = [{ litellm = "corner/mine" }, ', "hosts: a host is repeated"),
        ('"budget", off = "unset"', '"effort"', "models.mine.reasoning.levels: expected one"),
        ("[models.mine]", '[models."my own"]', "models.my own.about: expected an alias without"),
        (
            "[models.mine]",
            "[models.mine-2.5]",
            'expected quotes around an alias with a dot: models."mine-2.5"',
        ),
        (MINE, "models = 3", "models is 3: expected fields with values"),
    ],
)
def test_a_typo_is_told_in_a_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in MINE
    path = user_registry(tmp_path, MINE.replace(old, new))
    with pytest.raises(UserError) as error:
        load(path)
    assert message in str(error.value)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_provider_that_there_is_not_is_told(tmp_path: Path) -> None:
    path = str(user_registry(tmp_path, MINE.replace("corner/", "opneai/")))
    for command in (["models"], ["bench", "--models", "mine"]):
        error = refused(call(tmp_path, *command, "--registry", path))
        assert error.startswith("opneai/mine: 'opneai' is not a provider that litellm knows")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    error = refused(call(tmp_path, "models", "--registry", "nowhere.toml"))
    assert error == "nowhere.toml: cannot be read: No such file or directory"


def resolved_models(name: str, **options: Any) -> list[Any]:
    return [model.resolved for model in resolve_all(name, BenchOptions(**options))]


def test_an_alias_is_one_model_a_variant(
    monkeypatch: pytest.MonkeyPatch, on_day: Callable[[str], None]
) -> None:
    on_day("2026-11-29")  # the last one of claude-4.5
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    none, small, large = resolved_models("claude")
    assert [resolved.model for resolved in (none, small, large)] == [
        "claude@none",
        "claude@16k",
        "claude@64k",
    ]
    assert [resolved.reasoning for resolved in (none, small, large)] == ["none", "16k", "64k"]
    assert large.variant == "claude@64k (effort xhigh)"
    assert large.request["model"] == "anthropic/claude-sonnet-5-5"
    assert (large.stream, large.max_tokens, large.max_output_tokens) == (True, 68_000, 68_000)
    assert is_served_as("claude-sonnet-5-5", large.served_as)
    assert not is_served_as("claude-sonnet-5", large.served_as)
    assert large.notes
    (resolved,) = resolved_models("claude-4.5@64k")
    assert resolved.variant == "claude-4.5@64k (60k sent)"
    assert KEY not in repr(resolved_models("claude"))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("claude", {}, "claude: no key: set ANTHROPIC_API_KEY in the environment"),
        ("gemini-2.5", {}, "no key: set GEMINI_API_KEY or GOOGLE_API_KEY"),
        ("o3-mini@high", {}, "o3-mini is retired: openai stopped serving it on 2026-10-23 and"),
        ("claude-3.7", {}, "its weights are not published, so you cannot host a copy"),
        ("openai/o1", {}, "is retired"),
        ("cluade", {}, "unknown model 'cluade': did you mean claude?"),
        ("other=x", {}, "'other' is not an alias"),
        (
            "claude-4.6@16k",
            {"seed": 1, "api_base": "http://127.0.0.1:1"},
            "anthropic accepts no seed",
        ),
        ("qwen-2.5-14b@on", {"api_base": "http://127.0.0.1:1"}, "has no reasoning"),
    ],
)
def test_what_cannot_be_asked_is_told(
    name: str, options: dict[str, Any], message: str | None, on_day: Callable[[str], None]
) -> None:
    on_day("2026-11-24")  # gemini-2.5 has a week left
    if message is None:
        assert resolved_models(name, **options)
        return
    with pytest.raises(UserError) as error:
        resolved_models(name, **options)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("day", "message"),
    [
        ("2026-12-10", "gpt-5: no key: set OPENAI_API_KEY"),
        ("2026-12-11", "gpt-5 is retired: openai stopped serving it on 2026-12-11"),
        ("2030-01-01", "gpt-5 is retired: openai stopped serving it on 2026-12-11"),
    ],
)
def test_a_model_is_asked_until_its_day_comes(
    day: str, message: str, on_day: Callable[[str], None]
) -> None:
    on_day(day)
    with pytest.raises(UserError, match=message):
        resolved_models("gpt-5")
    (gpt,) = (listing for listing in list_models() if listing.name == "gpt-5")
    assert gpt.retired == ("is retired" in message)


def test_what_is_retired_says_what_a_copy_needs(tmp_path: Path) -> None:
    gone = '[models.llama-3.1-8b.retired]\non = 2026-01-01\nsuccessor = "Llama 9"\n'
    path = user_registry(tmp_path, gone.replace("llama-3.1-8b", '"llama-3.1-8b"'))
    with pytest.raises(UserError, match="a copy behind --api-base needs 16 GB of GPU memory"):
        resolved_models("llama-3.1-8b", registry=path)
    (resolved,) = resolved_models("llama-3.1-8b", registry=path, api_base="http://127.0.0.1:1/v1")
    assert resolved.variant == "llama-3.1-8b (self-hosted)"


def test_a_model_on_its_way_out_is_asked_and_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEEPINFRA_API_KEY", KEY)
    soon = '[models."llama-3.1-8b".retired]\non = 9999-01-01\nsuccessor = "Llama 9"\n'
    (resolved,) = resolved_models("llama-3.1-8b", registry=user_registry(tmp_path, soon))
    assert resolved.notes == ("served until 9999-01-01, then retired",)


@pytest.mark.server
@pytest.mark.parametrize(
    ("name", "model", "sent"),
    [
        ("qwen-2.5-14b", "Qwen/Qwen2.5-14B-Instruct", {}),
        ("qwen-2.5-14b=mine", "mine", {}),
        ("r1-distill-llama-70b", "deepseek-ai/DeepSeek-R1-Distill-Llama-70B", {}),
        ("mine@none", "mine", {"chat_template_kwargs": {"enable_thinking": False}}),
        ("openai/mine@high", "openai/mine", {"reasoning_effort": "high"}),
        ("openai/gpt-oss-20b", "openai/gpt-oss-20b", {}),
        ("anthropic/claude-sonnet-4-6", "anthropic/claude-sonnet-4-6", {}),
        ("deepseek/deepseek-r1@high", "deepseek/deepseek-r1", {"reasoning_effort": "high"}),
        ("gemini/x", "gemini/x", {}),
        ("mistral", "mistral", {}),
    ],
)
def test_a_copy_on_ones_own_server(
    tmp_path: Path, name: str, model: str, sent: dict[str, Any]
) -> None:
    puzzles, _ = write_puzzles(tmp_path, 1)
    answer = Answer({**completion("A. x"), "model": model})
    with serving(lambda _: answer) as server:
        options = BenchOptions(puzzles=str(puzzles), results=tmp_path / "r", api_base=server.url)
        run_models([name], options, Silent())
    (body,) = server.bodies
    # A reply is streamed unless the model is known not to think.
    thinks = not name.startswith("qwen-2.5") and not name.endswith("@none")
    streamed = {"stream": True, "stream_options": {"include_usage": True}} if thinks else {}
    assert {key: value for key, value in body.items() if key != "messages"} == {
        "model": model,
        **sent,
        **streamed,
    }
    (folder,) = (tmp_path / "r").iterdir()
    run = read_run(folder)
    assert run.config.model == name
    assert is_served_as(run.responses[0].model_id or "", run.config.served_as)


KEYS = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY", "DEEPSEEK_API_KEY")
LABELS = ("OPENAI_ORGANIZATION", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "ANTHROPIC_AUTH_TOKEN")


@pytest.mark.server
@pytest.mark.parametrize("own_key", [None, "of-my-server"])
@pytest.mark.parametrize(
    "name", ["m", "openai/m", "deepseek/m", "anthropic/m", "qwen-2.5-14b", "claude-4.6@none"]
)
def test_no_other_key_goes_to_ones_own_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, own_key: str | None
) -> None:
    for variable in (*KEYS, *LABELS):
        monkeypatch.setenv(variable, f"secret-{variable}")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Mine: secret-header")
    if own_key:
        monkeypatch.setenv("TCLUE_API_KEY", own_key)
    puzzles, _ = write_puzzles(tmp_path, 1)
    refusal = Answer({"error": {"message": "no"}}, 401)
    with serving(lambda _: refusal) as server:
        options = BenchOptions(puzzles=str(puzzles), results=tmp_path / "r", api_base=server.url)
        with pytest.raises(StopError) as stopped:
            run_models([name], options, Silent())
    (headers,) = server.headers
    assert "secret" not in str(headers)
    sent = headers.get("x-api-key") or headers["authorization"].removeprefix("Bearer ")
    assert sent == (own_key or "none")
    to_do = "is not accepted: correct" if own_key else "wants a key: set"
    assert f"{to_do} TCLUE_API_KEY (401: " in str(stopped.value)


@pytest.mark.parametrize(
    ("name", "url", "own"),
    [
        ("openai/m", "https://api.openai.com/v1", True),
        ("openai/m", "https://eu.api.openai.com/v1", True),
        ("openai/m", "http://api.openai.com/v1", False),
        ("openai/m", "https://api.openai.com.example/v1", False),
        ("openai/m", "https://myapi.openai.com/v1", False),
        ("mistral/m", "https://api.anthropic.com/v1", False),
        ("anthropic/m", "https://api.anthropic.com", True),
        ("gemini/m", "https://generativelanguage.googleapis.com/v1beta", True),
        ("deepseek/m", "https://api.deepseek.com", True),
        ("mistral/m", "https://api.groq.com/openai/v1", False),
        ("no-provider/m", "https://api.mistral.ai", False),
    ],
)
def test_a_url_that_is_the_providers_own(
    monkeypatch: pytest.MonkeyPatch, name: str, url: str, own: bool
) -> None:
    for provider in ("openai", "anthropic", "gemini", "deepseek"):
        monkeypatch.setenv(f"{provider.upper()}_API_KEY", KEY)
    (model,) = resolve_all(name, BenchOptions(api_base=url))
    assert model.resolved.request["model"] == (name if own else f"openai/{name}")
    advice = model.resolved.key_advice or ""
    assert ("TCLUE_API_KEY" in advice) == (not own)
    assert (f"{name.split('/')[0].upper()}_API_KEY" in advice) == own


@pytest.mark.server
def test_the_key_that_is_named_is_the_one_that_was_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_API_KEY", "of-google")
    monkeypatch.setenv("GEMINI_API_KEY", "of-gemini")
    puzzles, _ = write_puzzles(tmp_path, 1)
    with serving(lambda _: Answer({"error": {"message": "no"}}, 401)) as server:
        monkeypatch.setenv("GEMINI_API_BASE", server.url)
        with pytest.raises(StopError, match="the key is not accepted: correct GEMINI_API_KEY"):
            bench("gemini/gemini-2.0-flash", puzzles, tmp_path / "r")
    assert server.headers[0]["x-goog-api-key"] == "of-gemini"


@pytest.mark.server
@pytest.mark.parametrize(
    ("name", "base", "path"),
    [
        ("m", "", "/v1/chat/completions"),
        ("m", "/", "/v1/chat/completions"),
        ("m", "/v1", "/v1/chat/completions"),
        ("m", "/v1/", "/v1/chat/completions"),
        ("m", "/v1/chat/completions", "/v1/chat/completions"),
        ("m", "/chat/completions/", "/chat/completions"),
        ("m", "/openai/v1/models", "/openai/v1/chat/completions"),
        ("claude-4.6@none", "", "/v1/messages"),
        ("claude-4.6@none", "/v1", "/v1/messages"),
        ("claude-4.6@none", "/gateway/v1/messages", "/gateway/v1/messages"),
        ("gemini-2.5@16k", "", "/v1beta/models/gemini-2.5-pro:generateContent"),
        ("gemini-2.5@16k", "/v1beta/", "/v1beta/models/gemini-2.5-pro:generateContent"),
    ],
)
def test_urls_are_joined(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, base: str, path: str
) -> None:
    paths: list[str] = []
    serve = _Handler.do_POST

    def note_path(handler: _Handler) -> None:
        paths.append(handler.path)
        serve(handler)

    monkeypatch.setattr(_Handler, "do_POST", note_path)
    puzzles, _ = write_puzzles(tmp_path, 1)
    with serving(lambda _: Answer({"error": {"message": "no"}}, 400)) as server:
        url = server.url.removesuffix("/v1") + base
        bench(name, puzzles, tmp_path / "r", api_base=url)
    assert paths == [path]
    assert the_run(tmp_path / "r").config.api_base == url  # as it is given, as in older runs


def test_a_registry_that_is_named_is_read(tmp_path: Path) -> None:
    for name in ("random", "tiny"):
        error = refused(call(tmp_path, "bench", "--models", name, "--registry", "nowhere.toml"))
        assert error == "nowhere.toml: cannot be read: No such file or directory"


@pytest.mark.server
def test_the_variants_of_an_alias_have_a_run_each(tmp_path: Path) -> None:
    puzzles, _ = write_puzzles(tmp_path, 1)
    refusal = Answer({"error": {"type": "invalid_request_error", "message": "no"}}, 400)
    with serving(lambda _: refusal) as server:
        # Closed weights behind a URL: a gateway that speaks their provider's protocol.
        options = BenchOptions(puzzles=str(puzzles), results=tmp_path / "r", api_base=server.url)
        with pytest.raises(StopError, match="no request was answered"):
            run_models(["claude-4.6", "claude-4.6@16k"], options, Silent())
    budgets = sorted(body.get("thinking", {}).get("budget_tokens", 0) for body in server.bodies)
    assert budgets == [0, 16_000, 64_000]
    runs = [read_run(folder) for folder in (tmp_path / "r").iterdir()]
    by_model = {run.config.model: run.config for run in runs}
    assert set(by_model) == {"claude-4.6@none", "claude-4.6@16k", "claude-4.6@64k"}
    assert by_model["claude-4.6@64k"].request == {
        "model": "anthropic/claude-sonnet-4-6",
        "max_tokens": 68_000,
        "thinking": {"type": "enabled", "budget_tokens": 64_000},
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_the_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    monkeypatch.setenv("COLUMNS", "100")

    def no_network(*_: object) -> None:
        raise AssertionError("the list asked the network")

    monkeypatch.setattr(socket.socket, "connect", no_network)
    listed = {listing.name: listing for listing in list_models()}
    claude = listed["claude"]
    assert [variant.name for variant in claude.variants] == [
        "claude@none",
        "claude@16k",
        "claude@64k",
    ]
    assert (claude.keys, claude.key_is_set, claude.needs) == (("ANTHROPIC_API_KEY",), True, None)
    assert claude.prices is not None
    assert claude.prices.prompt_usd_per_million == pytest.approx(2.0)
    assert claude.prices.date
    assert claude.prices.origin
    assert listed["gpt-5"].needs == "OPENAI_API_KEY"
    assert (listed["o1"].retired, listed["o1"].retired_on) == (True, "2026-10-23")
    shown_json = json.loads(call(tmp_path, "models", "--json").stdout)
    assert {listing["name"] for listing in shown_json} == set(listed)
    shown = call(tmp_path, "models").stdout
    assert max(map(len, shown.splitlines())) <= 100
    assert "retired on 2026-10-23; its weights were never published" in shown
    assert set(ALIASES.split()) <= {line.split(" ")[0] for line in shown.splitlines()}
    # A fact has a line of its own, so that even a narrow screen keeps one together.
    lines = [line.strip() for line in shown.splitlines()]
    at = next(n for n, line in enumerate(lines) if line.startswith("claude "))
    assert lines[at + 1] == "@none, @16k (effort high), @64k (effort xhigh); key is set"
    assert lines[at + 2] == f"$2 in, $10 out ({claude.prices.date}, platform.claude.com)"
    assert KEY not in shown + json.dumps(shown_json)


@pytest.mark.server
def test_the_registry_is_read_without_litellm() -> None:
    code = (
        "import sys; from tclue.bench.models import registry as r; "
        "r.lookup('claude@16k', r.load(None)); print({'litellm', 'openai'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_a_hosts_own_name_is_one_model_as_its_provider_sets_it() -> None:
    match = lookup("anthropic/claude-sonnet-4-6", load(None))
    assert (match.alias, match.settings) == ("claude-4.6", (None,))
    assert [s.text for s in lookup("claude-4.6", load(None)).settings if s] == [
        "none",
        "16k",
        "64k",
    ]
    picked = lookup("anthropic/claude-sonnet-4-6@16k", load(None))
    assert [s.text for s in picked.settings if s] == ["16k"]


@pytest.mark.server
@pytest.mark.slow
@pytest.mark.skipif("TCLUE_TEST_DAY" in os.environ, reason="it runs the tests of this file")
def test_all_of_this_holds_in_2030() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist", __file__],
        cwd=ROOT,
        env={**os.environ, "TCLUE_TEST_DAY": "2030-01-01"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    assert " passed, 1 skipped" in done.stdout
