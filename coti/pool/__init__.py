"""The web pool: ingest anything, trust nothing, lose nothing.

:func:`ingest` makes a manifest row of every input and sanitised images of what decodes;
:func:`validate` judges the rows. Only pandas, pyarrow and Pillow are needed for a folder; the
rest (Great Expectations, s3fs, aiohttp) is imported where it is used.
"""
