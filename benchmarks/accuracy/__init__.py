"""How often the right person is named: verification as LFW's protocol has it, and identification.

The folder holds ``people/NAME/*.jpg`` and, if there are any, ``strangers/*.jpg``. With ``--pairs``
it may be LFW itself, ``NAME/NAME_0001.jpg``.
"""
