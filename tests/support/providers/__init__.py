"""A loopback server that speaks as OpenAI, Anthropic, DeepSeek, Gemini and OpenRouter do.

    python -m tests.support.providers --puzzles easy-test --faults 0.3 --seed 1

prints the five `api_base`s as JSON and serves until its standard input ends or it is stopped; the
tests mostly run it in a thread (`serving`). What was decided:

* The wire formats are the providers' own, whole and streamed, in every field that litellm or this
  project's reader of replies looks at. The source of each stands in its module.
* A fault hangs on the seed, the request and how often that request came before, never on the order
  of arrival. So a run with faults meets the same ones again, whoever is killed in between.
* What the model answers hangs on the puzzle and the request's seed alone (`model`), so a run with
  faults must reach the scores of one without.
* Every request is entered in a ledger, with whether its reply went out whole. That is how a test
  proves that nothing was asked twice.
"""

from .client import BASE_VARIABLES, KEY_VARIABLES, MODELS, bases, serving
from .faults import FAULTS, QUICK, SLOW, STOPPING, Fault
from .ledger import Entry, Ledger
from .model import SHAPES, Model, Reply
from .server import PROVIDERS, Server
from .settings import Settings

__all__ = [
    "BASE_VARIABLES",
    "FAULTS",
    "KEY_VARIABLES",
    "MODELS",
    "PROVIDERS",
    "QUICK",
    "SHAPES",
    "SLOW",
    "STOPPING",
    "Entry",
    "Fault",
    "Ledger",
    "Model",
    "Reply",
    "Server",
    "Settings",
    "bases",
    "serving",
]
