"""Operations: cleanup, redrive, Flower."""
