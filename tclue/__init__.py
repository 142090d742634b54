"""Temporal Clue: proved puzzles, sound grades, costs of every response, a board with intervals."""
