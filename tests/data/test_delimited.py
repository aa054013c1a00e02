"""CSV, TSV and JSONL as text: quotes, delimiters, headers, and the place of every fault."""

from __future__ import annotations

import gzip
import subprocess
import sys

import pyarrow as pa
import pytest

from headstart.data import load
from headstart.data.options import ReadOptions
from headstart.data.sources import delimited, text_source
from headstart.data.sources.delimited import read_text_table
from headstart.errors import DataError, OptionError


def read(tmp_path, text, kind="csv", name=None, **options):
    path = tmp_path / (name or f"data.{kind}")
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_text_table(path, path.name, kind, ReadOptions(**options)).to_pydict()


def test_read_text_table_keeps_every_cell_as_it_is_written(tmp_path):
    table = read(tmp_path, 'a,b\n01,"x, ""y""\nz"\n1e3,"NA"\nNA,\n')
    assert table == {"a": ["01", "1e3", None], "b": ['x, "y"\nz', "NA", None]}


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_read_text_table_of_tabs_takes_stray_quotes_as_text(tmp_path, ending):
    lines = ["label\ttext", 'ham\t"Oh" he said', 'spam\tend"', 'ham\t"open', 'ham\t"a ""b"""', ""]
    table = read(tmp_path, ending.join(lines), "tsv")
    assert table["text"] == ['"Oh" he said', 'end"', '"open', 'a "b"']


def test_read_text_table_of_tabs_honours_quotes_around_line_breaks(tmp_path):
    table = read(tmp_path, 'label\ttext\nham\t"two\nlines"\nspam\tone\n', "tsv")
    assert table == {"label": ["ham", "spam"], "text": ["two\nlines", "one"]}


@pytest.mark.parametrize("mark", [";", "\t", ","])
def test_read_text_table_finds_another_delimiter(tmp_path, mark):
    assert read(tmp_path, f"a{mark}b\n1{mark}2\n") == {"a": ["1"], "b": ["2"]}


def test_read_text_table_takes_names_for_a_file_without_header(tmp_path):
    rows = "5.1,Iris a\n4.9,Iris b\n"
    table = read(tmp_path, rows, kind="data", name="iris.data", header=("width", "kind"))
    assert table == {"width": ["5.1", "4.9"], "kind": ["Iris a", "Iris b"]}
    table = read(tmp_path, "ham\ta, b\n", kind="collection", header=("label", "text"))
    assert table == {"label": ["ham"], "text": ["a, b"]}
    with pytest.raises(DataError, match=r"line 1 has 2 cells, the header 3 \('a', 'b', 'c'\)"):
        read(tmp_path, rows, header=("a", "b", "c"))
    with pytest.raises(
        OptionError, match="names its columns in every row; --header a is for files"
    ):
        read(tmp_path, '{"a": 1}\n', "jsonl", header=("a",))
    with pytest.raises(OptionError, match="header names column 'a' twice"):
        load(tmp_path, header=["a", "b", "a"])


def test_read_text_table_names_the_line_of_a_ragged_row(tmp_path):
    text = 'text,label\n"two\nlines",a\n\nfine,b\na, comma,b\n'
    with pytest.raises(DataError) as caught:
        read(tmp_path, text)
    assert str(caught.value) == (
        "data.csv cannot be read as CSV: line 6 has 3 cells, the header 2 ('text', 'label'). Put "
        "quotes around cells that hold ',' and correct the file."
    )
    with pytest.raises(DataError, match="line 4 has 1 cell, the header 2"):
        read(tmp_path, "a\tb\n1\t2\n1\t2\n1\n", "tsv")


def test_read_text_table_names_columns_of_one_name(tmp_path):
    with pytest.raises(DataError) as caught:
        read(tmp_path, "age,name,age\n1,b,2\n")
    assert str(caught.value) == (
        "data.csv has 2 columns called 'age' (columns 1, 3). Give each column a name of its own, "
        "or remove one."
    )


def test_read_text_table_names_columns_without_a_name(tmp_path):
    assert read(tmp_path, ",b\n1,2\n") == {"column 1": ["1"], "b": ["2"]}


def test_read_text_table_refuses_what_is_no_text(tmp_path):
    with pytest.raises(DataError, match=r"gzip data is cut short or damaged .*Compress or down"):
        read(tmp_path, gzip.compress(b"a,b\n1,2\n" * 100)[:-20])
    with pytest.raises(DataError, match=r"data.csv is empty. Expected a table with a header"):
        read(tmp_path, "\n \n")
    with pytest.raises(DataError, match="holds zero bytes, the first in line 1"):
        read(tmp_path, b"a\0,b\n1,2\n")


def test_load_names_the_row_of_damaged_json(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "a", "label": 1}\n{"text": "b", "label": \n')
    with pytest.raises(DataError, match=r"a.jsonl cannot be read as JSONL: .*in row 1"):
        load(tmp_path / "a.jsonl")


def test_load_says_that_an_archive_is_damaged_and_to_name_columns(tmp_path):
    (tmp_path / "a.zip").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"a.zip cannot be unpacked: .* download it again"):
        load(tmp_path / "a.zip", header=["a", "b"])
    (tmp_path / "a.rows").write_text("what,is,this\n")
    with pytest.raises(DataError, match=r"A text file without a header row can be read"):
        load(tmp_path / "a.rows")


def test_the_memory_that_pyarrow_reads_from_is_its_own():
    # one of its threads lets go of it last, while Python may be ending: it aborts what needs Python
    content = b"a,b\n" + b"1,2\n" * 1000
    before = sys.getrefcount(content)
    reader = pa.BufferReader(text_source.buffer_of(content))
    assert sys.getrefcount(content) == before
    assert reader.read() == content


