"""The price book: what it holds, how strictly it is read, and what goes before what."""

import json
import re
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from tclue.bench.costs.cost import (
    Prices,
    SpecialPrices,
    Usage,
    agreement,
    cost_parts,
    repriced,
    worst_case_usd,
)
from tclue.bench.costs.price_book import (
    SHIPPED,
    list_prices,
    litellm_usd,
    price_book,
    prices_for,
    read_book,
)
from tclue.bench.models.hosted import load_litellm
from tclue.bench.runs.run import BenchOptions
from tclue.errors import UserError
from tclue.strict import read

# A book of a user's own.
ONE = """
[[price]]
provider = "openai"
models = ["gpt-5", "gpt-5-*"]
input = 1
output = 8.5
date = 2026-11-24
source = "my contract"
"""


@pytest.fixture(autouse=True)
def no_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's own book is read from here, where there is none yet."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path / "config" / "tclue" / "prices.toml"


def test_every_entry_of_the_shipped_book_is_dated_and_sourced() -> None:
    book = read_book(SHIPPED)
    for tier in book.tier:
        assert "https://" in tier.source or "litellm 1.106.2" in tier.source
        assert "2025-01-01" < tier.date.isoformat() <= book.date
        assert 0 < tier.input <= tier.output
    for entry in book.price:
        assert "https://" in entry.source or "litellm 1.106.2" in entry.source
        assert "2025-01-01" < entry.date.isoformat() <= book.date
        assert 0 < entry.input <= entry.output
        for cheaper in (entry.cached_input, entry.batch_input):
            assert cheaper is None or cheaper < entry.input
        for dearer in (entry.cache_write_5m, entry.cache_write_1h):
            assert dearer is None or dearer > entry.input


def test_the_shipped_book_and_litellms_list_agree_on_what_both_have() -> None:
    litellm = load_litellm()
    differing = set()
    for entry in read_book(SHIPPED).price:
        for model in entry.models:
            name = f"{entry.provider}/{model}"
            listed, ours = list_prices(litellm, name), entry.prices
            if listed.source != "unknown" and _without_batch_cache(ours) != _without_batch_cache(
                replace(listed, source="book", date=ours.date, origin=ours.origin)
            ):
                differing.add(name)
    assert not differing


def _without_batch_cache(prices: Prices) -> Prices:
    """Prices in one order, without those of a batch's cached tokens, which the book leaves out."""
    special = [
        replace(s, cached_input=None, cache_write_5m=None) if s.tier == "batch" else s
        for s in prices.special
    ]
    return replace(prices, special=tuple(sorted(special, key=lambda s: (s.tier or "", s.above))))


def test_a_model_is_found_with_its_providers_prefix_or_without() -> None:
    book = price_book()
    assert book.find("claude-sonnet-5-5", "anthropic") is book.find("anthropic/claude-sonnet-5-5")
    assert book.find("claude-sonnet-5-5") is book.find("claude-sonnet-5-5", "anthropic")
    openrouter = book.find("openrouter/deepseek/deepseek-r1", "openrouter")
    assert openrouter is not None
    assert openrouter.provider == "openrouter"
    assert book.find("deepseek/deepseek-r1", "openrouter") is openrouter
    assert book.find("deepseek/deepseek-r1") is None  # DeepSeek itself does not serve it
    assert book.find("gpt-5-nano") is None


def test_what_goes_before_what(tmp_path: Path) -> None:
    litellm = load_litellm()

    def source(*, name: str = "openai/gpt-5", **options: Any) -> tuple[str, float | None]:
        chosen = BenchOptions(**options)
        prices = prices_for(name, "openai", chosen, litellm)
        return prices.source, prices.prompt_usd_per_million or prices.hour_usd

    own_book = tmp_path / "mine.toml"
    own_book.write_text(ONE)
    given: dict[str, Any] = {"price_in": 7.0, "price_out": 9.0}
    tier: dict[str, Any] = {"tier": "together-8b"}
    gpu: dict[str, Any] = {"gpu_hour_usd": 2.5}
    server: dict[str, Any] = {"api_base": "http://localhost:1/v1"}
    assert source(**given, **tier, **gpu, **server) == ("given", 7.0)
    assert source(**tier, **gpu, **server) == ("tier", 0.2)
    assert source(**gpu, **server) == ("gpu-hour", 2.5)
    assert source(**server) == ("unknown", None)
    assert source(prices=own_book) == ("book", 1.0)
    assert source() == ("book", 1.25)
    assert source(name="openai/gpt-4o") == ("litellm", 2.5)
    assert source(name="openai/no-such-model") == ("unknown", None)
    assert prices_for("openai/gpt-4o", "openai", BenchOptions(), None).source == "unknown"


