"""The machine image: what is baked into it, and the images of the account."""
