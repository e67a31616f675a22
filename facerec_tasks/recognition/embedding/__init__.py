"""Faces to embeddings: alignment, the embedder, distances."""
