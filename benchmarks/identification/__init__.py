"""Who is this? Open-set identification as ISO/IEC 19795-1 has it, on a folder laid out as LFW's.

``NAME/*.jpg``; whoever has more photos than are enrolled is searched for with up to three of the
others, and whoever has a single photo is a stranger. A folder may instead hold
``people/NAME/*.jpg`` and ``strangers/*.jpg``.
"""
