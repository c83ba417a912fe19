"""The configurations of public data sets, on made files of their format."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from jd_tf.data import make_dataset
from tests.data.tables.records import read_requests

EXAMPLES = Path(__file__).parents[3] / "examples"
BEGIN = 1_511_568_000  # 2017-11-25 in UTC


def made(tmp_path, name, **options):
    """Runs what the file says to run, then makes the data set."""
    config = Path(shutil.copy(EXAMPLES / name, tmp_path))
    for line in config.read_text().splitlines():
        if line.startswith("#   "):
            command = line.removeprefix("#   ")
            assert shutil.which(command.replace("LC_ALL=C ", "").split()[0])
            subprocess.run(command, shell=True, cwd=tmp_path, check=True)
    folder = tmp_path / "out"
    make_dataset("tables", folder, config=config, num_processes=1, **options)
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
    check_films(made(tmp_path, "movielens/movielens_1m.yaml"))


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
    check_films(made(tmp_path, "movielens/movielens_25m.yaml"))


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
    requests = made(tmp_path, "taobao/user_behavior.yaml", max_bad_records=1)
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
    requests = made(tmp_path, "kuairand/kuairand_1k.yaml")
    items = {item for r in requests.values() for item in r["item_id"]}
    assert min(items) == 1
    users = {int(request["user_id"]) for request in requests.values()}
    assert users == set(range(1, 21))
    assert sum(len(r["item_id"]) for r in requests.values()) > 1000
    assert any(r["skip_item_id"] for r in requests.values())


@pytest.mark.parametrize("path", sorted(EXAMPLES.rglob("*.yaml")), ids=str)
def test_every_example_is_a_configuration(path):
    from jd_tf.data.tables.config_reading import read_config

    assert read_config(path).name
