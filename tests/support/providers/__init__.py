"""A loopback server with the APIs of OpenAI, Anthropic, DeepSeek, Gemini and OpenRouter.

    python -m tests.support.providers --puzzles easy-test --faults 0.3 --seed 1

prints the five `api_base`s as JSON and serves until its standard input ends or it is stopped. Most
tests run it in a thread (`serving`). Design:

* The wire formats are those of the providers, whole and streamed, in every field that litellm or
  this project reads. Each module names its sources.
* A fault depends on the seed, the request and the number of earlier requests of the same kind,
  never on the order of arrival. So a run meets the same faults again, even if it is killed in
  between.
* The model's answer depends only on the puzzle and the seed of the request (`model`), so a run with
  faults must have the same scores as a run without.
* Every request is entered in a ledger, with whether its reply was sent completely. With it a test
  proves that nothing was requested twice.
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
