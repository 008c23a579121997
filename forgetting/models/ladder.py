"""The ladder: Qwen3 architectures by name, every field set, with their parameter counts by formula (no torch)."""

from __future__ import annotations

from dataclasses import dataclass

from forgetting.errors import require, unknown


@dataclass(frozen=True)
class Architecture:
    """A Qwen3 architecture with tied embeddings. Sizes in units of one number; see ``parameters`` for the count.

    ``loops`` says how often its layers are passed through, at most, each time with the same weights.
    """

    name: str
    hidden_size: int
    layers: int
    heads: int
    head_dim: int
    intermediate_size: int
    key_value_heads: int
    loops: int = 1

    def __post_init__(self) -> None:
        for name in ("hidden_size", "layers", "heads", "head_dim", "intermediate_size", "key_value_heads", "loops"):
            require(getattr(self, name) >= 1, f"{self.name}.{name}", "at least 1", getattr(self, name))
        require(self.head_dim % 2 == 0, f"{self.name}.head_dim", "even (rotary embedding)", self.head_dim)
        require(
            self.heads % self.key_value_heads == 0,
            f"{self.name}.key_value_heads",
            "a divisor of heads",
            self.key_value_heads,
        )

    def non_embedding(self) -> int:
        """Parameters without the (tied) embedding."""
        attention = self.hidden_size * self.head_dim * (2 * self.heads + 2 * self.key_value_heads) + 2 * self.head_dim
        feed_forward = 3 * self.hidden_size * self.intermediate_size
        return self.layers * (attention + feed_forward + 2 * self.hidden_size) + self.hidden_size

    def parameters(self, vocabulary: int) -> int:
        """All parameters, the embedding once."""
        return self.non_embedding() + vocabulary * self.hidden_size


# Columns: hidden size, layers, heads, head size, feed-forward size, key-value heads. The names hold within 5% for the
# embedded world's vocabulary; a test asserts every count.
LADDER: tuple[Architecture, ...] = (
    Architecture("10k", 16, 2, 2, 8, 44, 1),
    Architecture("14k", 20, 2, 2, 10, 46, 2),
    Architecture("20k", 24, 2, 2, 12, 64, 2),
    Architecture("34k", 32, 2, 2, 16, 92, 2),
    Architecture("50k", 40, 2, 2, 20, 112, 2),
    Architecture("70k", 48, 2, 4, 12, 136, 4),
    Architecture("100k", 56, 2, 4, 16, 168, 4),
    Architecture("175k", 64, 3, 4, 16, 188, 4),
    Architecture("455k", 96, 4, 4, 24, 244, 4),
    Architecture("1m", 128, 5, 4, 32, 332, 4),
    Architecture("3m", 192, 6, 6, 32, 596, 6),
)
# Defined for stacked training on a GPU; too slow to train on two cores.
GPU_RUNGS: tuple[Architecture, ...] = (
    Architecture("6m", 256, 8, 8, 32, 624, 8),
    Architecture("10m", 320, 8, 10, 32, 864, 10),
    Architecture("20m", 448, 8, 7, 64, 1252, 7),
    Architecture("40m", 576, 10, 9, 64, 1536, 9),
    Architecture("100m", 768, 14, 12, 64, 2068, 12),
)
# One dimension at a time: width at two layers, depth at hidden size 32.
WIDTH_STRAND: tuple[Architecture, ...] = tuple(
    Architecture(f"width-{d}", d, 2, 2, d // 2, 5 * d // 2, 2) for d in (16, 24, 28, 32, 48, 64, 96, 128)
)
# The same in three layers: what a third layer changes is read at equal parameters, as a distance from the width strand.
DEEP_STRAND: tuple[Architecture, ...] = tuple(
    Architecture(f"deep-{d}", d, 3, 2, d // 2, 5 * d // 2, 2) for d in (16, 24, 32, 48, 64, 96)
)
DEPTH_STRAND: tuple[Architecture, ...] = tuple(
    Architecture(f"depth-{n}", 32, n, 2, 16, 80, 2) for n in (1, 2, 3, 4, 6, 8)
)

# Two layers that are passed through once to three times, a number drawn for each step of training. At equal parameters
# stands the width strand, at equal operations of training the same shapes in four layers.
LOOPED_STRAND: tuple[Architecture, ...] = tuple(
    Architecture(f"looped-{d}", d, 2, 2, d // 2, 5 * d // 2, 2, loops=3) for d in (16, 32)
)
DEEPER_STRAND: tuple[Architecture, ...] = tuple(
    Architecture(f"deeper-{d}", d, 4, 2, d // 2, 5 * d // 2, 2) for d in (16, 32)
)
STRANDS: dict[str, tuple[Architecture, ...]] = {
    "ladder": LADDER,
    "width strand": WIDTH_STRAND,
    "width strand in three layers": DEEP_STRAND,
    "width strand in four layers": DEEPER_STRAND,
    "depth strand": DEPTH_STRAND,
    "looped strand": LOOPED_STRAND,
    "defined, not trained here": GPU_RUNGS,
}


@dataclass(frozen=True)
class Published:
    """A published Qwen3 model: its architecture, the size of its vocabulary, and whether its embedding is tied."""

    architecture: Architecture
    tied: bool
    vocabulary: int = 151_936

    def parameters(self) -> int:
        """All parameters, a tied embedding once."""
        output = 0 if self.tied else self.vocabulary * self.architecture.hidden_size
        return self.architecture.parameters(self.vocabulary) + output

    def non_embedding(self) -> int:
        """Parameters without embedding and output layer, as the model cards count them."""
        return self.architecture.non_embedding()


# Source: the ``config.json`` of each model on the hub, and table 1 of the Qwen3 technical report, arXiv 2505.09388.
QWEN3: dict[str, Published] = {
    f"Qwen/Qwen3-{size}": Published(Architecture(size, *shape), size in ("0.6B", "1.7B", "4B"))
    for size, shape in {
        "0.6B": (1024, 28, 16, 128, 3072, 8),
        "1.7B": (2048, 28, 16, 128, 6144, 8),
        "4B": (2560, 36, 32, 128, 9728, 8),
        "8B": (4096, 36, 32, 128, 12288, 8),
        "14B": (5120, 40, 40, 128, 17408, 8),
        "32B": (5120, 64, 64, 128, 25600, 8),
    }.items()
}


def architecture(name: str, field: str = "student") -> Architecture:
    """The architecture of that name, from ladder, GPU rungs or strands; ``UsageError`` with the nearest name."""
    known = {a.name: a for strand in STRANDS.values() for a in strand}
    if name not in known:
        raise unknown(field, name, known)
    return known[name]
