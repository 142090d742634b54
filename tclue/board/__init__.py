"""The leaderboard and the terminal's tables, derived from records; requests nothing of a model."""
