"""How large a model is, before it is loaded: from its config.json, or from shapes.toml.

The models are of the Qwen2 and Llama kind: attention with grouped keys and values, and a gated MLP.
"""

from dataclasses import dataclass
from pathlib import Path

from tclue.bench.models.local import TINY
from tclue.config_files import read_toml
from tclue.errors import UserError
from tclue.strict import read_json

SHAPES = Path(__file__).parent / "shapes.toml"


@dataclass(frozen=True)
class Shape:
    """The numbers from which the sizes follow."""

    layers: int
    width: int
    heads: int
    kv_heads: int
    # width of the MLP
    inner: int
    vocab: int
    # whether the output matrix is the embedding matrix
    tied: bool
    # whether queries, keys and values have a bias
    qkv_bias: bool
    # width of a head; 0 is width / heads
    head: int = 0

    @property
    def kv_width(self) -> int:
        """Width of the keys of a token; its values have the same width."""
        return self.kv_heads * (self.head or self.width // self.heads)

    @property
    def matrices(self) -> tuple[tuple[int, int], ...]:
        """[in, out] of each matrix of a layer."""
        attention_width = self.heads * (self.head or self.width // self.heads)
        attention = (
            (self.width, attention_width),
            (self.width, self.kv_width),
            (self.width, self.kv_width),
            (attention_width, self.width),
        )
        mlp = ((self.width, self.inner), (self.width, self.inner), (self.inner, self.width))
        return attention + mlp

    @property
    def parameters(self) -> int:
        """All weights."""
        layer = sum(rows * columns for rows, columns in self.matrices) + 2 * self.width
        if self.qkv_bias:
            layer += self.matrices[0][1] + 2 * self.kv_width
        embeddings = self.vocab * self.width * (1 if self.tied else 2)
        return self.layers * layer + embeddings + self.width

    def lora_parameters(self, rank: int) -> int:
        """The weights of adapters on every matrix of every layer."""
        return self.layers * rank * sum(rows + columns for rows, columns in self.matrices)


def resolve_base(base: str) -> str:
    """The folder of a base, or its name on the hub."""
    return str(TINY) if base == "tiny" else base


def shape_of(base: str) -> Shape | None:
    """The shape of a checkpoint; None for one on the hub that is not in shapes.toml.

    Raises UserError for a folder without a config.json that can be used.
    """
    folder = Path(resolve_base(base)).expanduser()
    if folder.is_dir():
        return _from_folder(folder)
    table = read_toml(SHAPES).get(base)
    return Shape(**table) if table else None


def _from_folder(folder: Path) -> Shape:
    path = folder / "config.json"
    data = read_json(path)
    try:
        return Shape(
            layers=data["num_hidden_layers"],
            width=data["hidden_size"],
            heads=data["num_attention_heads"],
            kv_heads=data.get("num_key_value_heads") or data["num_attention_heads"],
            inner=data["intermediate_size"],
            vocab=data["vocab_size"],
            tied=data.get("tie_word_embeddings", False),
            qkv_bias=data.get("model_type") == "qwen2",
            head=data.get("head_dim") or 0,
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path}: {error!r}: expected the configuration of a Qwen2 or Llama model"
        ) from None
