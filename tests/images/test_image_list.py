"""Folders and tables of images."""

import numpy as np
import pytest

from jd_tf.images.image_list import read_catalogue, read_labelled
from jd_tf.schema import DataError


def _touch(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return root


def test_reads_splits_and_words_from_folders(tmp_path):
    _touch(
        tmp_path,
        "train/hat/1.jpg",
        "train/hat/deeper/2.JPEG",
        "train/shoe/3.png",
        "train/no_word.jpg",
        "train/shoe/notes.txt",
        "validation/shoe/4.jpg",
    )
    sets = read_labelled(tmp_path)
    assert sets["train"].label_names == ("hat", "shoe")
    names = [path.rsplit("/", 1)[-1] for path in sets["train"].paths]
    assert names == ["1.jpg", "2.JPEG", "3.png"]
    np.testing.assert_array_equal(sets["train"].labels, [0, 0, 1])
    np.testing.assert_array_equal(sets["validation"].labels, [1])
    assert len(sets["test"]) == 0
    some = sets["train"].take([2, 0])
    assert some.paths == (sets["train"].paths[2], sets["train"].paths[0])
    np.testing.assert_array_equal(some.labels, [1, 0])


def test_deals_a_folder_without_splits_the_same_way_wherever_it_lies(tmp_path):
    names = [f"{word}/{n}.jpg" for word in ("hat", "shoe") for n in range(300)]
    here = read_labelled(_touch(tmp_path / "here", *names))
    there = read_labelled(_touch(tmp_path / "else/where", *names))
    for split, share in (("train", 0.8), ("validation", 0.1), ("test", 0.1)):
        assert abs(len(here[split]) / 600 - share) < 0.05
        last = [path.rsplit("/", 2)[1:] for path in here[split].paths]
        assert last == [p.rsplit("/", 2)[1:] for p in there[split].paths]


def test_reads_a_table_relative_to_itself(tmp_path):
    table = tmp_path / "words.csv"
    table.write_text(
        "\ufeffpath,word,split\n"
        "a/1.jpg,hat,train\n/b/2.jpg,shoe,train\n3.jpg,hat,validation\n",
        encoding="utf-8",
    )
    sets = read_labelled(table)
    assert sets["train"].paths == (str(tmp_path / "a/1.jpg"), "/b/2.jpg")
    assert sets["validation"].paths == (str(tmp_path / "3.jpg"),)


def test_reads_titles_of_a_table(tmp_path):
    table = tmp_path / "titled.csv"
    table.write_text(
        "path,word,split,title\n1.jpg,hat,train, Red hat \n"
        "2.jpg,cap,train,\n3.jpg,hat,validation,Blue hat\n"
    )
    sets = read_labelled(table, title_column="title")
    assert sets["train"].titles == ("Red hat", "")
    assert sets["train"].take([1, 0]).titles == ("", "Red hat")
    assert read_labelled(table)["train"].titles == ("", "")
    with pytest.raises(DataError, match="lacks the column name"):
        read_labelled(table, title_column="name")
    with pytest.raises(DataError, match="a folder has no column 'title'"):
        read_labelled(tmp_path, title_column="title")


def test_a_catalogue_teaches_its_categories(tmp_path):
    table = tmp_path / "catalogue.csv"
    rows = [f"{n},images/{n}.jpg,{10 + n % 2}" for n in range(1, 60)]
    table.write_text("item_id,path,category_id\n" + "\n".join(rows) + "\n")
    sets = read_labelled(table, word_column="category_id")
    assert sets["train"].label_names == ("10", "11")
    assert sum(map(len, sets.values())) == 59
    with pytest.raises(DataError, match="lacks the column word"):
        read_labelled(table)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,label\nx,y\n", "lacks the column word; .*'label'"),
        ("path,word,split\n,hat,train\n", "line 2: path ''"),
        ("path,word,split\n1.jpg,hat,exam\n", "line 2: .*split 'exam'"),
        ("path,word,split\n1.jpg,hat,train\n", "no image of .*`validation`"),
        (
            "path,word,split\n1.jpg,hat,train\n2.jpg,hat,validation\n",
            "only the product word 'hat'",
        ),
        (
            "path,word,split\n1.jpg,hat,train\n2.jpg,cap,train\n"
            "3.jpg,shoe,validation\n",
            "shows 'shoe' in `validation`, which `train` never does",
        ),
    ],
)
def test_refuses_a_table_by_line_and_value(tmp_path, text, message):
    table = tmp_path / "words.csv"
    table.write_text(text)
    with pytest.raises(DataError, match=message):
        read_labelled(table)


def test_names_what_is_not_there_or_not_text(tmp_path):
    with pytest.raises(DataError, match="nowhere: no such file or folder"):
        read_labelled(tmp_path / "nowhere")
    table = tmp_path / "words.csv"
    table.write_bytes(b"path,word\n\xff\xfe,hat\n")
    with pytest.raises(DataError, match="not a CSV file in UTF-8"):
        read_labelled(table)


def test_a_catalogue_takes_ids_from_file_names(tmp_path):
    catalogue = read_catalogue(_touch(tmp_path, "12.jpg", "x/7.png", "x/a.txt"))
    assert catalogue.item_ids.dtype == np.int64
    np.testing.assert_array_equal(catalogue.item_ids, [12, 7])
    assert catalogue.paths[1].endswith("x/7.png")


def test_ids_stay_text_unless_numbers_lose_nothing(tmp_path):
    for name, stays in (("007", True), ("7", False), ("9" * 19, True)):
        folder = _touch(tmp_path / name, f"{name}.jpg")
        found = read_catalogue(folder).item_ids
        assert (found.dtype.kind == "U") is stays
        assert str(found[0]) == name


def test_a_catalogue_table_may_lack_a_photo(tmp_path):
    table = tmp_path / "catalogue.csv"
    table.write_text("item_id,path,title\n5,a.jpg,red hat\n6,,no photo yet\n")
    catalogue = read_catalogue(table)
    assert catalogue.paths == (str(tmp_path / "a.jpg"), "")
    np.testing.assert_array_equal(catalogue.item_ids, [5, 6])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("item_id,path\n0,a.jpg\n", "line 2: item_id is '0', which pads"),
        ("item_id,path\n,a.jpg\n", "line 2: item_id is '', which pads"),
        ("item_id,path\n1,a.jpg\n1,b.jpg\n", "line 3: .*again, first.*line 2"),
        ("id,path\n1,a.jpg\n", "lacks the column item_id"),
        ("item_id,path\n", "no image"),
    ],
)
def test_refuses_a_catalogue_by_line_and_value(tmp_path, text, message):
    table = tmp_path / "catalogue.csv"
    table.write_text(text)
    with pytest.raises(DataError, match=message):
        read_catalogue(table)


def test_two_files_of_one_item_are_an_error(tmp_path):
    folder = _touch(tmp_path, "1.jpg", "1.png")
    with pytest.raises(DataError, match="item_id '1' again"):
        read_catalogue(folder)
