"""The columns of BARS' data sets with histories.

As their converters write them (github.com/reczoo/Datasets, of 2023) and the
benchmark's configurations read them: `^` between the events of a history.
"""

import dataclasses

# Rows of the tables of hashed ids, where a format names none.
DEFAULT_ROWS = 1 << 10


@dataclasses.dataclass(frozen=True)
class BarsFormat:
    """Meaning of the columns of one data set.

    Attributes:
        name: of the data set.
        user: column of the user.
        labels: objective -> column.
        items: id column -> column, of candidates.
        histories: behaviour -> id column -> column; what events lack is "-".
        max_length: events of a history.
        context: id column -> column.
        scenario: the one of them that is the page, "" for none.
        numbers: feature of candidates -> column.
        rows: id column -> rows of its table.
    """

    name: str
    user: str
    labels: dict[str, str]
    items: dict[str, str]
    histories: dict[str, dict[str, str]]
    max_length: int
    context: dict[str, str] = dataclasses.field(default_factory=dict)
    scenario: str = ""
    numbers: dict[str, str] = dataclasses.field(default_factory=dict)
    rows: dict[str, int] = dataclasses.field(default_factory=dict)

    @property
    def columns(self) -> list[str]:
        """Names of all columns, each once."""
        parts = [self.labels, self.items, *self.histories.values()]
        parts += [self.context, self.numbers]
        named = [name for part in parts for name in part.values()]
        return list(dict.fromkeys([self.user, *named]))


_PROFILE = (
    "cms_segid",
    "cms_group_id",
    "final_gender_code",
    "age_level",
    "pvalue_level",
    "shopping_level",
    "occupation",
    "new_user_class_level",
)

FORMATS = (
    BarsFormat(
        "AmazonElectronics_x1",
        user="user_id",
        labels={"review": "label"},
        items={"item_id": "item_id", "category_id": "cate_id"},
        histories={
            "review": {"item_id": "item_history", "category_id": "cate_history"}
        },
        max_length=100,
        rows={"item_id": 1 << 19, "category_id": 1 << 13},
    ),
    BarsFormat(
        "TaobaoAd_x1",
        user="userid",
        labels={"click": "clk"},
        items={
            "item_id": "adgroup_id",
            "category_id": "cate_id",
            "brand_id": "brand",
            "campaign_id": "campaign_id",
            "customer_id": "customer",
            "btag_id": "btag",
        },
        histories={
            "browse": {
                "category_id": "cate_his",
                "brand_id": "brand_his",
                "btag_id": "btag_his",
            }
        },
        max_length=50,
        context={
            "viewer_id": "userid",
            "scenario": "pid",
            **{name: name for name in _PROFILE},
        },
        scenario="scenario",
        numbers={"price": "price"},
        rows={
            "item_id": 1 << 21,
            "category_id": 1 << 16,
            "brand_id": 1 << 20,
            "campaign_id": 1 << 20,
            "customer_id": 1 << 20,
            "btag_id": 1 << 4,
            "viewer_id": 1 << 21,
            "scenario": 1 << 4,
        },
    ),
    BarsFormat(
        "KuaiVideo_x1",
        user="user_id",
        labels={"click": "is_click", "like": "is_like", "follow": "is_follow"},
        items={"item_id": "item_id"},
        histories={
            "click": {"item_id": "pos_items"},
            "skip": {"item_id": "neg_items"},
        },
        max_length=100,
        context={"viewer_id": "user_id"},
        rows={"item_id": 1 << 21, "viewer_id": 1 << 17},
    ),
)
