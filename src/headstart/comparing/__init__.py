"""Finished runs beside one another: what each says of the same test items, and all in one list.

Everything is read from the JSON and Parquet files of the run folders: no data, no weights, no
torch. A run that is not finished is refused, or listed as such.
"""
