"""Who is known: people, their embeddings, enrolment and search."""
