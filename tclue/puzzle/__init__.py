"""The game: entities, statements, proof, generation, grading. Nothing here depends on models."""