def test_a_users_own_book_goes_before_the_shipped_one(no_home: Path) -> None:
    no_home.parent.mkdir(parents=True)
    no_home.write_text(ONE)
    book = price_book()
    own_entry, shipped_entry = book.find("gpt-5-nano", "openai"), book.find("o1", "openai")
    assert own_entry is not None
    assert shipped_entry is not None
    assert (own_entry.source, own_entry.output, shipped_entry.input) == ("my contract", 8.5, 15.0)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("input = 1", "input = nan", "input is NaN: expected a finite number"),
        ("input = 1", "input = -1", "input is -1: expected 0 or more"),
        ("input = 1", "input = inf", "input is Infinity: expected a finite number"),
        ("input = 1", 'input = "1"', 'input is "1": expected a number'),
        ("input = 1", "input = true", "input is true: expected a number"),
        ("input = 1", "imput = 1", "unknown field price.1.imput: did you mean input?"),
        ("input = 1", "", "input is missing"),
        ("date = 2026-11-24", "", "date is missing"),
        ("date = 2026-11-24", 'date = "soon"', 'date is "soon": expected a day'),
        ("date = 2026-11-24", "date = 2026-11-24T10:00:00", "expected a day"),
        ('source = "my contract"', 'source = ""', 'source is "": expected a text'),
        ('["gpt-5", "gpt-5-*"]', '"gpt-5"', 'models is "gpt-5": expected a list'),
        ('["gpt-5", "gpt-5-*"]', "[]", "models is []: expected 1 or more"),
        ('["gpt-5", "gpt-5-*"]', '["o1", "o1"]', "openai/o1 has more than one price: expected one"),
        ("[[price]]", "[price]", "price is {"),
        ("[[price]]", "[[prices]]", "unknown field prices: did you mean price?"),
        ("[[price]]", "[[price", "not a TOML file"),
    ],
)
def test_a_book_that_cannot_be_meant_is_refused(
    tmp_path: Path, old: str, new: str, problem: str
) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(ONE.replace(old, new))
    with pytest.raises(UserError, match=re.escape(problem)) as caught:
        price_book(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    if " is " in problem and "price is" not in problem:
        assert message.startswith(f"{path}: price.1.{problem}")


def test_a_book_or_a_tier_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.toml: cannot be read: No such file"):
        price_book(tmp_path / "none.toml")
    with pytest.raises(UserError, match="--tier is '8b': expected one of fireworks-4b, "):
        prices_for("x", None, BenchOptions(tier="8b"), None)


def test_prices_of_litellms_list_know_cached_tokens() -> None:
    litellm = load_litellm()
    prices = list_prices(litellm, "openai/gpt-4o")
    # gpt-4o: 2.50 a million in, 1.25 cached, 10 out.
    expected = {
        "prompt_usd": 600 * 2.5 / 1e6,
        "cached_usd": 400 * 1.25 / 1e6,
        "completion_usd": 200 * 10 / 1e6,
    }
    assert cost_parts(prices, Usage(1000, 200, 400), None) == pytest.approx(expected)
    usage = litellm.Usage(
        prompt_tokens=1000, completion_tokens=200, prompt_tokens_details={"cached_tokens": 400}
    )
    cost = litellm_usd(litellm, "openai/gpt-4o", usage)
    assert cost == pytest.approx(sum(expected.values()))
    for free_or_unlisted in ("ollama/llama3", "openai/no-such-model"):
        assert list_prices(litellm, free_or_unlisted).source == "unknown"
        assert litellm_usd(litellm, free_or_unlisted, usage) is None


def test_a_price_that_hangs_on_the_hour_is_the_higher_one_and_says_so() -> None:
    prices = list_prices(load_litellm(), "deepseek/deepseek-flash")
    assert prices.origin is not None
    assert prices.origin.endswith("; at peak hours, lower at others")


# A book's prices with all that a reply can change.
WITH_TIERS = """
[[price]]
provider = "openai"
models = ["gpt-5"]
input = 1
cached_input = 0.1
output = 10
date = 2026-11-24
source = "my contract"
batch_input = 0.25
batch_output = 2.5
regions = { us = 1.1 }
special = [
    { tier = "flex", input = 0.5, cached_input = 0.05, output = 5 },
    { tier = "priority", input = 2, output = 20 },
    { above = 1000, input = 3, cached_input = 0.3, output = 30 },
    { tier = "flex", above = 1000, input = 1.5, cached_input = 0.15, output = 15 },
]
"""


@pytest.fixture
def tiers(tmp_path: Path) -> Prices:
    path = tmp_path / "tiers.toml"
    path.write_text(WITH_TIERS)
    entry = price_book(path).find("gpt-5", "openai")
    assert entry is not None
    return entry.prices


@pytest.mark.parametrize(
    ("tier", "region", "prompt", "cached", "micro_dollars"),
    [
        (None, None, 1000, 0, 1000 * 1 + 100 * 10),
        ("default", "global", 1000, 0, 1000 * 1 + 100 * 10),
        ("standard", "not_available", 1000, 400, 600 * 1 + 400 * 0.1 + 100 * 10),
        ("flex", None, 1000, 400, 600 * 0.5 + 400 * 0.05 + 100 * 5),
        ("priority", None, 1000, 0, 1000 * 2 + 100 * 20),
        ("batch", None, 1000, 0, 1000 * 0.25 + 100 * 2.5),
        (None, "us", 1000, 400, (600 * 1 + 400 * 0.1 + 100 * 10) * 1.1),
        ("flex", "us", 1000, 0, (1000 * 0.5 + 100 * 5) * 1.1),
        # 1000 tokens are not above 1000
        (None, None, 1001, 400, 601 * 3 + 400 * 0.3 + 100 * 30),
        ("flex", None, 1001, 400, 601 * 1.5 + 400 * 0.15 + 100 * 15),
        # no price is stated: never the plain one
        ("priority", None, 1000, 400, None),
        ("priority", None, 1001, 0, None),
        ("batch", None, 1001, 0, None),
        ("scale", None, 1000, 0, None),
        (None, "eu", 1000, 0, None),
    ],
)
def test_a_reply_is_priced_by_its_tier_region_and_length(
    tiers: Prices, tier: str, region: str, prompt: int, cached: int, micro_dollars: float | None
) -> None:
    usage = Usage(prompt, 100, cached, service_tier=tier, region=region)
    expected = None if micro_dollars is None else pytest.approx(micro_dollars / 1e6)
    assert repriced(usage, tiers) == expected
    parts = cost_parts(tiers, usage, None)
    assert (parts and sum(parts.values())) == expected
    # What the provider says that it billed, and what the user gave, hold for any reply.
    billed = replace(usage, reported_usd=0.5)
    assert cost_parts(tiers, billed, None) == {"reported_usd": 0.5}
    given = Prices("given", "", prompt_usd_per_million=1.0, completion_usd_per_million=1.0)
    assert repriced(usage, given) == pytest.approx((prompt + 100) / 1e6)


def test_the_most_that_a_request_can_cost_includes_length_and_region(tiers: Prices) -> None:
    assert worst_case_usd(tiers, 1000, 100) == pytest.approx((1000 * 1 + 100 * 10) / 1e6 * 1.1)
    assert worst_case_usd(tiers, 1001, 100) == pytest.approx((1001 * 3 + 100 * 30) / 1e6 * 1.1)
    assert worst_case_usd(tiers, 1000, None) is None


def test_a_run_records_all_prices_and_older_runs_have_none(tiers: Prices) -> None:
    recorded = json.loads(json.dumps(tiers.to_dict()))
    assert read(Prices, recorded, "run.json") == tiers
    older = {k: v for k, v in recorded.items() if k not in ("special", "regions")}
    plain = replace(tiers, special=(), regions={})
    assert read(Prices, older, "run.json") == plain
    assert plain.to_dict() == older  # which versions from before there was more can read
    usage = json.loads(json.dumps(asdict(Usage(1000, 100, 400))))
    for name in ("service_tier", "region", "problem"):
        del usage[name]
    assert repriced(read(Usage, usage, "a line"), tiers) == repriced(Usage(1000, 100, 400), tiers)


def test_a_special_price_needs_a_condition(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(WITH_TIERS.replace('tier = "priority", ', ""))
    with pytest.raises(UserError, match=r"mine\.toml: a special price without a condition: exp"):
        price_book(path)
    path.write_text(WITH_TIERS.replace("us = 1.1", "us = 0"))
    with pytest.raises(UserError, match=r"price\.1\.regions\.us is 0: expected a number above 0"):
        price_book(path)


def test_litellms_list_has_tiers_lengths_and_regions() -> None:
    litellm = load_litellm()
    gpt = list_prices(litellm, "openai/gpt-5.4")
    kinds = {(s.tier, s.above): (s.input, s.output) for s in gpt.special}
    assert kinds == {
        ("flex", 0): (1.25, 7.5),
        ("priority", 0): (5.0, 30.0),
        ("batch", 0): (1.25, 7.5),
        (None, 272_000): (5.0, 22.5),
        ("flex", 272_000): (2.5, 11.25),
        ("batch", 272_000): (2.5, 11.25),
    }
    opus = list_prices(litellm, "anthropic/claude-opus-5-5")
    plain = Usage(1000, 1000)
    usd = repriced(plain, opus)
    assert usd is not None
    assert opus.regions == {"us": 1.1}
    assert repriced(replace(plain, service_tier="fast"), opus) == pytest.approx(2 * usd)
    assert repriced(replace(plain, service_tier="fast", region="us"), opus) == pytest.approx(
        2.2 * usd
    )
    assert repriced(replace(plain, service_tier="priority"), opus) is None


def response(
    prompt: int, completion: int, litellm_usd: float | None, **usage: Any
) -> tuple[Usage, float, float | None]:
    return Usage(prompt, completion, **usage), 0.002, litellm_usd


def test_where_the_calculators_differ_it_is_said() -> None:
    # A dollar a million, in and out: 1000 + 1000 tokens are 0.002.
    book = Prices("book", "", prompt_usd_per_million=1.0, completion_usd_per_million=1.0)
    same, close = response(1000, 1000, 0.002), response(1000, 1000, 0.00201)
    double, unknown = response(1000, 1000, 0.004), response(1000, 1000, None)
    assert agreement(book, [same, close]) is None
    assert agreement(book, []) is None
    assert agreement(book, [same, double]) == (
        "calculators differ on 1 of 2 responses: $0.004 by our prices, $0.006 by litellm"
    )
    # Errors that cancel are errors.
    assert agreement(book, [double, response(1000, 1000, 0.0)]) is not None
    assert agreement(book, [unknown]) == "litellm does not know this model"
    assert agreement(book, [same, unknown]) == "litellm does not know 1 of 2 responses"
    billed = response(1000, 1000, 0.002, reported_usd=0.003)
    assert agreement(book, [billed]) == (
        "calculators differ on 1 of 1 response: $0.002 by our prices, $0.003 by the provider"
    )
    # litellm's calculator is not told the tier; the provider's own bill still counts.
    flex = replace(book, special=(SpecialPrices(0.5, 0.5, tier="flex"),))
    half = response(1000, 1000, 0.002, service_tier="flex")
    assert agreement(flex, [half, same]) is None
    assert agreement(flex, [response(1000, 1000, 0.002, service_tier="flex", reported_usd=0.002)])
    # An unknown cost has a reason.
    broken = Usage(problem="its usage counts no tokens"), None, None
    other = Usage(1000, 1000, service_tier="scale", region="us"), None, 0.002
    assert agreement(book, [same, broken, other]) == (
        "2 of 3 responses without a known cost: its usage counts no tokens; "
        "litellm does not know 1 of 3 responses"
    )
    assert agreement(book, [same, other]) == (
        "1 of 2 responses without a known cost: service tier scale, region us"
    )
    listed = replace(book, source="litellm")
    assert agreement(listed, [same]) == "not in the price book: counted at litellm's price"
    assert agreement(Prices("unknown", ""), [same]) == "no price is known"
    assert agreement(replace(book, source="given"), [double]) is None


def test_the_same_tokens_at_another_price() -> None:
    dear = Prices("book", "", prompt_usd_per_million=2.0, completion_usd_per_million=10.0)
    assert repriced(Usage(1000, 1000, reported_usd=5.0), dear) == pytest.approx(0.012)
    assert repriced(Usage(), dear) is None
