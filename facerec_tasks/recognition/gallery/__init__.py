"""Who is known: people, their embeddings, enrollment and search."""
