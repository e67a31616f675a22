"""Finding faces: the MTCNN cascade."""
