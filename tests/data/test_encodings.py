"""Bytes that are not UTF-8: the advised encoding is the right one, and following it reads them."""

from __future__ import annotations

import re

import pytest

from headstart.data import load
from headstart.errors import DataError

WRITTEN = [
    ("cp1251", "Плохо работает – не берите «это»", "Прекрасно, спасибо"),
    ("koi8-r", "Отличный товар, всем советую", "Ужасный товар"),
    ("cp866", "Быстрая доставка, рекомендую", "Очень медленно"),
    ("cp1250", "Příliš žluťoučký kůň", "Zły produkt, źle działa"),
    ("cp1252", "Das Gerät läuft schön, größer – 5 €", "C’était très déçu"),
    ("cp1253", "Πολύ καλό προϊόν, το συνιστώ", "Κακή ποιότητα"),
    ("cp1254", "Çok güzel bir ürün, teşekkür ığdır", "Kötü, çalışmıyor"),
    ("cp1255", "מוצר טוב מאוד אני ממליץ", "לא טוב"),
    ("cp1256", "منتج جيد جدا أنصح به", "سيئ جدا"),
    ("shift_jis", "駅から近くて便利でした", "部屋が狭かったです"),
    ("euc-jp", "駅から近くて便利でした", "部屋が狭かったです"),
    ("euc-kr", "배송이 빠르고 친절합니다", "너무 느려요"),
    ("gb18030", "质量太差了，不推荐购买", "服务很好"),
    ("big5", "質量太差了，不推薦購買", "服務很好"),
    ("utf-16-le", "plain words and Über", "others"),
    ("utf-16-be", "plain words and Über", "others"),
    ("utf-16", "plain words and Über", "others"),
]


@pytest.mark.parametrize(("encoding", "good", "bad"), WRITTEN, ids=[row[0] for row in WRITTEN])
def test_the_advised_encoding_is_right_and_reads_the_file(tmp_path, encoding, good, bad):
    path = tmp_path / "reviews.csv"
    rows = "".join(f'"{bad if i % 2 else good} N {i}",{"ab"[i % 2]}\n' for i in range(60))
    path.write_bytes(("text,label\n" + rows).encode(encoding))
    with pytest.raises(DataError) as caught:
        load(path)
    message = str(caught.value)
    advised = re.findall(r"--encoding ([a-z0-9_-]+)", message)
    assert advised == [encoding]
    assert not any(c < " " or "\x7f" <= c < "\xa0" for c in message)
    if not encoding.startswith("utf"):
        assert good[:10] in message
    data = load(path, encoding=advised[0], text="text")
    assert any(data.train.samples.read(i).startswith(good) for i in range(len(data.train)))


def test_bytes_that_are_no_text_are_said_to_be_none(tmp_path):
    path = tmp_path / "x.csv"
    path.write_bytes(b"text,label\n" + bytes([0x81, 0x8D, 0x01, 0xFF, 0x02]) * 20 + b",a\n")
    with pytest.raises(DataError, match=r"No usual encoding fits"):
        load(path)
