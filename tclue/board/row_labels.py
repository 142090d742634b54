"""The label of a row: its variant, and where several runs share it, how they differ."""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence

from tclue.bench.records import RunConfig
from tclue.text import clean


def _temperature(config: RunConfig) -> str:
    match config.temperature:
        case None:
            return "default temperature"
        case 0:
            return "greedy"
        case warm:
            return f"temperature {warm:g}"


# Characters of a label.
LONGEST = 90
# How two runs of a variant may differ, beginning with what a reader wants to know first.
_WORDS: tuple[Callable[[RunConfig], str], ...] = (
    _temperature,
    lambda config: "over HTTP" if config.api_base else "in process",
    lambda config: config.dtype or "default weights",
    lambda config: f"{config.max_tokens:,} tokens" if config.max_tokens else "default length",
    lambda config: "1 sample" if config.samples == 1 else f"{config.samples} samples",
    lambda config: "no seed" if config.seed is None else f"seed {config.seed}",
    lambda config: "streamed" if config.stream else "not streamed",
    lambda config: f"weights {config.checkpoint[:8]}" if config.checkpoint else "",
)


def labels(runs: Sequence[tuple[str, RunConfig]]) -> list[str]:
    """A label for each (folder name, configuration) of one table.

    A label names as few settings as distinguish the runs of a variant; where none do, it has the
    end of the folder's name, which is a hash of everything that shapes the responses.
    """
    variants = Counter(clean(config.variant) for _, config in runs)
    texts = []
    for folder, config in runs:
        variant = clean(config.variant)
        if variants[variant] > 1:
            twins = [other for _, other in runs if clean(other.variant) == variant]
            variant = f"{variant} ({_distinguishing(folder, config, twins)})"
        texts.append(variant)
    return shortened([clean(text).strip() for text in texts])


def _distinguishing(folder: str, config: RunConfig, twins: Sequence[RunConfig]) -> str:
    chosen: list[Callable[[RunConfig], str]] = []
    for word in _WORDS:
        if _distinct([*chosen, word], twins) > _distinct(chosen, twins):
            chosen.append(word)
    words = [word(config) for word in chosen]
    if _distinct(chosen, twins) < len(twins):
        words.append(folder.rpartition("--")[2])
    return ", ".join(words)


def _distinct(words: Sequence[Callable[[RunConfig], str]], configs: Sequence[RunConfig]) -> int:
    return len({tuple(word(config) for word in words) for config in configs})


def shorten(text: str, most: int = LONGEST) -> str:
    """The text, or its two ends if it is longer than so many characters."""
    head = (most - 1) // 2
    return text if len(text) <= most else f"{text[:head]}…{text[len(text) - (most - 1 - head) :]}"


def shortened(texts: Sequence[str]) -> list[str]:
    """The texts, shortened so that those that differ still differ."""
    short = [shorten(text) for text in texts]
    alike: defaultdict[str, set[str]] = defaultdict(set)
    for text, cut in zip(texts, short, strict=True):
        alike[cut].add(text)
    for i, text in enumerate(texts):
        if len(group := alike[short[i]]) > 1:
            # Keep what follows the beginning that the group has in common.
            low, high = min(group), max(group)
            common = next((j for j, c in enumerate(low) if high[j] != c), len(low))
            tails = dict(zip(group, shortened([t[common:] for t in group]), strict=True))
            kept = tails[text][: LONGEST - 12]
            short[i] = f"{text[:10]}…{kept}"
    return short