def test_the_copy_that_pyarrow_reads_from_is_as_large_as_the_content():
    content = b"x" * (2**20 + 1)  # a buffer that doubles would take 2 MiB
    standard = pa.default_memory_pool()
    pool = pa.proxy_memory_pool(standard)
    pa.set_memory_pool(pool)
    try:
        reader = pa.BufferReader(text_source.buffer_of(content))
    finally:
        pa.set_memory_pool(standard)
    assert len(content) <= pool.max_memory() < len(content) + 2**12
    del reader  # before its pool


def read_path(path, **options):
    kind = path.suffix[1:] if path.suffix != ".gz" else "csv"
    return read_text_table(path, path.name, kind, ReadOptions(**options)).to_pydict()


@pytest.mark.parametrize("piece", [1, 3, 7, 2**22])
def test_a_file_is_streamed_in_pieces_that_may_cut_a_character(tmp_path, monkeypatch, piece):
    monkeypatch.setattr(text_source, "PIECE_BYTES", piece)
    path = tmp_path / "a.csv"
    path.write_bytes(b"\xef\xbb\xbf" + "a,b\nzwölf,日本語\n,😀\n".encode())
    source = text_source.open_text(path, "a.csv", None)
    assert source.path == path  # not held in memory
    assert not source.has_quotes
    assert not source.is_blank
    assert source.read().decode() == "a,b\nzwölf,日本語\n,😀\n"
    assert read_path(path) == {"a": ["zwölf", None], "b": ["日本語", "😀"]}
    for bad, line in ((b"a,b\nz\xf6,1\n", 2), ("a,b\n1,é".encode()[:-1], 2), (b"a\n1\n\xff", 3)):
        path.write_bytes(bad)
        with pytest.raises(DataError, match=rf"is not UTF-8: byte .*, line {line}"):
            read_path(path)


def test_blank_and_quoted_files_are_seen_in_any_piece(tmp_path, monkeypatch):
    monkeypatch.setattr(text_source, "PIECE_BYTES", 4)
    path = tmp_path / "a.csv"
    path.write_text("\n" * 50)
    with pytest.raises(DataError, match="is empty"):
        read_path(path)
    path.write_text("a,b\n1,2\n3,4\n" + '"5,5",6\n')
    assert read_path(path) == {"a": ["1", "3", "5,5"], "b": ["2", "4", "6"]}


@pytest.mark.parametrize("piece", [1, 5, 2**22])
def test_even_tabs_are_counted_across_pieces(tmp_path, monkeypatch, piece):
    monkeypatch.setattr(text_source, "PIECE_BYTES", piece)
    path = tmp_path / "a.tsv"
    for content, number, is_even in (
        ('a\tb\n"x\ty\n\n3\t4', 1, True),
        ("a\tb\r\n1\t2\r\n\r\n", 1, True),
        ("a\tb\n1\t2\t3\n", 1, False),
        ("a\tb\n1\n", 1, False),
        ("a\n1\n", 0, True),
    ):
        path.write_bytes(content.encode())
        assert text_source.open_text(path, "a.tsv", None).has_even_tabs(number) is is_even, content


def test_a_file_that_grows_while_it_is_read_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "a.csv"
    path.write_text("a,b\n1,2\n")
    parse = delimited._parse_csv

    def slowly(*given):
        found = parse(*given)
        with path.open("a") as file:
            file.write("3,4\n")
        return found

    monkeypatch.setattr(delimited, "_parse_csv", slowly)
    with pytest.raises(
        DataError, match=r"a.csv has changed while it was read \(8 bytes before, 12"
    ):
        read_path(path)
    monkeypatch.undo()
    assert read_path(path) == {"a": ["1", "3"], "b": ["2", "4"]}  # as advised, when nobody writes


def test_other_encodings_and_compressed_files_are_held_and_read_alike(tmp_path):
    text = 'sep=;\na;b\nzwölf;"x\ny"\n'
    for name, content, options in (
        ("a.csv", text.encode(), {}),
        ("b.csv", text.encode("cp1252"), {"encoding": "cp1252"}),
        ("c.csv.gz", gzip.compress(text.encode()), {}),
    ):
        (tmp_path / name).write_bytes(content)
        assert read_path(tmp_path / name, **options) == {"a": ["zwölf"], "b": ["x\ny"]}


def test_zero_bytes_are_refused_and_the_command_that_takes_them_out_does(tmp_path, heard):
    rows = [f"{i / 7:.2f},{i % 5}\0,{'pq'[i % 2]}" for i in range(40)]
    (tmp_path / "a b.csv").write_text("\n".join(["x,y,label", *rows]) + "\n")
    with pytest.raises(DataError, match="holds zero bytes, the first in line 2,") as caught:
        load(tmp_path / "a b.csv")
    command = str(caught.value).split("take them out: ")[1]
    subprocess.run(["bash", "-c", command], cwd=tmp_path, check=True)
    assert load(tmp_path / "clean-a b.csv").column_kinds == {"x": "numeric", "y": "numeric"}
    heard(caught.value)


def test_remarks_above_the_header_are_told_as_such(tmp_path):
    lines = ["# exported 2024", "# by a tool", "x,y,label"]
    lines += [f"{i / 7:.2f},{i % 5},{'pq'[i % 2]}" for i in range(40)]
    (tmp_path / "a.csv").write_text("\n".join(lines) + "\n")
    with pytest.raises(DataError, match=r"The first 2 lines are remarks \(#\): delete them"):
        load(tmp_path / "a.csv")
    (tmp_path / "a.csv").write_text("\n".join(lines[2:]) + "\n")
    assert load(tmp_path / "a.csv").schema.classes == ("p", "q")
