"""Where the five landmarks of a face lie in the square that a network looks at."""

Point = tuple[float, float]

DLIB_TEMPLATE: tuple[Point, ...] = (
    (48.71, 46.64), (102.49, 46.49), (75.10, 79.15), (52.03, 105.88), (98.90, 105.92),
)  # fmt: skip
"""Where MTCNN's five points lie in dlib's chips of 150 px: the median over 219 people."""
ARCFACE_TEMPLATE: tuple[Point, ...] = (
    (38.29, 51.70), (73.53, 51.50), (56.03, 71.74), (41.55, 92.37), (70.73, 92.20),
)  # fmt: skip
"""ArcFace's five points at 112 px, as InsightFace and OpenCV's SFace align."""
