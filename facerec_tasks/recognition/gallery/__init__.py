"""The gallery: people, their embeddings, enrollment and search."""
