"""The originals we measure ourselves against, in a virtual environment of their own.

facenet-pytorch's code in torch, and dlib. Nothing of it is ever imported by the product.
"""
