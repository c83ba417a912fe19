"""The configurations of public logs, on made files of their format."""

import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest

from jd_tf.data import make_dataset
from jd_tf.data.dataset import read_schema
from jd_tf.data.tables.config_reading import LOGS, read_config
from jd_tf.schema import DataError
from tests.data.tables.records import read_requests

BEGIN = 1_511_568_000  # 2017-11-25 in UTC


def made(tmp_path, name, **options):
    """Runs what the file says to run, then makes the data set."""
    for line in LOGS[name].read_text().splitlines():
        if line.startswith("#   "):
            command = line.removeprefix("#   ")
            assert shutil.which(command.replace("LC_ALL=C ", "").split()[0])
            subprocess.run(command, shell=True, cwd=tmp_path, check=True)
    folder = tmp_path / "out"
    make_dataset(name, folder, tmp_path, num_processes=1, **options)
    return read_requests(folder)


def ratings(num_users=30, num_each=12):
    """Users rate two films at a time, 1 to 5 stars, an hour apart."""
    generator = np.random.default_rng(1)
    for user in range(1, num_users + 1):
        movies = generator.permutation(40)[:num_each] + 1
        for place, movie in enumerate(movies.tolist()):
            time = 978_300_000 + 50_000 * user + 3600 * (place // 2) + place
            yield user, movie, 1 + (user + movie) % 5, time


def check_films(requests):
    expected = {(user, movie): stars for user, movie, stars, _ in ratings()}
    found = 0
    for request in requests.values():
        user = int(request["user_id"])
        assert len(request["item_id"]) == 2
        for movie, label, genres in zip(
            request["item_id"],
            request["labels"],
            request["genre_ids"],
            strict=True,
        ):
            assert label == [float(expected[user, movie] >= 4)]
            assert "Comedy" in genres
            found += 1
        liked = request["liked_item_id"]
        assert all(expected[user, movie] >= 4 for movie in liked)
        assert len(liked) + len(request["disliked_item_id"]) in range(0, 12, 2)
    assert found == len(expected)


def test_movielens_1m(tmp_path):
    lines = ["::".join(map(str, row)) for row in ratings()]
    (tmp_path / "ratings.dat").write_text("\n".join(lines) + "\n")
    movies = [
        f'{n}::"Caf\xe9: Part {n}", The (1995)::Comedy|Children\'s'
        for n in range(1, 41)
    ]
    text = "\n".join(movies) + "\n"
    (tmp_path / "movies.dat").write_bytes(text.encode("latin-1"))
    check_films(made(tmp_path, "movielens_1m"))


def test_movielens_25m(tmp_path):
    lines = [
        f"{user},{movie},{stars - 0.5 if stars < 4 else stars},{time}"
        for user, movie, stars, time in ratings()
    ]
    text = "\n".join(["userId,movieId,rating,timestamp", *lines]) + "\n"
    (tmp_path / "ratings.csv").write_text(text)
    movies = [f'{n},"Film, A (1995)",Comedy|Drama' for n in range(1, 41)]
    text = "\n".join(["movieId,title,genres", *movies]) + "\n"
    (tmp_path / "movies.csv").write_text(text)
    check_films(made(tmp_path, "movielens_25m"))


def test_taobao_user_behavior(tmp_path):
    generator = np.random.default_rng(2)
    lines = []
    for user in range(1, 41):
        for hour in range(60):
            item = int(generator.integers(100, 140))
            kind = ("pv", "pv", "pv", "cart", "buy", "fav")[hour % 6]
            time = BEGIN + 3600 * (3 * hour + user % 3)
            lines.append(f"{user},{item},{item % 7 + 1},{kind},{time}")
    lines.append("7,101,4,pv,1400000000")  # of another year
    (tmp_path / "UserBehavior.csv").write_text("\n".join(lines) + "\n")
    requests = made(tmp_path, "taobao_user_behavior", max_bad_records=1)
    assert requests
    for request in requests.values():
        labels = np.array(request["labels"])
        assert labels.shape == (len(request["item_id"]), 3)
        assert labels.sum() >= 1
        pairs = zip(request["item_id"], request["category_id"], strict=True)
        assert all(category == item % 7 + 1 for item, category in pairs)
    assert any(request["pv_item_id"] for request in requests.values())


LOG = (
    "user_id,video_id,date,hourmin,time_ms,is_click,is_like,is_follow,"
    "is_comment,is_forward,is_hate,long_view,play_time_ms,duration_ms,"
    "profile_stay_time,comment_stay_time,is_profile_enter,is_rand,tab"
)


def test_kuairand_1k(tmp_path):
    generator = np.random.default_rng(3)
    parts = {"4_08_to_4_21": [], "4_22_to_5_08": []}
    for user in range(20):  # from 0 on, and not in the order of time
        for place in range(60):
            name = list(parts)[place >= 30]
            time = 1_649_400_000_000 + 3_000_000 * place + 60_000 * user
            click, view = generator.integers(0, 2, 2)
            row = [user, generator.integers(0, 50), 20220408, 400, time]
            row += [click, *generator.integers(0, 2, 5), view & click]
            row += [9000, 12_000, 0, 0, generator.integers(0, 2), 0, place % 3]
            parts[name].append(",".join(map(str, row)))
    for name, lines in parts.items():
        path = tmp_path / f"log_standard_{name}_1k.csv"
        path.write_text("\n".join([LOG, *lines]) + "\n")
    requests = made(tmp_path, "kuairand_1k")
    items = {item for r in requests.values() for item in r["item_id"]}
    assert min(items) == 1
    users = {int(request["user_id"]) for request in requests.values()}
    assert users == set(range(1, 21))
    assert sum(len(r["item_id"]) for r in requests.values()) > 1000
    assert any(r["skip_item_id"] for r in requests.values())


SAMPLE = (
    "user_id\tvideo_id\ttime_ms\tis_click\tis_follow\tis_comment\tis_forward\t"
    "long_view\tplay_time_ms\tduration_ms\tis_profile_enter"
)


def test_kuairand(tmp_path):
    """Requests, histories and the counters of a viewer, by hand."""
    start = 1_650_000_000_000
    rows = []
    for day in range(20):
        for user in (1, 2):
            begin = start + 86_400_000 * day + 1000 * user
            for place in range(4):
                # The third is skipped; the last comes half an hour later:
                # the first is out of its counters by then.
                time = begin + 61_000 * place + 1_690_000 * (place == 3)
                click = int(place != 2)
                values = [user, 10 * day + place + 1, time, click, 0, 0, 0]
                values[5] = int(place == 1)  # a comment
                values += [int(place == 0), 5000, 9000, int(place == 3)]
                rows.append((time, "\t".join(map(str, values))))
    lines = [SAMPLE, *(line for _, line in sorted(rows))]
    (tmp_path / "feedback.tsv").write_text("\n".join([*lines, lines[-1]]))
    requests = made(tmp_path, "kuairand")
    assert len(requests) == 2 * 20 * 2
    schema = read_schema(tmp_path / "out")
    names = list(schema.session_dense)
    days = {}
    for request in requests.values():
        user = int(request["user_id"])
        days.setdefault(user, []).append(request)
    for user, mine in days.items():
        mine.sort(key=lambda request: request["request_time"])
        first, last = mine[-2:]
        begin = 190  # of the items of the last day
        assert first["item_id"] == [begin + 1, begin + 2, begin + 3]
        assert last["item_id"] == [begin + 4]
        assert first["viewer_id"] == user
        clicks = [label[0] for label in np.reshape(first["labels"], (-1, 6))]
        assert clicks == [1, 1, 0]
        assert last["click_item_id"][:3] == [begin + 2, begin + 1, begin - 6]
        assert last["skip_item_id"][:2] == [begin + 3, begin - 7]
        # Half an hour before, less the minute that counters are late.
        counted = dict(zip(names, last["session_dense"], strict=True))
        assert counted["user_30m_impressions"] == 2
        assert counted["user_30m_click_positives"] == 1
        assert counted["user_1d_impressions"] == 4
        assert counted["user_all_impressions"] == 4 * 19 + 3


def test_jdata2016(tmp_path):
    """Repeated rows, tables of attributes, and comments dated by day."""
    header = "user_id,sku_id,time,model_id,type,cate,brand"
    files = {"201603": [], "201603_extra": []}
    for day in range(1, 21):
        for user in range(200_001, 200_009):
            item = (user + 3 * day) % 24 + 1
            hour = user % 10 + 1
            for minute, kind in enumerate((1, 6, 2, 4, 5)):
                time = f"2016-03-{day:02d} {hour:02d}:{minute:02d}:00"
                module = 216 if kind == 6 else ""
                line = f"{user}.0,{item},{time},{module},{kind},"
                line += f"{item % 3 + 4},{item % 5 + 30}"
                files["201603"] += [line, line]
                if day > 15:
                    files["201603_extra"].append(line)
    for name, lines in files.items():
        text = "\n".join([f'"{header}"'.replace(",", '","'), *lines])
        (tmp_path / f"JData_Action_{name}.csv").write_text(text + "\n")
    products = [f"{item},{item % 2},1,-1,9,9" for item in range(1, 13)]
    text = "\n".join(["sku_id,a1,a2,a3,cate,brand", *products])
    (tmp_path / "JData_Product.csv").write_text(text + "\n")
    text = "dt,sku_id,comment_num,has_bad_comment,bad_comment_rate\n"
    text += "".join(f"2016-03-05,{item},3,1,0.25\n" for item in range(1, 25))
    (tmp_path / "JData_Comment.csv").write_text(text)
    ages = ["26-35岁", "-1"]
    users = [f"{u},{ages[u % 2]},0,{u % 5}" for u in range(200_001, 200_008)]
    text = "\n".join(["user_id,age,sex,user_lv_cd", *users]) + "\n"
    (tmp_path / "JData_User.csv").write_text(text, encoding="gb18030")
    requests = made(tmp_path, "jdata2016")
    counts = pd.read_json(tmp_path / "out/summary.json", typ="series")["log"]
    counts = counts["counts"]
    assert counts["left out: events that are there twice"] == 800 + 200
    schema = read_schema(tmp_path / "out")
    place = schema.item_dense.index("comment_num")
    known = set()
    for request in requests.values():
        user = int(request["user_id"])
        level = str(user % 5) if user < 200_008 else "missing"
        assert request["user_level"] == level
        age = ages[user % 2] if user < 200_008 else "missing"
        assert request["user_age"] == age
        pairs = zip(request["item_id"], request["category_id"], strict=True)
        assert all(category == item % 3 + 4 for item, category in pairs)
        for item, one in zip(
            request["item_id"], request["attribute_a1"], strict=True
        ):
            assert one == (str(item % 2) if item < 13 else "missing")
        labels = np.reshape(request["labels"], (-1, 4))
        # He looked, put it into the cart, bought it and kept it.
        assert labels.sum(axis=0).tolist() == [1, 1, 1, 1]
        time = pd.Timestamp(request["request_time"], unit="s", tz="UTC")
        local = time.tz_convert("Asia/Shanghai")
        assert request["hour"] == local.hour + 1
        dense = np.reshape(request["item_dense"], (len(labels), -1))
        expected = 3.0 if local.day > 5 else 0.0
        assert (dense[:, place] == expected).all()
        known.add(expected)
        modules = np.ravel(request["click_action_ids"]).tolist()
        assert set(modules) <= {217, 0}
    assert known == {0.0, 3.0}


@pytest.mark.parametrize(
    ("name", "folder", "smallest"),
    [
        ("kuairand", "kuairand_feedback", 23_000),
        pytest.param(
            *("retailrocket_sample", "retailrocket", 15_000),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_real_logs(tmp_path, data_dir, name, folder, smallest):
    summary = make_dataset(
        name, tmp_path / "out", data_dir / folder, num_processes=1
    )
    splits = summary["splits"].values()
    assert sum(split["requests"] for split in splits) > smallest


@pytest.mark.slow
def test_a_real_log_with_shorter_outcomes(tmp_path, data_dir):
    """Test rows of the sample of JData 2016 span half an hour."""
    config = tmp_path / "shorter.yaml"
    text = LOGS["jdata2016"].read_text().replace("within: 30m", "within: 3m")
    config.write_text(text)
    folder = data_dir / "jdata2016"
    make_dataset("tables", tmp_path / "out", folder, config=config)
    requests = read_requests(tmp_path / "out")
    assert len(requests) > 3000
    assert any(len(r["click_item_id"]) == 50 for r in requests.values())


@pytest.mark.parametrize("name", sorted(LOGS))
def test_every_log_has_a_configuration(tmp_path, name):
    assert read_config(name, tmp_path).name == name


def test_a_log_needs_its_folder_and_no_configuration(tmp_path):
    with pytest.raises(DataError, match="`kuairand`: name the folder"):
        make_dataset("kuairand", tmp_path / "out")
    with pytest.raises(DataError, match="no option `config`"):
        make_dataset("kuairand", tmp_path / "out", tmp_path, config="a.yaml")
    with pytest.raises(DataError, match="no such folder"):
        make_dataset("kuairand", tmp_path / "out", tmp_path / "none")
    with pytest.raises(DataError, match=r"feedback\*.tsv\*: no such file"):
        make_dataset("kuairand", tmp_path / "out", tmp_path)
